"""The fingerprint program on a whole model's commitment (docs/fingerprint.md, "hardened-2"; protocol §3.5).

All layers are one wide network: a term sums over the neurons, or the rows of heads, of every layer; the experts of a
mixture are more neurons. That the committed entries are bytes is not this program's business: `huref.circuits.range`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.hardened.constants import (
    FILTER_STEPS,
    HEAD_BITS,
    INNER,
    MULTIPLIER_BITS,
    OUTPUTS,
    RATIO_BITS,
    RATIO_CLAMP,
    ROW_BITS,
    TERMS,
)
from huref.circuits.fingerprint.hardened.program import Sizes
from huref.circuits.fingerprint.hardened.tables import Sketch, output_map, sketches
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.model.tensors import STEP, whole_model
from huref.circuits.program.influence import LOWER_QUARTILE
from huref.circuits.program.measured import HeadBound, HeadRow, Influence, Ratio, Share, StepRead
from huref.circuits.program.program import (
    Accumulator,
    Deflation,
    HeadProducts,
    Likeness,
    MatMul,
    Output,
    Program,
    Site,
    SketchSum,
    View,
    Weight,
)
from huref.common.errors import UsageError

MAX_LAYERS = 1 << 10
"""Cap on the tensors that a hostile shape can make a verifier list."""
_TERMS = (
    ("qk", "qa", "q", "qc", "k", ("q", "k")),
    ("vo", "oa", "o", "oc", "v", ("o", "v")),
    ("ud", "ua", "up", "uc", "down", ("gate", "up", "down")),
)
"""Per term its factors and their weight, its combined rows and their weight, and the tensors whose steps are a
neuron's influence."""
_GROUPED = ("k", "v")
_NEURONS = ("gate", "up", "down")
_ROWS = "rows"


def committed_tensors(shape: ModelShape) -> tuple[Weight, ...]:
    """All that the commitment to a model of this shape holds, in order: kind by kind, each through all layers."""
    kinds: dict[str, list[Weight]] = {}
    for tensor in whole_model(shape):
        kinds.setdefault(tensor.name.partition(".")[2] if tensor.name[0] == "l" else tensor.name, []).append(
            Weight(tensor.name, tensor.rows, tensor.cols)
        )
    return tuple(weight for group in kinds.values() for weight in group)


def compile_whole(
    shape: ModelShape, ids: Sequence[int], pieces: Sequence[bytes], pools: int, challenge: bytes
) -> Program:
    """The program that reads the embedding rows `ids`, of tokens with the bytes `pieces`, under a challenge.

    Raises:
        UsageError: sizes do not suit the profile, or a static bound reaches p/2.
    """
    if shape.layers > MAX_LAYERS:
        raise UsageError(f"{shape.layers} layers: a whole model has at most {MAX_LAYERS}")
    left, right = sketches(pieces, pools, challenge)
    sizes = whole_sizes(shape, left, right)
    builder = _Builder(shape, sizes, np.asarray(ids, np.int64))
    builder.sketches(left, right)
    builder.read()
    builder.heads()
    for term in range(len(_TERMS)):
        builder.term(term)
    builder.gram()
    return Program(
        tuple(builder.weights),
        tuple(builder.sites),
        _output(sizes, challenge),
        committed_tensors(shape),
        ranged=True,
        influences=tuple(builder.influences()),
        ratios=tuple(builder.ratios()),
        shares=tuple(builder.shares()),
    )


def whole_sizes(shape: ModelShape, left: Sketch, right: Sketch) -> Sizes:
    """The program's sizes under these sketches."""
    heads = len(shape.attending) * shape.q_rows
    bound = max(left.bound, right.bound)
    inner = (heads, heads, shape.neurons)
    return Sizes(shape.hidden, left.pools, inner, bound, shape.heads, shape.head_dim, shape.group)


