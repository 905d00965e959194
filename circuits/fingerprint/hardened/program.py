"""The sites of `hardened-2` with every static bound: what is committed, and how far it can be from zero.

The whole model is one wide network: the rows of q, o and up of all layers, one after another, are the columns of
three matrices of factors, and a term sums over all of them. The sums are cut into groups of `INNER` where one would
not fit below p/2. d hidden size, K tokens, P pools, m_t columns of term t, G_t = ⌈m_t / INNER⌉.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import isqrt

from huref.circuits.fingerprint.hardened.constants import (
    CALIBRATION_ROWS,
    COMPARED_CLAMP,
    COMPARED_ROWS,
    FACTOR_CLAMP,
    FACTOR_TARGET,
    FILTER_STEPS,
    INNER,
    PRODUCT_CLAMP,
    RATIO_BITS,
    RATIO_CLAMP,
    SCORE_CLAMP,
    SCORE_TARGET,
    SCORES,
    SKETCH_CLAMP,
    SKETCH_TARGET,
    TARGET,
    TERMS,
)
from huref.circuits.fingerprint.hardened.tables import segments
from huref.circuits.program.bounds import HEIGHT, fits
from huref.circuits.program.influence import ALONE, MOST_HEADS
from huref.common.algebra.field import P as FIELD_PRIME
from huref.common.errors import UsageError

SMALLEST_CLAMP = 63
MOST_ROWS = 1 << 10
"""Rows of a head: there is a table of their sums."""
_WEIGHT = 128


@dataclass(frozen=True)
class Site:
    """One committed matrix: out = clamp(round(acc / 2^s)), |acc| ≤ `bound`, |out| ≤ `clamp`; |acc| < p/2.

    `calibration` is the R of protocol §3.3 for its canonical shift s, `target` its τ.
    """

    name: str
    rows: int
    cols: int
    clamp: int
    bound: int
    calibration: int
    target: int


@dataclass(frozen=True)
class Sizes:
    """What the program depends on. `inner` are m_qk, m_vo, m_ud; `sketch_bound` the larger `Sketch.bound`; `heads`
    those of a layer; a key serves a `group` of them.
    """

    hidden: int
    pools: int
    inner: tuple[int, int, int]
    sketch_bound: int
    heads: int
    head_dim: int
    group: int

    def groups(self, term: int) -> int:
        """G_t."""
        return -(-self.inner[term] // INNER)

    @property
    def ratio_rows(self) -> int:
        """Rows over which a filter step's two sums are taken. They are calibration rows of its base, where Σ|out| <
        TARGET·N, so a sum of products stays below TARGET·N·C, which is checked."""
        c = self.sketch_clamp
        return min(CALIBRATION_ROWS, _rows(self.pools, TARGET * self.hidden * c))

    @property
    def compared_rows(self) -> int:
        """Rows over which `ud` and `gram` are compared, calibration rows of both."""
        limit = min(COMPARED_ROWS, self.sites["ud"].calibration, self.sites["gram"].calibration)
        return _rows(limit, TARGET * self.pools * self.groups(2) * COMPARED_CLAMP)

    @property
    def sketch_clamp(self) -> int:
        """Clamp of the sketches and of what the filter makes of them."""
        return _clamp(SKETCH_CLAMP, linear=self.hidden * _WEIGHT, square=self.hidden)

    @property
    def scores(self) -> int:
        """Pools whose scores heads are compared by."""
        return min(SCORES, self.pools)

    @property
    def score_clamp(self) -> int:
        """Clamp of the scores' factors: no score is beyond a clamp table at shift 0."""
        return min(SCORE_CLAMP, isqrt((HEIGHT - 1) // self.head_dim))

    @property
    def likest(self) -> int:
        """The product of a head's scores with themselves, if they are as large as can be."""
        return self.scores * SCORE_CLAMP**2

    @cached_property
    def sites(self) -> dict[str, Site]:
        """All sites in execution order, by name. Raises `UsageError` when a bound reaches p/2."""
        return {site.name: site for site in self._build()}

    def _build(self) -> Iterator[Site]:
        d, p, c = self.hidden, self.pools, self.sketch_clamp
        yield _site("ys", p, d, c, self.sketch_bound, target=SKETCH_TARGET)
        yield _site("yt", p, d, c, self.sketch_bound, target=SKETCH_TARGET)
        inner = _clamp(SKETCH_CLAMP, linear=p * c)
        for step in range(1, FILTER_STEPS + 1):
            yield _site(f"g{step}", p, p, inner, d * c * c)
            yield _site(f"z{step}", p, d, c, p * inner * c)
            bound = ((1 << RATIO_BITS) + RATIO_CLAMP) * c
            yield _site(f"ys{step}", p, d, c, bound, target=SKETCH_TARGET)
        yield from self._heads(c)
        for name, size in zip(("qa", "oa", "ua"), self.inner, strict=True):
            yield _site(name, p, size, FACTOR_CLAMP, d * _WEIGHT * c, target=FACTOR_TARGET)
        product = _clamp(PRODUCT_CLAMP, linear=d * c)
        for t, name in enumerate(("qc", "oc", "uc")):
            bound = min(INNER, self.inner[t]) * _WEIGHT * FACTOR_CLAMP
            yield _site(name, p, self.groups(t) * d, product, bound)
        for t, name in enumerate(TERMS):
            clamp = COMPARED_CLAMP if name == "ud" else PRODUCT_CLAMP
            limit = COMPARED_ROWS if name == "ud" else CALIBRATION_ROWS
            yield _site(name, p, self.groups(t) * p, clamp, d * product * c, limit)
        yield _site("gram", p, p, COMPARED_CLAMP, d * c * c, COMPARED_ROWS)

    def _heads(self, sketch_clamp: int) -> Iterator[Site]:
        """What says how alike the heads of a layer are."""
        if self.heads > MOST_HEADS:
            raise UsageError(f"{self.heads} heads in a layer: at most {MOST_HEADS} can be compared")
        if self.head_dim > MOST_ROWS:
            raise UsageError(f"heads of {self.head_dim} rows: at most {MOST_ROWS} can be bounded")
        rows, clamp, linear = self.scores, self.score_clamp, self.hidden * _WEIGHT * sketch_clamp
        count = self.inner[0] // self.head_dim
        yield _site("qs", rows, self.inner[0], clamp, linear, target=SCORE_TARGET)
        yield _site("ks", rows, self.inner[0] // self.group, clamp, linear, target=SCORE_TARGET)
        yield _site("scores", rows, count, SCORE_CLAMP, self.head_dim * clamp**2)
        beside = 1 << (self.heads - 1).bit_length()
        yield _site("alike", beside, count, ALONE, self.likest)

    @property
    def output_bound(self) -> int:
        """|e_j| is at most this. Raises `UsageError` when it reaches p/2."""
        fullest = max(-(-(self.pools**2) // (run.stop - run.start)) for run in segments())
        plain = (PRODUCT_CLAMP * max(self.groups(0), self.groups(1))) << RATIO_BITS
        compared = COMPARED_CLAMP * ((self.groups(2) << RATIO_BITS) + RATIO_CLAMP)
        return _checked("e", fullest * max(plain, compared))


def _rows(limit: int, row_bound: int) -> int:
    """The largest power of two of at most `limit` rows whose sum, at most `row_bound` each, stays below p/2."""
    rows = min(limit, ((FIELD_PRIME - 1) // 2 - 1) // row_bound)
    if rows < 1:
        raise UsageError(
            f"one row of a sum reaches {row_bound}, too much for p/2: the model is too wide",
            hint="too many neurons, or rows of heads, for this profile",
        )
    return 1 << (rows.bit_length() - 1)


def _clamp(largest: int, *, linear: int = 1, square: int = 0) -> int:
    clamp = largest
    while clamp >= SMALLEST_CLAMP and not (fits(linear * clamp) and fits(square * clamp * clamp)):
        clamp >>= 1
    if clamp < SMALLEST_CLAMP:
        raise UsageError("no clamp of at least 7 bits stays below p/2: the model is too wide")
    return clamp


def _checked(name: str, bound: int) -> int:
    if not fits(bound):
        raise UsageError(f"{name}: the static bound {bound} reaches p/2: the model is too large")
    return bound


def _site(
    name: str,
    rows: int,
    cols: int,
    clamp: int,
    bound: int,
    calibration: int = CALIBRATION_ROWS,
    target: int = TARGET,
) -> Site:
    fitting = _rows(min(calibration, rows), cols * clamp)
    return Site(name, rows, cols, clamp, _checked(name, bound), fitting, target)
