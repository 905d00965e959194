"""The picture of a fingerprint, by whichever generator; and StyleGAN2 inference in exact integers.

    v --standardize--> z --mapping network--> w --truncation--> w' --affine--> styles
    constant 4x4 --[modulate, convolve (doubling), demodulate, + noise + bias, activate]*--> features
    features --[modulate, 1x1 mix]--> RGB, summed over resolutions through the doubling FIR filter

After Karras et al., arXiv 1912.04958 (skip generator, "config E/F"); the torch twin is
`huref.prover.generator.model`. See `huref.common.image.fixed` for the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import UsageError
from huref.common.image.creature.draw import Creatures, draw_creature
from huref.common.image.faces import FaceNetworks, draw_face
from huref.common.image.fixed import (
    ACTIVATION_LIMIT,
    DEMODULATION_SHIFT,
    FRACTION,
    STYLE_LIMIT,
    Ints,
    activate,
    convolve,
    convolve_doubling,
    demodulation,
    shift_round,
    standardize,
    upsample,
)
from huref.common.image.registry import Installed, embedded
from huref.common.image.weights import ConvolutionWeights, GeneratorWeights, LinearWeights, RgbWeights

_UNIT = 1 << FRACTION


def render(v: Sequence[int], generator: Installed | None = None) -> NDArray[np.uint8]:
    """Picture (H, W, 3) of a fingerprint v, drawn by `generator` (default: the embedded one).

    v are integers of any size; they are standardized first, so their mean and scale do not matter.
    Raises UsageError when v has another length than the generator's latent, or is constant.
    """
    weights = (generator or embedded()).weights
    if isinstance(weights, FaceNetworks):
        return draw_face(v, weights)
    if isinstance(weights, Creatures):
        return draw_creature(standardize(v))
    if len(v) != weights.architecture.z_dim:
        raise UsageError(f"the generator takes {weights.architecture.z_dim} numbers, got {len(v)}")
    return render_latent(standardize(v), weights)


def render_latent(z: Ints, weights: GeneratorWeights) -> NDArray[np.uint8]:
    """Picture (H, W, 3) of a standardized latent with 12 fractional bits."""
    w = _truncate(map_latent(z, weights), weights)
    x = weights.constant.astype(np.int64)
    picture: Ints | None = None
    for block in weights.blocks:
        if block.first is not None:
            x = _convolve_styled(block.first, x, w, doubling=True)
        x = _convolve_styled(block.second, x, w, doubling=False)
        rgb = _to_rgb(block.rgb, x, w)
        if picture is not None:
            rgb = rgb + upsample(picture)
        picture = np.clip(rgb, -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
    assert picture is not None
    levels = ((picture + _UNIT) * 255 + _UNIT) >> (FRACTION + 1)
    return np.ascontiguousarray(np.clip(levels, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def map_latent(z: Ints, weights: GeneratorWeights) -> Ints:
    """w of a standardized latent, before truncation."""
    x = np.clip(z, -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
    for layer in weights.mapping:
        x = activate(_linear(layer, x))
    return x


def _truncate(w: Ints, weights: GeneratorWeights) -> Ints:
    mean = weights.mean_w.astype(np.int64)
    return mean + shift_round((w - mean) * weights.truncation, 16)


def _linear(layer: LinearWeights, x: Ints) -> Ints:
    """Apply along the first axis: (in, ...) -> (out, ...)."""
    sums = (layer.weight.astype(np.float64) @ x.astype(np.float64)).astype(np.int64)
    shape = (-1,) + (1,) * (x.ndim - 1)
    scaled = shift_round(sums * layer.multiplier.astype(np.int64).reshape(shape), layer.shift)
    return scaled + layer.bias.astype(np.int64).reshape(shape)


def _style(affine: LinearWeights, w: Ints) -> Ints:
    return np.clip(_linear(affine, w), -STYLE_LIMIT, STYLE_LIMIT)


def _modulate(x: Ints, style: Ints) -> Ints:
    return shift_round(x * style[:, None, None], FRACTION)


def _convolve_styled(layer: ConvolutionWeights, x: Ints, w: Ints, doubling: bool) -> Ints:
    style = _style(layer.affine, w)
    wide = layer.weight.astype(np.int64)
    outputs, inputs = wide.shape[:2]
    taps = wide.transpose(2, 3, 0, 1).reshape(9, outputs, inputs).astype(np.float64)
    sums = (convolve_doubling if doubling else convolve)(taps, _modulate(x, style))
    factor = demodulation(style, (wide * wide).sum((2, 3)))
    bits = DEMODULATION_SHIFT + (4 if doubling else 0)
    features = shift_round(sums * factor[:, None, None], bits)
    return activate(features + layer.noise + layer.bias.astype(np.int64)[:, None, None])


def _to_rgb(layer: RgbWeights, x: Ints, w: Ints) -> Ints:
    modulated = _modulate(x, _style(layer.affine, w))
    flat = _linear(layer.mix, modulated.reshape(len(x), -1))
    return flat.reshape(-1, *x.shape[1:])
