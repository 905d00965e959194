"""The finest units for values of a size, with the margins that a calibration leaves (docs/inference.md §5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from huref.circuits.inference.facts import Outliers

MARGIN = 1.3
"""Of what a proof clips."""
STREAM_MARGIN, WIDE_MARGIN, PRODUCT_MARGIN = 2.0, 4.0, 8.0
"""Of what it cannot: the residual stream; y; a."""
_OUTLIERS = 8
"""Neurons of a layer that do not count for the common unit of u or a."""


def unit_for(limit: float, peak: float, margin: float = MARGIN) -> int:
    """The finest unit at which peak · margin is at most `limit`."""
    return int(np.floor(np.log2(limit / (margin * max(peak, 1e-9)))))


def common_unit(limit: int, peaks: NDArray[np.float32], margin: float) -> tuple[int, Outliers]:
    """The unit for all rows but a few, and by how many bits these are coarser."""
    order = np.sort(peaks)[::-1]
    unit = unit_for(limit, float(order[min(_OUTLIERS, len(order) // 64)]), margin)
    coarser = unit - np.floor(np.log2(limit / (margin * np.maximum(peaks, 1e-9)))).astype(np.int64)
    return unit, tuple((int(j), int(coarser[j])) for j in np.flatnonzero(coarser > 0))
