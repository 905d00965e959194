"""The committed tensors of a whole model, in order, as they follow from its shape alone.

Every tensor holds int8 entries of absolute value at most 127, one row per neuron. Row r of tensor t stands for the real
numbers t[r] · 2^e, where e is entry r of the tensor "<t>.step" that follows it, (1 × rows). In the order of the stream:

| name | rows | cols | what a row is |
|---|---|---|---|
| `embed` | vocab | d | a token |
| `l<n>.q`, `.k`, `.v` | heads · head_dim, or kv heads · head_dim | d | reads the stream |
| `l<n>.o` | heads · head_dim | d | writes the stream: the transposed weight |
| `l<n>.q_gain`, `.k_gain` | 2 | rows of q, of k | with q/k norms: the gain per row of q and k, first row plus second |
| `l<n>.gate` | neurons | d | reads the stream, where the FFN is gated |
| `l<n>.up` | neurons | d | reads the stream |
| `l<n>.down` | neurons | d | writes the stream |
| `l<n>.router` | experts | d | an expert's score, where the layer is a mixture |
| `head` | vocab | d | a token's logit, where the model has a head |

A layer has the first six lines where it has attention, and the next three where it has neurons: those of its FFN, or
of one expert after another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from huref.circuits.fingerprint.shape import ModelShape

LARGEST = 127
"""Absolute value of the largest entry."""
ADMITTED = 128
"""Absolute value of the largest entry that the proof of range admits: bounds rest on it."""
STEP = ".step"
"""What the name of a tensor's steps ends with."""
LOWEST_STEP, HIGHEST_STEP = -100, 100
"""Exponents of steps."""


@dataclass(frozen=True)
class Tensor:
    """A committed tensor's name and size."""

    name: str
    rows: int
    cols: int

    @property
    def entries(self) -> int:
        """Number of entries."""
        return self.rows * self.cols


def matrices(shape: ModelShape) -> Iterator[Tensor]:
    """The tensors of a model of this shape, without their steps, in order."""
    d, q_rows, kv_rows = shape.hidden, shape.q_rows, shape.kv_rows
    yield Tensor("embed", shape.vocab, d)
    for n in range(shape.layers):
        block = shape.block(n)
        if block.attention:
            for name, rows in (("q", q_rows), ("k", kv_rows), ("v", kv_rows), ("o", q_rows)):
                yield Tensor(f"l{n}.{name}", rows, d)
            if shape.qk_norm:
                yield Tensor(f"l{n}.q_gain", 2, q_rows)
                yield Tensor(f"l{n}.k_gain", 2, kv_rows)
        if block.neurons:
            for name in ("gate", "up", "down") if shape.gated else ("up", "down"):
                yield Tensor(f"l{n}.{name}", block.neurons, d)
        if block.experts:
            yield Tensor(f"l{n}.router", block.experts, d)
    if shape.head:
        yield Tensor("head", shape.vocab, d)


def whole_model(shape: ModelShape) -> tuple[Tensor, ...]:
    """All committed tensors of a model of this shape in order, every one followed by its steps."""
    return tuple(
        tensor
        for matrix in matrices(shape)
        for tensor in (matrix, Tensor(matrix.name + STEP, 1, matrix.rows))
    )
