"""The different numbers of an array, as numpy's `unique` has them."""

from __future__ import annotations

import numpy as np

from huref.common.distinct import distinct


def test_distinct_numbers_ascend() -> None:
    rng = np.random.default_rng(1)
    for shape in ((0,), (1,), (7,), (3, 5), (2, 3, 4)):
        for kind in (np.int8, np.int32, np.int64, np.uint64):
            values = rng.integers(0, 9, shape).astype(kind)
            found = distinct(values)
            assert found.dtype == kind and np.array_equal(found, np.unique(values))
