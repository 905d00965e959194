"""The fingerprint program on a whole model's commitment (protocol §3.5): all layers as one wide network.

Rows are read without their steps, so every token, neuron and head row has about the same length. The range of the
entries is not this program's business: `huref.circuits.range`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from huref.circuits.fingerprint.clamps import calibration_rows, largest_clamp
from huref.circuits.fingerprint.profiles import Profile
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.fingerprint.sketch import bucket_map, largest_bucket, signed_sketch
from huref.circuits.model.tensors import LARGEST, whole_model
from huref.circuits.program.bounds import fits
from huref.circuits.program.program import (
    Accumulator,
    MatMul,
    Output,
    Program,
    Site,
    SketchSum,
    View,
    Weight,
)
from huref.common.errors import UsageError

_FACTORS = (("qk", "q", "k"), ("vo", "o", "v"), ("ud", "up", "down"))
"""Terms, and the weights on the left and on the right of each; k and v serve a group of q's and o's heads."""
_CLAMP = 127
"""Of the first factors, which have a column for every neuron of the model: 8 bits."""
MAX_LAYERS = 1 << 10
"""Cap on the tensors that a hostile shape can make a verifier list."""
_SPLIT = 49152
"""Neurons that one accumulator sums: a longer sum is cut into runs."""


def committed_tensors(shape: ModelShape) -> tuple[Weight, ...]:
    """All that the commitment to a model of this shape holds, in order: kind by kind, each through all layers."""
    kinds: dict[str, list[Weight]] = {}
    for tensor in whole_model(shape):
        kinds.setdefault(tensor.name.partition(".")[2] if tensor.name[0] == "l" else tensor.name, []).append(
            Weight(tensor.name, tensor.rows, tensor.cols)
        )
    return tuple(weight for group in kinds.values() for weight in group)


def compile_whole(shape: ModelShape, profile: Profile, tokens: Sequence[int], p: int) -> Program:
    """The program that reads the embedding rows `tokens` in p pools, and all layers as one wide network.

    Raises:
        UsageError: sizes do not suit the profile, or a static bound reaches p/2.
    """
    if shape.layers > MAX_LAYERS:
        raise UsageError(f"{shape.layers} layers: a whole model has at most {MAX_LAYERS}")
    stack = committed_tensors(shape)
    builder = _Builder(shape, profile, stack, p)
    builder.sketch("ys", "S", tokens)
    builder.sketch("yt", "T", tokens)
    for name, left, right in _FACTORS:
        builder.term(name, left, right)
    output = _output(builder.terms, p)
    return Program(tuple(builder.weights), tuple(builder.sites), output, stack, ranged=True)


class _Builder:
    """Accumulates sites in execution order."""

    def __init__(self, shape: ModelShape, profile: Profile, stack: tuple[Weight, ...], p: int) -> None:
        self.shape, self.profile, self.p = shape, profile, p
        self.weights = [weight for weight in stack if weight.name == "embed"]
        self.sites: list[Site] = []
        self.terms: list[Site] = []

    @property
    def clamp(self) -> int:
        """Of the sketches and of what is multiplied with them."""
        d = self.shape.hidden
        return largest_clamp(self.profile, linear=d * LARGEST, square=d)

    def sketch(self, name: str, table: str, tokens: Sequence[int]) -> None:
        """Signed sums of the selected embedding rows, less their mean."""
        found = signed_sketch("embed", table, len(tokens), self.p)
        rows = np.asarray(tokens, np.int64)[found.token]
        acc = SketchSum("embed", found.row, rows, found.sign, centred=True)
        self._site(name, acc, self.shape.hidden, self.clamp, acc.bound(self.p, LARGEST))

    def term(self, name: str, left: str, right: str) -> None:
        """Factors, one for every neuron; their sums with the right rows; the product with the right sketch."""
        shape, d = self.shape, self.shape.hidden
        inner = shape.layers * (shape.ffn if name == "ud" else shape.q_rows)
        self._joined(left, inner)
        stored = inner if name == "ud" else shape.layers * shape.kv_rows
        self._joined(right, stored)
        factors, sums = f"{name}.factors", f"{name}.sums"
        self._site(factors, MatMul(View("ys"), View(left), d), inner, _CLAMP, d * LARGEST * self.clamp)
        kind = View(right, transposed=True)
        if stored != inner:
            kind = View(right, "repeat", shape.head_dim, inner // stored, transposed=True)
        product = MatMul(View(factors), kind, inner, _SPLIT if inner > _SPLIT else 0)
        runs = len(product.runs)
        self._site(sums, product, runs * d, self.clamp, min(inner, _SPLIT) * LARGEST * _CLAMP)
        sketch = View("yt") if runs == 1 else View("yt", "tile", group=runs)
        last = MatMul(View(sums), sketch, runs * d, d if runs > 1 else 0)
        out = largest_clamp(self.profile, linear=runs * largest_bucket(len(_FACTORS), self.p))
        self._site(name, last, runs * self.p, out, d * self.clamp**2)
        self.terms.append(self.sites[-1])

    def _joined(self, name: str, rows: int) -> None:
        parts = tuple(f"l{n}.{name}" for n in range(self.shape.layers))
        self.weights.append(Weight(name, rows, self.shape.hidden, parts=parts))

    def _site(self, name: str, acc: Accumulator, cols: int, clamp: int, bound: int) -> None:
        if clamp < self.profile.min_clamp or not fits(bound):
            raise UsageError(f"{name}: entries of {clamp.bit_length() + 1} bits are all that stays below p/2")
        calibration = calibration_rows(self.profile, self.p, cols, clamp)
        self.sites.append(Site(name, acc, self.p, cols, clamp, -clamp, bound, calibration))


def _output(terms: list[Site], p: int) -> Output:
    """Every term fills its own segment; the runs of a term are summed."""
    maps = [bucket_map(number, len(terms), p) for number in range(len(terms))]
    runs = [term.cols // p for term in terms]
    buckets = tuple(np.tile(bucket, (1, count)) for (bucket, _), count in zip(maps, runs, strict=True))
    signs = tuple(np.tile(sign, (1, count)) for (_, sign), count in zip(maps, runs, strict=True))
    bound = largest_bucket(len(terms), p) * max(
        count * term.clamp for count, term in zip(runs, terms, strict=True)
    )
    if not fits(bound):
        raise UsageError(f"the static bound {bound} of v reaches p/2")
    return Output(tuple(term.name for term in terms), buckets, signs, bound)
