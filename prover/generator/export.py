"""From float weights to the integer weights of `huref.common.image`.

Linear maps become int16 with a scale per output, convolutions int8 with a scale per output channel (which
demodulation divides away). Biases, noise, constant and mean w carry 12 fractional bits.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from huref.common.errors import Malformed, Unsupported
from huref.common.image.fixed import ACTIVATION_LIMIT, FRACTION, STYLE_LIMIT
from huref.common.image.weights import (
    BlockWeights,
    ConvolutionWeights,
    GeneratorWeights,
    LinearWeights,
    RgbWeights,
)
from huref.prover.generator.model import Generator, Linear, StyledConvolution, ToRgb

_LINEAR_LEVELS, _CONVOLUTION_LEVELS = 32767, 127
_Kind = TypeVar("_Kind", np.int16, np.int32)
_MODULATED_LIMIT = ACTIVATION_LIMIT * STYLE_LIMIT >> FRACTION


@torch.no_grad()
def export_generator(model: Generator, name: str, licence: str, truncation: float = 1.0) -> GeneratorWeights:
    """Round a trained generator to integers; raises Unsupported when a weight is out of range."""
    synthesis = model.synthesis
    blocks = tuple(
        BlockWeights(
            None if block.first is None else _convolution(block.first),
            _convolution(block.second),
            _rgb(block.rgb),
        )
        for block in synthesis.stack
    )
    weights = GeneratorWeights(
        model.architecture,
        name,
        licence,
        round(truncation * 65536),
        tuple(_equalized(layer) for layer in model.mapping.stack),
        _fixed(model.mapping.mean_w, np.int32),
        _fixed(synthesis.constant, np.int32),
        blocks,
    )
    weights.check()
    return weights


def _equalized(layer: Linear, limit: int = ACTIVATION_LIMIT) -> LinearWeights:
    return _linear(layer.weight * layer.gain, layer.bias * layer.rate, limit)


def _linear(weight: Tensor, bias: Tensor, limit: int) -> LinearWeights:
    scale = weight.abs().amax(1).double().clamp_min(1e-12) / _LINEAR_LEVELS
    whole = (weight.double() / scale[:, None]).round().numpy().astype(np.int16)
    for shift in range(46, 0, -1):
        multiplier = (scale * 2.0**shift).round().numpy()
        if multiplier.max() >= 2**31:
            continue
        layer = LinearWeights(whole, multiplier.astype(np.int32), _fixed(bias, np.int32), shift)
        try:
            layer.check("linear", limit)
        except Malformed:
            continue
        return layer
    raise Unsupported("a linear map of the generator has weights too large for integer inference")


def _convolution(layer: StyledConvolution) -> ConvolutionWeights:
    peak = layer.weight.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
    whole = (layer.weight / peak * _CONVOLUTION_LEVELS).round().numpy().astype(np.int8)
    noise = _fixed(layer.noise * layer.noise_strength, np.int16)
    return ConvolutionWeights(_equalized(layer.affine), whole, _fixed(layer.bias, np.int32), noise)


def _rgb(layer: ToRgb) -> RgbWeights:
    mix = layer.weight / math.sqrt(layer.weight.shape[1])
    return RgbWeights(_equalized(layer.affine), _linear(mix, layer.bias, _MODULATED_LIMIT))


def _fixed(values: Tensor, kind: type[_Kind]) -> NDArray[_Kind]:
    whole = (values.double() * (1 << FRACTION)).round().numpy()
    if np.abs(whole).max(initial=0) > np.iinfo(kind).max:
        raise Unsupported("a constant of the generator is out of range for integer inference")
    return whole.astype(kind)
