"""How kernels are compiled: what Python calls is a `kernel`, what only kernels call is a `helper`.

Both are compiled when first called and kept on disk (`huref.prover.kernels.cache`). What makes compiling slow is
avoided here and in the kernels:

- Wrappers that nobody calls: the one for C, and of helpers the one that unpacks Python's objects. So calling a
  helper from Python crashes the interpreter; tests/prover/kernels/test_first_use.py sees that nobody does.
- A copy of a helper per constant argument: a literal is a type of its own to numba, `np.int64(2)` is not.
- A copy of a kernel for arrays that may be written and for those that may not: `frozen` makes them one.
- Small helpers at the bottom: every one is optimized alone and again in each caller, an intrinsic only there.

Integer division by zero is the callers' to avoid (`error_model`): a division is one instruction, and no branch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit as _njit
from numba.core import config as _config
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from huref.prover.kernels import cache

njit: Any = _njit  # the declared types know neither these options
config: Any = _config  # nor this setting


def _decorator(**options: bool) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        place, told = cache.folder(), config.CACHE_DIR
        compiled = njit(cache=place is not None, error_model="numpy", no_cfunc_wrapper=True, **options)
        config.CACHE_DIR = str(place or "")  # other users of numba keep theirs where they did
        try:
            return compiled(function)
        finally:
            config.CACHE_DIR = told

    return decorate


kernel = _decorator(nogil=True)
"""Called from Python, on any number of threads at once."""

helper = _decorator(no_cpython_wrapper=True)
"""Called by kernels and other helpers only."""

bare_helper = _decorator(no_cpython_wrapper=True, _nrt=False)
"""A helper that makes no array and returns none, and so has no references to count: counting those of a few arrays that
it is given takes as long as a hundred products.
"""


def frozen(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written."""
    view = array.view()
    view.flags.writeable = False
    return view


def flat_rows(matrix: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """The entries of a matrix flat and read-only, and how many lie from row to row: a view if its rows are whole."""
    (rows, columns), size = matrix.shape, matrix.itemsize
    if (
        not rows
        or matrix.strides[1] != size
        or matrix.strides[0] < columns * size
        or matrix.strides[0] % size
    ):
        matrix = np.ascontiguousarray(matrix)
    step = columns if rows < 2 else matrix.strides[0] // size
    flat = as_strided(matrix, (max(0, (rows - 1) * step + columns),), (size,), writeable=False)
    return flat, step
