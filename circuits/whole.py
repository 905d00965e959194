"""The fingerprint program on a whole model's commitment (protocol §3.5): terms of all layers, summed.

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

_WEIGHTS = ("q", "k", "v", "o", "up", "down")
_PAIRS = (("qk", "q", "k"), ("vo", "v", "o"), ("ud", "up", "down"))


def committed_tensors(shape: ModelShape) -> tuple[Weight, ...]:
    """Everything that the commitment to a model of this shape holds, in order."""
    return tuple(Weight(tensor.name, tensor.rows, tensor.cols) for tensor in whole_model(shape))


def compile_whole(shape: ModelShape, profile: Profile, tokens: Sequence[int], p: int) -> Program:
    """The program that reads the embedding rows `tokens` in p pools, and all layers.

    Raises:
        UsageError: sizes do not suit the profile, or a static bound reaches p/2.
    """
    stack = committed_tensors(shape)
    known = {weight.name: weight for weight in stack}
    layers = range(shape.layers)
    read = [known["embed"], *(known[f"l{n}.{name}"] for n in layers for name in _WEIGHTS)]
    builder = _Builder(shape, profile, known)
    builder.sketch("ys", "S", tokens, p)
    builder.sketch("yt", "T", tokens, p)
    kinds = [[builder.term(n, *pair) for n in layers] for pair in _PAIRS]
    clamp = builder.sites[-1].clamp
    output = _output(kinds, clamp, p)
    return Program(tuple(read), tuple(builder.sites), output, stack, ranged=True)


class _Builder:
    """Accumulates sites in execution order."""

    def __init__(self, shape: ModelShape, profile: Profile, known: dict[str, Weight]) -> None:
        self.shape, self.profile, self.known = shape, profile, known
        self.sites: list[Site] = []

    def sketch(self, name: str, table: str, tokens: Sequence[int], p: int) -> None:
        """Signed sums of the selected embedding rows."""
        found = signed_sketch("embed", table, len(tokens), p)
        rows = np.asarray(tokens, np.int64)[found.token]
        acc = SketchSum("embed", found.row, rows, found.sign)
        clamp = largest_clamp(self.profile, linear=self.shape.hidden * LARGEST)
        bound = int(np.bincount(acc.row).max()) * LARGEST
        self._site(name, acc, p, self.shape.hidden, clamp, bound)

    def term(self, n: int, kind: str, left: str, right: str) -> str:
        """One term of a layer: both factors, then their product; returns its name."""
        shape, p = self.shape, self.sites[0].rows
        inner = shape.ffn if kind == "ud" else shape.q_rows
        clamp = largest_clamp(self.profile, square=inner)
        views = []
        for source, name in (("ys", left), ("yt", right)):
            weight = self.known[f"l{n}.{name}"]
            acc = MatMul(View(source), View(weight.name), shape.hidden)
            origin = next(site for site in self.sites if site.name == source)
            bound = shape.hidden * LARGEST * origin.clamp
            self._site(f"{weight.name}a", acc, p, weight.rows, clamp, bound)
            grouped = View(f"{weight.name}a", "repeat", shape.head_dim, inner // weight.rows)
            views.append(View(f"{weight.name}a") if weight.rows == inner else grouped)
        product = MatMul(views[0], views[1], inner)
        entries = shape.layers * largest_bucket(len(_PAIRS), p)
        self._site(
            f"l{n}.{kind}", product, p, p, largest_clamp(self.profile, linear=entries), inner * clamp * clamp
        )
        return f"l{n}.{kind}"

    def _site(self, name: str, acc: Accumulator, rows: int, cols: int, clamp: int, bound: int) -> None:
        if clamp < self.profile.min_clamp or not fits(bound):
            raise UsageError(f"{name}: entries of {clamp.bit_length() + 1} bits are all that stays below p/2")
        calibration = calibration_rows(self.profile, rows, cols, clamp)
        self.sites.append(Site(name, acc, rows, cols, clamp, -clamp, bound, calibration))


def _output(kinds: list[list[str]], clamp: int, p: int) -> Output:
    """Every kind of term fills its own segment; layers are summed."""
    sources, buckets, signs = [], [], []
    for number, names in enumerate(kinds):
        bucket, sign = bucket_map(number, len(kinds), p)
        sources += names
        buckets += [bucket] * len(names)
        signs += [sign] * len(names)
    bound = largest_bucket(len(kinds), p) * clamp * len(kinds[0])
    if not fits(bound):
        raise UsageError(f"the static bound {bound} of v reaches p/2")
    return Output(tuple(sources), tuple(buckets), tuple(signs), bound)
