"""The committed tensors of a whole model, in order, as they follow from its shape alone.

Every tensor holds int8 entries of absolute value at most 127, one row per neuron. Row r of tensor t stands for the real
numbers t[r] · 2^e, where e is entry r of the tensor "<t>.step" that follows it, (1 × rows). In the order of the stream:

| name | rows | cols | what a row is |
|---|---|---|---|
| `embed` | vocab | d | a token |
| `l<n>.q`, `.k`, `.v` | heads · head_dim, or kv heads · head_dim | d | reads the stream |
| `l<n>.o` | heads · head_dim | d | writes the stream: the transposed weight |
| `l<n>.q_gain`, `.k_gain` | 2 | rows of q, of k | with q/k norms: the gain per row of q and k, first row plus second |
| `l<n>.attn_gain`, `.o_gain`, `.ffn_gain`, `.down_gain`, `head_gain` | 2 | d | gains, where norms are behind |
| `l<n>.gate` | neurons | d | reads the stream, where the FFN is gated |
| `l<n>.up` | neurons | d | reads the stream |
| `l<n>.down` | neurons | d | writes the stream |
| `l<n>.router` | experts | d | an expert's score, where the layer is a mixture |
| `head` | vocab | d | a token's logit, where the model has a head |

With learned positions, `positions` (positions × d) follows `embed`. For every name X of the shape's `biases`, X is
followed by `<X>_bias`, four rows of digits b_0 … b_3 of the bias Σ b_r · 2^(7r): of rows that read the stream
(q, k, gate, up, head) in units of 2^(step − `READ_UNIT`) of their own row, of what is written (o, down; d columns)
in units of 2^−`WRITE_UNIT`. Their steps are −`READ_UNIT` + 7r or −`WRITE_UNIT` + 7r.

With norms behind attention and FFN, `attn_gain` stands before q, `o_gain` behind o and its bias, `ffn_gain` before gate
and up, `down_gain` behind down and its bias, `head_gain` before the head. A layer has what belongs to attention where
it has attention, and what belongs to the FFN where it has neurons: those of its FFN, or of one expert after another.
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
READ_UNIT, WRITE_UNIT = 9, 13
"""Units of biases: of what is read, beside the step of the row, and of what is written."""
DIGIT, DIGITS = 7, 4
"""Bits of a bias's digit, and how many digits it has."""
GAIN_BITS = 7
"""By how much the second row of a gain is finer."""
BIAS, GAIN = "_bias", "_gain"


def kind_of(name: str) -> str:
    """What a tensor, or its steps, is called in every layer: "q" of "l3.q" and of "l3.q.step"."""
    return name.removesuffix(STEP).rpartition(".")[2]


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

    def with_bias(name: str, rows: int, entries: int | None = None) -> Iterator[Tensor]:
        yield Tensor(name, rows, d)
        if kind_of(name) in shape.biases:
            yield Tensor(name + BIAS, DIGITS, rows if entries is None else entries)

    def gain(name: str) -> Iterator[Tensor]:
        if shape.output_norm:
            yield Tensor(name + GAIN, 2, d)

    yield Tensor("embed", shape.vocab, d)
    if shape.positions:
        yield Tensor("positions", shape.positions, d)
    for n in range(shape.layers):
        block = shape.block(n)
        if block.attention:
            yield from gain(f"l{n}.attn")
            for name, rows in (("q", q_rows), ("k", kv_rows), ("v", kv_rows)):
                yield from with_bias(f"l{n}.{name}", rows)
            yield from with_bias(f"l{n}.o", q_rows, d)
            yield from gain(f"l{n}.o")
            if shape.qk_norm:
                yield Tensor(f"l{n}.q_gain", 2, q_rows)
                yield Tensor(f"l{n}.k_gain", 2, kv_rows)
        if block.neurons:
            yield from gain(f"l{n}.ffn")
            for name in ("gate", "up") if shape.gated else ("up",):
                yield from with_bias(f"l{n}.{name}", block.neurons)
            yield from with_bias(f"l{n}.down", block.neurons, d)
            yield from gain(f"l{n}.down")
        if block.experts:
            yield Tensor(f"l{n}.router", block.experts, d)
    if shape.head:
        yield from gain("head")
        yield from with_bias("head", shape.vocab)


def whole_model(shape: ModelShape) -> tuple[Tensor, ...]:
    """All committed tensors of a model of this shape in order, every one followed by its steps."""
    return tuple(
        tensor
        for matrix in matrices(shape)
        for tensor in (matrix, Tensor(matrix.name + STEP, 1, matrix.rows))
    )
