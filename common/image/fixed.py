"""Fixed-point arithmetic of the renderer: integers with 12 fractional bits, the same on every machine.

Every value is an integer held in int64, or in float64 where a matrix product is wanted: sums of products stay
below 2^53 (the bounds are checked when weights are loaded), so the product is exact in whatever order, with or
without fused multiply-add, that a BLAS library chooses. Divisions are shifts that round half up.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import UsageError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FRACTION = 12
"""Fractional bits of activations, styles and latents."""

ACTIVATION_LIMIT = 1 << 20
"""Activations are clamped to +-256."""

STYLE_LIMIT = 1 << 18
"""Styles are clamped to +-64."""

DEMODULATION_SHIFT = 28
"""Demodulation factors carry 40 fractional bits; the sum they scale carries 12."""

_POSITIVE_GAIN, _NEGATIVE_GAIN, _GAIN_SHIFT = 92682, 18536, 16  # sqrt(2), 0.2 sqrt(2)


def shift_round(x: Ints, bits: int) -> Ints:
    """x / 2^bits, rounded half up."""
    return (x + (1 << (bits - 1))) >> bits


def standardize(v: Sequence[int]) -> Ints:
    """(v - mean) / std over its entries (population std), as fixed point; `v` are integers of any size.

    Raises UsageError for a constant vector, which has no direction.
    """
    values = [int(entry) for entry in v]
    count, total = len(values), sum(values)
    centred = [count * entry - total for entry in values]
    squares = sum(entry * entry for entry in centred)
    if squares == 0:
        raise UsageError("a constant vector has no picture")
    scale = count << (2 * FRACTION + 2)
    doubled = [isqrt(entry * entry * scale // squares) for entry in centred]
    rounded = [(root + 1) // 2 for root in doubled]
    return np.array([r if c >= 0 else -r for r, c in zip(rounded, centred, strict=True)], dtype=np.int64)


def activate(x: Ints) -> Ints:
    """Leaky ReLU of slope 0.2 and gain sqrt(2), clamped to +-256."""
    scaled = shift_round(x * np.where(x >= 0, _POSITIVE_GAIN, _NEGATIVE_GAIN), _GAIN_SHIFT)
    return np.clip(scaled, -ACTIVATION_LIMIT, ACTIVATION_LIMIT)


def demodulation(style: Ints, squared_weights: Ints) -> Ints:
    """2^40 / sqrt(sum_i style_i^2 squared_ki) for each output k, rounded down; 0 where the sum is 0.

    `squared_weights` (outputs, inputs) are the squares of the integer weights, summed over the kernel.
    The factor times the convolution it belongs to fits int64: by Cauchy-Schwarz that product is at most
    2^28 times the norm of the inputs, below 2^27 for 1024 channels (2^31 with the doubling filter's gain of 16).
    """
    sums = squared_weights @ (style * style)
    power = 1 << (2 * (DEMODULATION_SHIFT + FRACTION))
    return np.array([isqrt(power // int(s)) if s else 0 for s in sums], dtype=np.int64)


def filter_fir(x: Ints) -> Ints:
    """Convolve the last two axes with [1,3,3,1] x [1,3,3,1], unscaled, without padding."""
    x = x[..., :-3] + 3 * (x[..., 1:-2] + x[..., 2:-1]) + x[..., 3:]
    return x[..., :-3, :] + 3 * (x[..., 1:-2, :] + x[..., 2:-1, :]) + x[..., 3:, :]


def upsample(x: Ints) -> Ints:
    """Double height and width of (channels, n, n) with the FIR filter (gain 4), clamped to +-256."""
    channels, height, width = x.shape
    padded = np.zeros((channels, 2 * height + 3, 2 * width + 3), dtype=np.int64)
    padded[:, 2:-1:2, 2:-1:2] = x
    return np.clip(shift_round(filter_fir(padded), 4), -ACTIVATION_LIMIT, ACTIVATION_LIMIT)


def convolve(weight: Floats, x: Ints) -> Ints:
    """3x3 correlation with zero padding: weight (9, out, in), x (in, n, n) -> (out, n, n), exact."""
    inputs, height, width = x.shape
    padded = np.zeros((inputs, height + 2, width + 2))
    padded[:, 1:-1, 1:-1] = x
    total = np.zeros((weight.shape[1], height * width))
    for tap in range(9):
        row, column = divmod(tap, 3)
        window = padded[:, row : row + height, column : column + width]
        total += weight[tap] @ window.reshape(inputs, -1)
    return total.astype(np.int64).reshape(-1, height, width)


def convolve_doubling(weight: Floats, x: Ints) -> Ints:
    """3x3 transposed convolution of stride 2, then the unscaled FIR filter: (in, n, n) -> (out, 2n, 2n).

    The result is 16 times the doubled picture (gain 4 of 64), for the caller to shift away.
    """
    inputs, height, width = x.shape
    flat = x.astype(np.float64).reshape(inputs, -1)
    spread = np.zeros((weight.shape[1], 2 * height + 3, 2 * width + 3))
    for tap in range(9):
        row, column = divmod(tap, 3)
        part = (weight[tap] @ flat).reshape(-1, height, width)
        spread[:, row + 1 : row + 1 + 2 * height : 2, column + 1 : column + 1 + 2 * width : 2] += part
    return filter_fir(spread.astype(np.int64))
