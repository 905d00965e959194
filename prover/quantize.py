"""Float tensors → signed integers: symmetric, one step per tensor, pinned by the profile (fingerprint §3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import Malformed
from prover import pinned
from prover.kernels.canonical import round_rows
from prover.pinned import Float64


@dataclass(frozen=True)
class Quantized:
    """`values` · `step` approximates the tensor; int8, |values| ≤ 2^(bits−1) − 1."""

    values: NDArray[np.int8]
    step: float


def quantize(name: str, tensor: Float64, bits: int, clip_sigmas: float) -> Quantized:
    """Round a tensor (rows × cols) to |q| ≤ Q = 2^(bits−1) − 1 in steps of min(max|w|, clip_sigmas·rms) / Q.

    The rms is a pinned sum, the rest single IEEE operations, so the result is the same on every machine.
    A zero tensor stays zero.

    Raises:
        Malformed: an entry is NaN or infinite, or too large to square; names the tensor.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean_square = float(pinned.tree_sum(pinned.norms_squared(tensor))) / tensor.size
    if not np.isfinite(mean_square):
        raise Malformed(f"tensor {name} holds NaN, infinity or absurdly large entries")
    largest = (1 << (bits - 1)) - 1
    reach = min(max(float(tensor.max()), -float(tensor.min())), clip_sigmas * float(np.sqrt(mean_square)))
    step = reach / largest
    if step == 0.0:
        return Quantized(np.zeros(tensor.shape, dtype=np.int8), 1.0)
    return Quantized(round_rows(tensor, step, largest), step)
