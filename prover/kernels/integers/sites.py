"""The executor's loops on the CPU beside the products: signed sums of rows, and re-quantization."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.program.program import Site, SketchSum
from huref.prover.kernels.jit import frozen, helper, kernel
from huref.prover.kernels.threads import run_ranges


@helper
def _add_row(total: Any, sign: Any, row: Any) -> None:
    for j in range(len(total)):
        total[j] += sign * row[j]


@kernel
def _signed_sums(source: Any, starts: Any, token: Any, sign: Any, out: Any, first: int, last: int) -> None:
    for row in range(first, last):
        for entry in range(starts[row], starts[row + 1]):
            _add_row(out[row], sign[entry], source[token[entry]])


def signed_sums(acc: SketchSum, rows: int, source: NDArray[Any]) -> NDArray[Any]:
    """S · `source` (rows × cols) for the sparse S of `acc`: float32 of float32, int32 of integers.

    Integers are exact while the sums stay below 2^31; float sums run in the order of the entries.
    """
    kind = np.float32 if source.dtype == np.float32 else np.int32
    out = np.zeros((rows, source.shape[1]), kind)
    run_ranges(_signed_sums, rows, 8, frozen(np.ascontiguousarray(source)), *acc.by_row(rows), out, align=1)
    return out


@kernel
def _requantize(
    acc: Any, half: int, shift: int, low: int, high: int, out: Any, quotient: Any, start: int, stop: int
) -> Any:
    peak = np.int32(0)
    mask = np.int32((1 << shift) - 1)
    for i in range(start, stop):
        raised = np.int32(acc[i] + np.int32(half))
        h = np.int32(raised >> np.int32(shift))
        quotient[i] = h
        acc[i] = raised & mask
        out[i] = np.int16(min(max(h, np.int32(low)), np.int32(high)))
        peak = max(peak, abs(h))
    return peak


def requantize(
    site: Site, acc: NDArray[np.int32], shift: int
) -> tuple[NDArray[np.int16], NDArray[np.int32], int]:
    """`out` and the quotient h of a site's accumulator (rows × cols), and max |h|; `acc` becomes the remainder.

    The accumulator is below 2^30 and contiguous, 0 ≤ shift ≤ 30.
    """
    out, quotient = np.empty(acc.shape, np.int16), np.empty(acc.shape, np.int32)
    half = (1 << shift) >> 1
    flat = acc.reshape(-1), half, shift, site.low, site.clamp, out.reshape(-1), quotient.reshape(-1)
    return out, quotient, max(run_ranges(_requantize, acc.size, 1 << 16, *flat))


@kernel
def _multiply(quotient: Any, columns: Any, bits: int, clamp: int, out: Any, first: int, last: int) -> None:
    for row in range(first, last):
        _multiply_row(quotient[row], columns, np.int32(bits), np.int32(clamp), out[row])


@helper
def _multiply_row(quotient: Any, columns: Any, bits: Any, clamp: Any, out: Any) -> None:
    half = np.int32((np.int32(1) << bits) >> np.int32(1))
    for j in range(len(quotient)):
        found = np.int32((quotient[j] * columns[j] + half) >> bits)
        out[j] = np.int16(min(max(found, -clamp), clamp))


def multiply(
    quotient: NDArray[np.int32], columns: NDArray[np.int64], bits: int, clamp: int, out: NDArray[np.int16]
) -> None:
    """`out` = ⌊(h·μ + 2^(bits−1)) / 2^bits⌋ clamped, for quotients h (rows × cols) and the multipliers of columns.

    |h| is below 2^15 and μ at most 2^8.
    """
    run_ranges(_multiply, len(quotient), 8, quotient, columns.astype(np.int32), bits, clamp, out, align=1)
