"""The integer weights of a generator, and the bounds that make its arithmetic exact.

Linear maps are int8 or int16 matrices with one integer multiplier per output: y = (W x * m) >> shift + b.
Modulated convolutions need no multipliers: demodulation divides every output channel's scale away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import Malformed
from huref.common.image.architecture import Architecture
from huref.common.image.fixed import ACTIVATION_LIMIT, FRACTION, STYLE_LIMIT

_INT64 = 1 << 62
_FLOAT64 = 1 << 53
_MODULATED_LIMIT = ACTIVATION_LIMIT * STYLE_LIMIT >> FRACTION


@dataclass(frozen=True)
class LinearWeights:
    """`weight` (out, in), `multiplier` (out,), `bias` (out,) with 12 fractional bits, `shift` >= 1."""

    weight: NDArray[np.integer]
    multiplier: NDArray[np.int32]
    bias: NDArray[np.int32]
    shift: int

    def check(self, path: str, input_limit: int) -> None:
        """Raise Malformed when a product could leave float64's integers or int64."""
        rows = np.abs(self.weight.astype(np.int64)).sum(1).astype(object) * input_limit
        products = rows * np.abs(self.multiplier.astype(np.int64)).astype(object)
        if not 1 <= self.shift <= 60 or max(rows) >= _FLOAT64 or max(products) >= _INT64:
            raise Malformed(f"{path}: weights too large for exact arithmetic")


@dataclass(frozen=True)
class ConvolutionWeights:
    """`affine` gives styles; `weight` (out, in, 3, 3); `bias` (out,) and `noise` (n, n), 12 fractional bits."""

    affine: LinearWeights
    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    noise: NDArray[np.int16]

    def check(self, path: str) -> None:
        """Raise Malformed when a sum could leave float64's integers or int64."""
        self.affine.check(path + ".affine", ACTIVATION_LIMIT)
        wide = self.weight.astype(np.int64)
        sums = np.abs(wide).sum((1, 2, 3)).max()
        squares = (wide * wide).sum((1, 2, 3)).max()
        if int(sums) * _MODULATED_LIMIT >= _FLOAT64 or int(squares) * STYLE_LIMIT**2 >= _INT64:
            raise Malformed(f"{path}: weights too large for exact arithmetic")


@dataclass(frozen=True)
class RgbWeights:
    """`affine` gives styles, `mix` (3, in) is applied to the modulated features."""

    affine: LinearWeights
    mix: LinearWeights

    def check(self, path: str) -> None:
        """Raise Malformed when a sum could leave float64's integers or int64."""
        self.affine.check(path + ".affine", ACTIVATION_LIMIT)
        self.mix.check(path + ".mix", _MODULATED_LIMIT)


@dataclass(frozen=True)
class BlockWeights:
    """One resolution; `first` is missing at 4 pixels."""

    first: ConvolutionWeights | None
    second: ConvolutionWeights
    rgb: RgbWeights


@dataclass(frozen=True)
class GeneratorWeights:
    """A whole generator: `constant` (channels, 4, 4), `mean_w` (w_dim,) int32, `truncation` in 1/65536."""

    architecture: Architecture
    name: str
    licence: str
    truncation: int
    mapping: tuple[LinearWeights, ...]
    mean_w: NDArray[np.int32]
    constant: NDArray[np.int32]
    blocks: tuple[BlockWeights, ...]

    def check(self) -> None:
        """Raise Malformed when any bound of the integer arithmetic fails."""
        if not 0 <= self.truncation <= 1 << 16:
            raise Malformed("truncation: outside 0..65536")
        if max(np.abs(self.mean_w).max(), np.abs(self.constant).max()) > ACTIVATION_LIMIT:
            raise Malformed("constants: outside the activation range")
        for index, layer in enumerate(self.mapping):
            layer.check(f"mapping.{index}", ACTIVATION_LIMIT)
        for level, block in enumerate(self.blocks):
            if block.first is not None:
                block.first.check(f"blocks.{level}.first")
            block.second.check(f"blocks.{level}.second")
            block.rgb.check(f"blocks.{level}.rgb")
