"""One block of a LLaMA-like model with random weights: its sizes, its numbers, and what it computes in floating point.

Needs numpy only: both interpreters import it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
EPSILON, THETA, HIDDEN = 1e-5, 10000.0, -16.0
"""Of the norms; of the rotary angles; what is added to a score that a token must not see: e^-16 of a token's weight."""


@dataclass(frozen=True, order=True)
class Block:
    """`width` columns in heads of 16, `ffn` neurons, `tokens` rows."""

    width: int
    ffn: int
    tokens: int

    HEAD = 16

    @property
    def heads(self) -> int:
        """All with keys and values of their own."""
        return self.width // self.HEAD

    @property
    def parameters(self) -> int:
        """Weights of the seven matrices and two gains."""
        return 4 * self.width**2 + 3 * self.width * self.ffn + 2 * self.width

    @property
    def products(self) -> int:
        """Multiplications of a forward pass, without those of norms and activations."""
        return self.tokens * (self.parameters - 2 * self.width + 2 * self.tokens * self.width)

    def __str__(self) -> str:
        return f"{self.width}x{self.ffn}x{self.tokens}"

    @classmethod
    def parse(cls, text: str) -> Block:
        """WIDTHxFFNxTOKENS.

        Raises:
            ValueError: not three positive numbers, or a width that is no multiple of 16.
        """
        width, ffn, tokens = (int(part) for part in text.split("x"))
        if min(width, ffn, tokens) < 1 or width % cls.HEAD:
            raise ValueError(f"{text}: WIDTHxFFNxTOKENS, a width that is a multiple of {cls.HEAD}")
        return cls(width, ffn, tokens)


def weights(block: Block) -> dict[str, Array]:
    """Gains about 1, matrices (inputs × outputs) that keep the size of what they multiply."""
    draw = np.random.default_rng(0)
    shapes = dict.fromkeys(("q", "k", "v", "o"), (block.width, block.width))
    shapes |= dict.fromkeys(("gate", "up"), (block.width, block.ffn)) | {"down": (block.ffn, block.width)}
    found = {name: draw.standard_normal(shape) / np.sqrt(shape[0]) for name, shape in shapes.items()}
    return found | {name: 1 + draw.standard_normal(block.width) / 8 for name in ("attn_gain", "ffn_gain")}


def inputs(block: Block) -> dict[str, Array]:
    """The stream before the block, and what is public about positions: cosines, sines, and the causal mask."""
    stream = np.random.default_rng(1).standard_normal((block.tokens, block.width))
    half = block.HEAD // 2
    angles = np.arange(block.tokens)[:, None] * THETA ** (-np.arange(half) / half)
    double = np.concatenate((angles, angles), axis=1)
    mask = np.triu(np.full((block.tokens, block.tokens), HIDDEN), 1)
    return {"x": stream, "cos": np.cos(double), "sin": np.sin(double), "mask": mask}


def forward(block: Block) -> Array:
    """The block on its inputs in float64: tokens × width."""
    w, given = weights(block), inputs(block)
    shape = (block.tokens, block.heads, block.HEAD)

    def normed(stream: Array, gain: Array) -> Array:
        return stream / np.sqrt((stream**2).mean(axis=1, keepdims=True) + EPSILON) * gain

    def turned(x: Array) -> Array:
        first, second = np.split(x, 2, axis=-1)
        return x * given["cos"] + np.concatenate((-second, first), axis=-1) * given["sin"]

    read = normed(given["x"], w["attn_gain"])
    q, k, v = ((read @ w[name]).reshape(shape).transpose(1, 0, 2) for name in ("q", "k", "v"))
    scores = turned(q) @ turned(k).transpose(0, 2, 1) / np.sqrt(block.HEAD) + given["mask"]
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    stream = given["x"] + (shares @ v).transpose(1, 0, 2).reshape(block.tokens, block.width) @ w["o"]
    read = normed(stream, w["ffn_gain"])
    gate = read @ w["gate"]
    out: Array = stream + (gate / (1 + np.exp(-gate)) * (read @ w["up"])) @ w["down"]
    return out
