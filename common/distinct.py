"""The different numbers of an array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """The different integers of an array of any shape, ascending, (n,).

    As `np.unique`, which loads numpy's masked arrays: that takes as long as reading a small proof's messages.
    """
    ordered = np.sort(values, axis=None)
    first = np.ones(len(ordered), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return ordered[first]
