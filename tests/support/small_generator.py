"""A StyleGAN2 generator of 32 pixels with random weights, built without torch."""

from __future__ import annotations

import numpy as np

from huref.common.image.architecture import Architecture
from huref.common.image.weights import (
    BlockWeights,
    ConvolutionWeights,
    GeneratorWeights,
    LinearWeights,
    RgbWeights,
)

_CHANNELS = (12, 12, 8, 8)
_W = 24


def small_weights(seed: int = 1) -> GeneratorWeights:
    """Weights of one layer of mapping and four resolutions; the same for the same seed."""
    rng = np.random.default_rng(seed)

    def linear(outputs: int, inputs: int, gain: float, bias: int = 0) -> LinearWeights:
        weight = rng.integers(-1000, 1001, (outputs, inputs)).astype(np.int16)
        factor = round(gain * (1 << 20) / (577 * np.sqrt(inputs)))
        offsets = np.full(outputs, bias, dtype=np.int32)
        return LinearWeights(weight, np.full(outputs, factor, dtype=np.int32), offsets, 20)

    def convolution(inputs: int, outputs: int, size: int) -> ConvolutionWeights:
        return ConvolutionWeights(
            linear(inputs, _W, 0.5, bias=4096),
            rng.integers(-127, 128, (outputs, inputs, 3, 3)).astype(np.int8),
            rng.integers(-800, 800, outputs).astype(np.int32),
            rng.integers(-300, 300, (size, size)).astype(np.int16),
        )

    blocks = []
    for level, channels in enumerate(_CHANNELS):
        size = 4 << level
        first = convolution(_CHANNELS[level - 1], channels, size) if level else None
        rgb = RgbWeights(linear(channels, _W, 0.5, bias=4096), linear(3, channels, 0.4))
        blocks.append(BlockWeights(first, convolution(channels, channels, size), rgb))
    return GeneratorWeights(
        Architecture((_W,), _CHANNELS),
        "small",
        "random numbers",
        1 << 16,
        (linear(_W, 512, 1.0),),
        rng.integers(-400, 400, _W).astype(np.int32),
        rng.integers(-6000, 6000, (_CHANNELS[0], 4, 4)).astype(np.int32),
        tuple(blocks),
    )
