"""What the `paper` profile allows its sites: the largest clamp and the number of calibration rows (protocol §3.3)."""

from __future__ import annotations

from huref.circuits.program.bounds import fits
from huref.common.algebra.field import P as FIELD_PRIME
from huref.common.errors import UsageError

MAX_CLAMP = 2047
MIN_CLAMP = 63
CALIBRATION_ROWS = 16


def largest_clamp(*, linear: int = 1, square: int = 0) -> int:
    """Largest C = 2^m − 1 ≤ MAX_CLAMP with linear·C and square·C² below p/2; 0 if not even 1 fits."""
    clamp = MAX_CLAMP
    while clamp and not (fits(linear * clamp) and fits(square * clamp * clamp)):
        clamp >>= 1
    return clamp


def calibration_rows(rows: int, cols: int, clamp: int) -> int:
    """R of protocol §3.3, rounded down to a power of two: rows that the canonical shift is computed on.

    Raises:
        UsageError: not even one row fits.
    """
    limit = min(CALIBRATION_ROWS, rows, ((FIELD_PRIME - 1) // 2 - 1) // (cols * clamp))
    if limit < 1:
        raise UsageError(
            f"{cols} columns with entries up to {clamp} are too many for a calibration sum below p/2"
        )
    return 1 << (limit.bit_length() - 1)