class _Builder:
    """Accumulates weights and sites in execution order."""

    def __init__(self, shape: ModelShape, sizes: Sizes, ids: NDArray[np.int64]) -> None:
        self.shape, self.sizes, self.ids = shape, sizes, ids
        self.attending, self.feeding = shape.attending, shape.feeding
        self.weights = [Weight("embed", shape.vocab, shape.hidden)]
        self.sites: list[Site] = []
        self.stored: dict[str, int] = {}

    def read(self) -> None:
        """The joined weights of all terms."""
        for term, (_, _, left, _, right, _) in enumerate(_TERMS):
            inner = self.sizes.inner[term]
            self._joined(left, inner)
            self._joined(right, len(self.attending) * self.shape.kv_rows if right in _GROUPED else inner)

    def sketches(self, left: Sketch, right: Sketch) -> None:
        """Both sketches, and the left one without the directions that the right one sees most of."""
        for name, sketch in (("ys", left), ("yt", right)):
            sign = sketch.sign.astype(np.int8)
            self._site(name, SketchSum("embed", sketch.pool, self.ids, sign, True, f"{_ROWS}.multipliers"))
        for step in range(1, FILTER_STEPS + 1):
            g, z, before = f"g{step}", f"z{step}", _left(step - 1)
            self._site(g, MatMul(View(before), View("yt"), self.shape.hidden))
            self._site(z, MatMul(View(g), View("yt", transposed=True), self.sizes.pools))
            self._site(_left(step), Deflation(before, z, _left(step), RATIO_BITS))

    def term(self, term: int) -> None:
        """Factors, one for every neuron; their sums with the right rows; the product with the right sketch."""
        name, factors, left, combined, right, _ = _TERMS[term]
        d, inner, groups = self.shape.hidden, self.sizes.inner[term], self.sizes.groups(term)
        stored = self.stored[right]
        counted = f"{name}.multipliers" if name == "ud" else f"{name}.shares"
        self._site(factors, MatMul(View(_left(FILTER_STEPS)), View(left), d), counted)
        view = View(right, transposed=True)
        if stored != inner:
            view = View(right, "repeat", self.shape.head_dim, inner // stored, transposed=True)
        self._site(combined, MatMul(View(factors), view, inner, INNER if groups > 1 else 0))
        sketch = View("yt") if groups == 1 else View("yt", "tile", group=groups)
        self._site(name, MatMul(View(combined), sketch, groups * d, d if groups > 1 else 0))

    def heads(self) -> None:
        """A few scores of every head, and how alike those of a layer's heads are."""
        shape, d = self.shape, self.shape.hidden
        self._site("qs", MatMul(View(_left(FILTER_STEPS)), View("q"), d), "qk.heads")
        self._site("ks", MatMul(View("yt"), View("k"), d))
        keys = View("ks", "repeat", shape.head_dim, shape.group) if shape.group > 1 else View("ks")
        self._site("scores", HeadProducts("qs", keys, shape.head_dim))
        self._site("alike", Likeness("scores", shape.heads), full=self.sizes.likest)

    def gram(self) -> None:
        """What `ud` is compared with."""
        self._site("gram", MatMul(View(_left(FILTER_STEPS)), View("yt"), self.shape.hidden))

    def influences(self) -> Iterator[Influence]:
        """How much every chosen row, neuron and row of a head counts; what a head writes gates its scores."""
        chosen = (StepRead((f"embed{STEP}",), self.ids),)
        yield Influence(f"{_ROWS}.multipliers", 0, len(self.ids), chosen, ROW_BITS, interpolated=False)
        for term in (1, 0, 2):
            name, *_, tensors = _TERMS[term]
            read = tuple(self._steps(kind) for kind in tensors if kind != "gate" or self.shape.gated)
            gate = "vo.multipliers" if name == "qk" else ""
            row, cols = f"{name}.multipliers", self.sizes.inner[term]
            if name == "ud":
                yield Influence(row, 1 + term, cols, read, MULTIPLIER_BITS, True)
            else:
                above = MULTIPLIER_BITS - HEAD_BITS
                yield Influence(
                    row, 1 + term, cols, read, MULTIPLIER_BITS, False, gate, LOWER_QUARTILE, above
                )

    def shares(self) -> Iterator[HeadRow]:
        """The rows of heads, bounded and then divided among those that are alike."""
        width, heads = self.shape.head_dim, self.shape.heads
        for name in ("vo", "qk"):
            yield HeadBound(f"{name}.heads", f"{name}.multipliers", width, HEAD_BITS)
        for name in ("vo", "qk"):
            yield Share(f"{name}.shares", f"{name}.heads", "alike", width, heads)

    def ratios(self) -> Iterator[Ratio]:
        """What is taken off the left sketch at every step, and off `ud`."""
        for step in range(1, FILTER_STEPS + 1):
            rows = self.sizes.ratio_rows
            yield Ratio(_left(step), _left(step - 1), f"z{step}", rows, RATIO_BITS, RATIO_CLAMP)
        yield Ratio("ud", "ud", "gram", self.sizes.compared_rows, RATIO_BITS, RATIO_CLAMP)

    def _steps(self, kind: str) -> StepRead:
        """The steps of a kind of tensor in all layers that have it; k and v repeated to the rows of q and o."""
        shape, layers = self.shape, self._having(kind)
        index = np.arange(shape.neurons if kind in _NEURONS else len(layers) * shape.q_rows)
        if kind in _GROUPED:
            index = View(kind, "repeat", shape.head_dim, shape.group).index(len(index))
        return StepRead(tuple(f"l{n}.{kind}{STEP}" for n in layers), index)

    def _having(self, kind: str) -> list[int]:
        return self.feeding if kind in _NEURONS else self.attending

    def _joined(self, name: str, rows: int) -> None:
        parts = tuple(f"l{n}.{name}" for n in self._having(name))
        self.weights.append(Weight(name, rows, self.shape.hidden, parts=parts))
        self.stored[name] = rows

    def _site(self, name: str, acc: Accumulator, multipliers: str = "", full: int = 0) -> None:
        site = self.sizes.sites[name]
        self.sites.append(
            Site(
                name, acc, site.rows, site.cols, site.clamp, -site.clamp, site.bound, site.calibration,
                site.target, multipliers, full,
            )
        )  # fmt: skip


def _left(step: int) -> str:
    """The left sketch after so many steps."""
    return f"ys{step or ''}"


def _output(sizes: Sizes, challenge: bytes) -> Output:
    """Every term fills outputs of its own; groups of a term are summed, and `ud` is less its share of `gram`.

    All terms are in units of 2^−RATIO_BITS, so that none of them drowns the others in v.
    """
    sources, buckets, signs = [], [], []
    for term, name in enumerate(TERMS):
        place, sign = output_map(term, sizes.pools, challenge)
        for source, groups in ((name, sizes.groups(term)), *([("gram", 1)] if name == "ud" else [])):
            sources.append(source)
            buckets.append(np.tile(place, (1, groups)).astype(np.int16))
            signs.append(np.tile(sign, (1, groups)).astype(np.int8))
    factors: tuple[int | str, ...] = (*[1 << RATIO_BITS] * len(TERMS), "ud")
    return Output(tuple(sources), tuple(buckets), tuple(signs), sizes.output_bound, factors, OUTPUTS)
