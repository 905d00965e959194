"""Float tensors → signed integers: symmetric, one step per tensor, pinned by the profile (fingerprint §3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import Malformed
from huref.prover.checkpoint.formats.base import Float32
from huref.prover.kernels import pinned
from huref.prover.kernels.integers.canonical import measure_rows, round_rows


@dataclass(frozen=True)
class Quantized:
    """`values` · `step` approximates the tensor; int8, |values| ≤ 2^(bits−1) − 1."""

    values: NDArray[np.int8]
    step: float


def quantize(
    name: str, tensor: Float32, bits: int, clip_sigmas: float, out: NDArray[np.int8] | None = None
) -> Quantized:
    """Round a tensor (rows × cols) to |q| ≤ Q = 2^(bits−1) − 1 in steps of min(max|w|, clip_sigmas·rms) / Q.

    The rms is a pinned sum, the rest single IEEE operations, so the result is the same on every machine; the
    step is a float32 number. A zero tensor stays zero. `out` (rows × at least cols) is where the values go, zeros
    behind them.

    Raises:
        Malformed: an entry is NaN or infinite; names the tensor.
    """
    squares, peaks = measure_rows(tensor)
    mean_square = float(pinned.tree_sum(squares)) / tensor.size
    if not np.isfinite(mean_square):
        raise Malformed(
            f"tensor {name} holds NaN or infinity, or overflows when norms and gains are folded in"
        )
    largest = (1 << (bits - 1)) - 1
    step = np.float32(min(float(peaks.max()), clip_sigmas * float(np.sqrt(mean_square))) / largest)
    if step == 0.0:
        step = np.float32(1.0)
    space = np.empty(tensor.shape, np.int8) if out is None else out
    round_rows(tensor, step, largest, space)
    return Quantized(space[:, : tensor.shape[1]], float(step))
