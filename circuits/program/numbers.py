"""The measured numbers of a run, and what of them a site needs (protocol §3.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from huref.circuits.program.influence import Cap, Int64, likeness
from huref.circuits.program.program import Deflation, Program, Site, SketchSum
from huref.common.distinct import distinct

Values = Mapping[str, NDArray[np.integer]]


@dataclass(frozen=True)
class InfluenceTrace:
    """A row's sums of steps (without what a gate adds), its cap, and the multipliers; both (cols,)."""

    steps: Int64
    cap: Cap
    multipliers: Int64


@dataclass(frozen=True)
class SiteNumbers:
    """Multipliers of a site's columns, in units of 2^−bits, or of its sketch's entries; `count` columns calibrate it;
    `weight` is that of a deflation.
    """

    count: int
    columns: Int64 | None = None
    bits: int = 0
    entries: Int64 | None = None
    weight: int = 0

    def rounded(self, site: Site, h: NDArray[np.integer]) -> NDArray[np.int64]:
        """`out` of the quotients h (rows × cols)."""
        wide = h.astype(np.int64)
        if site.full:
            return likeness(wide, site.full, site.clamp)
        if self.columns is not None:
            wide = (wide * self.columns + ((1 << self.bits) >> 1)) >> self.bits
        return np.clip(wide, site.low, site.clamp)


@dataclass
class Measured:
    """What a run has measured so far."""

    program: Program
    influences: dict[str, InfluenceTrace] = field(default_factory=dict)
    ratios: dict[str, tuple[int, int]] = field(default_factory=dict)
    shares: dict[str, Int64] = field(default_factory=dict)

    def measure_influences(self, weights: Values) -> None:
        """All rows of multipliers, from the committed steps."""
        rows: dict[str, Int64] = {}
        for influence in self.program.influences:
            steps = np.sum([read.read(weights) for read in influence.steps], axis=0)
            cap, rows[influence.name] = influence.find(influence.gated(steps, rows))
            self.influences[influence.name] = InfluenceTrace(steps, cap, rows[influence.name])

    def measure_share(self, name: str, outs: Values) -> None:
        """A row of heads, once all that it follows from is known."""
        share, influence = self.program.share[name], self.program.counting(name)
        if share.of in self.program.share and share.of not in self.shares:
            self.measure_share(share.of, outs)
        found = self.influences[influence.name]
        before = self.shares.get(share.of, found.multipliers)
        values = distinct(before).tolist()
        table = share.table(values, influence.head_root(found.cap))
        self.shares[name] = table.divided(before, share.counts(before, outs))

    def measure_ratio(self, name: str, outs: Values) -> None:
        """A ratio's sums, of sites that have run."""
        self.ratios[name] = self.program.ratio[name].sums(outs)

    @property
    def weights(self) -> dict[str, int]:
        """Weights of the ratios that are known."""
        return {name: self.program.ratio[name].weight(sums) for name, sums in self.ratios.items()}

    def of(self, site: Site) -> SiteNumbers:
        """What a site needs."""
        columns = entries = None
        count, bits, weight = site.cols, 0, 0
        if site.multipliers:
            influence = self.program.counting(site.multipliers)
            found, bits = self.influences[influence.name], self.program.unit(site.multipliers)
            columns = self.shares.get(site.multipliers, found.multipliers)
            count = max(1, found.cap.alive)
        if isinstance(site.acc, SketchSum) and site.acc.multipliers:
            entries = self.influences[site.acc.multipliers].multipliers
        if isinstance(site.acc, Deflation):
            weight = self.weights[site.acc.ratio]
        return SiteNumbers(count, columns, bits, entries, weight)
