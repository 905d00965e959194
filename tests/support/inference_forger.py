"""Runs of the inference program by a prover who deviates at one site and is honest about everything behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.inference.evaluate import rounded
from huref.circuits.inference.plain_sites import Add
from huref.circuits.inference.sites import (
    Cap,
    Embed,
    InferenceProgram,
    Linear,
    Norm,
    Scores,
    Site,
    Turn,
    Write,
)
from huref.circuits.inference.trace import InferenceTrace
from huref.circuits.program.functions import EXP_LOW, EXP_ZERO, OCTAVE, inverse_roots, powers, reciprocal
from huref.prover.run.inference.executor import FastEvaluator
from huref.prover.run.inference.record import Recorder
from tests.support.inference_runs import Run

Ints = NDArray[Any]


@dataclass(frozen=True)
class Deviation:
    """What is done differently: for a norm (site, what is added to m and e), a softmax (site, what is added to M),
    secret shifts and quotients (site, what is added), an attention that sees all of its sequence, a residual of another
    site, sequences that take the keys or values (site) of the one before, positions that go on from one to the next,
    other capped scores (site, made of those before the cap and the honest ones) or logits (likewise).
    """

    norm: tuple[str, int, int] = ("", 0, 0)
    octave: tuple[str, int | Ints] = ("", 0)
    capped: tuple[str, Callable[[Ints, Ints], Ints] | None] = ("", None)
    logits: Callable[[Ints, Ints], Ints] | None = None
    shift: tuple[str, int] = ("", 0)
    quotient: tuple[str, int] = ("", 0)
    sees_all: str = ""
    residual: Mapping[str, str] = field(default_factory=dict)
    taken: str = ""
    goes_on: bool = False


class Forger(Recorder):
    """Nothing is refused that the recorder would refuse."""

    def __init__(self, run: Run, how: Deviation, **other: Any) -> None:
        program: InferenceProgram = other.get("program", run.program)
        super().__init__(
            program,
            run.relations,
            other.get("weights", run.weights),
            other.get("ids", run.ids),
            run.claims.positions,
        )
        self.how = how
        self.hide(other.get("salts", run.salts))

    def run(self) -> InferenceTrace:
        """All values are kept: a deviation reads others than the site's own."""
        return FastEvaluator.run(self)

    def put(self, name: str, inner: int, values: Ints) -> None:
        frame = self.relations.matrix[name].frame
        if name not in self.found:
            self.found[name] = np.zeros((frame.outer, frame.inner, frame.heads * frame.cols), np.int32)
        self.found[name][:, inner] = values.reshape(frame.outer, -1)

    def shifts(self, name: str, tensor: str, base: int, extra: Any) -> Ints:
        found = super().shifts(name, tensor, base, extra)
        return found + self.how.shift[1] if name == self.how.shift[0] else found

    def norm(self, site: Norm) -> Ints:
        name, more, larger = self.how.norm
        if site.name != name:
            return super().norm(site)
        super().norm(site)
        inner, r = self.norms[site.behind].index(site.name), self.value(site.source)
        m, e = self.trace.scalars[site.name].T
        e = e + larger
        m = ((r * r).sum(axis=1) + site.constant >> (2 * e)) + more
        named = "branch.norm" if site.behind else "norm"
        self._digits(site, named, inner, r, m, e)
        table = inverse_roots(site.cols, site.scale)
        c = table[np.clip(m - (1 << 12), 0, len(table) - 1)]
        shift = site.shift + e
        power = np.left_shift(1, shift)
        acc = (self.value(site.scaled) if site.scaled else r) * c[:, None]
        h = rounded(acc, shift[:, None])
        out = np.clip(h, -site.clamp, site.clamp)
        for label, values in (
            ("m", m), ("c", c), ("e", e), ("shift", shift), ("power", power), ("half", power >> 1), ("h", h),
        ):  # fmt: skip
            self.put(f"{named}.{label}", inner, values)
        self.last = acc, h, shift[:, None]
        self.rest(f"{named}.rest", inner)
        self.put(named, inner, out)
        return out

    def linear(self, site: Linear) -> Ints:
        out = super().linear(site)
        if site.name != self.how.quotient[0]:
            return out
        inner, name = self.place(site)
        acc = self.product(site.source, self.value(site.source), self.weights[site.tensor])
        shift = self.shifts(site.name, site.tensor + ".step", site.base, site.extra)
        h = rounded(acc, shift) + self.how.quotient[1]
        out = np.clip(h, -site.clamp, site.clamp)
        self.put(f"{name}.h", inner, h)
        self.last = acc, h, shift
        self.rest(f"{name}.rest", inner)
        self.put(name, inner, out)
        return out

    def scores(self, site: Scores) -> Ints:
        out = super().scores(site)
        sees_all = site.name == self.how.sees_all
        if site.name != self.how.octave[0] and not sees_all:
            return out
        inner, _ = self.place(site)
        raw = rounded(self.scored(site), site.shift)
        raw = self.behind_cap if site.cap else raw
        octaves = self.trace.octaves[site.name] + (0 if sees_all else self.how.octave[1])
        lengths = self.program.lengths
        last = np.repeat(lengths, lengths) - 1 if sees_all else self.positions
        seen = np.arange(raw.shape[2]) <= last[:, None]
        z = np.where(seen, raw - OCTAVE * octaves[:, :, None], EXP_ZERO - 1)
        z = np.clip(z, EXP_LOW, OCTAVE - 1) if sees_all else z
        table = np.concatenate([np.zeros(1, np.int64), powers()])
        out = table[np.maximum(z, EXP_ZERO - 1) - (EXP_ZERO - 1)]
        self.trace.octaves[site.name] = octaves
        if not sees_all:
            self.trace.totals[site.name] = out.sum(axis=2)
        total = self.trace.totals[site.name].T
        for name, values in (("scores.z", z), ("scores", out)):
            self.put(name, inner, values.transpose(1, 0, 2))
        for name, values in (("octave", octaves.T), ("total", total), ("inverse", reciprocal(total))):
            self.put(f"scores.{name}", inner, values)
        return np.asarray(out)

    def capped(self, site: Scores, raw: Ints) -> Ints:
        honest = super().capped(site, raw)
        name, how = self.how.capped
        if site.name == name and how is not None:
            self.behind_cap = how(raw, honest)
            self.put("scores.capped", self.place(site)[0], self.behind_cap.transpose(1, 0, 2))
        return self.behind_cap

    def cap(self, site: Cap) -> Ints:
        if self.how.logits is None:
            return super().cap(site)
        logits = self.how.logits(self.value(site.source), FastEvaluator.cap(self, site))
        self.put("head.capped", 0, logits)
        self.logits = logits
        return logits

    def seen(self, name: str, size: int, group: int) -> Iterator[tuple[slice, Ints]]:
        found = list(super().seen(name, size, group))
        if name == self.how.taken:
            found = [(own, theirs) for (own, _), (_, theirs) in zip(found, found[-1:] + found, strict=False)]
        return iter(found)

    def site(self, site: Site) -> Ints:
        own = self.positions
        if self.how.goes_on and isinstance(site, Embed | Turn):
            self.positions = np.arange(self.program.tokens)
        out = super().site(site)
        self.positions = own
        return out

    def apart(self, distance: Ints, own: Ints) -> None:
        pass

    def write(self, site: Write) -> Ints:
        return super().write(replace(site, residual=self.how.residual.get(site.name, site.residual)))

    def added(self, site: Add) -> Ints:
        return super().added(replace(site, residual=self.how.residual.get(site.name, site.residual)))


def forge(run: Run, how: Deviation | None = None, **other: Any) -> dict[str, Ints]:
    """Every matrix of a deviating run; `program`, `weights`, `ids` are others than the statement's. The claims are true
    of what it computes.
    """
    forger = Forger(run, how or Deviation(), **other)
    forger.run()
    own = forger.logits
    gaps = tuple(int(x) for x in own.max(axis=1) - own[np.arange(len(own)), list(run.claims.tokens)])
    forger.claim(replace(run.claims, gaps=gaps))
    return forger.found


def forger_logits(run: Run, how: Deviation | None, **other: Any) -> Ints:
    """What the deviating run ends in, at the claimed positions."""
    forger = Forger(run, how or Deviation(), **other)
    forger.run()
    return forger.logits
