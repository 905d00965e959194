"""The reference executor's sites of models with norms behind attention and FFN, and what reads a gain or a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from huref.circuits.inference.plain_sites import Add, HighGain, Lift, LowGain, OutputGain, Rotate, Rows
from huref.circuits.inference.sites import Embed, Gain, Site, Write
from huref.circuits.model.tensors import GAIN_BITS, STEP
from huref.circuits.program.functions import multiples
from huref.circuits.program.rotation import rotation
from huref.common.errors import ProverError

Ints = NDArray[np.int64]
Weights = Mapping[str, NDArray[np.int8]]


def rounded(acc: Ints, shift: Ints | int) -> Ints:
    """⌊acc / 2^shift + ½⌋."""
    s = np.asarray(shift, np.int64)
    return (acc + (np.left_shift(1, s) >> 1)) >> s


def split(values: Ints, limb: int) -> tuple[Ints, Ints]:
    """(hi, lo) with values = hi · 2^limb + lo, lo in [−2^(limb−1), 2^(limb−1))."""
    hi = (values + (1 << (limb - 1))) >> limb
    return hi, values - (hi << limb)


class PlainSites(ABC):
    """Needs the values of earlier sites, and how accumulators are rounded and checked."""

    weights: Weights
    ids: Ints

    @abstractmethod
    def value(self, name: str) -> Ints:
        """The values of an earlier site."""

    @abstractmethod
    def round(self, site: Site, acc: Ints, shift: Ints | int) -> Ints:
        """An accumulator, rounded."""

    @abstractmethod
    def stream(self, site: Embed | Write | Lift | HighGain | OutputGain | Add, values: Ints) -> Ints:
        """`values`, checked to fit the site's range."""

    def embedded_rows(self, site: Rows) -> Ints:
        """Rows of the embedding as they are committed."""
        return self.weights["embed"][self.ids].astype(np.int64)

    def lift(self, site: Lift) -> Ints:
        """Rows of the embedding at the stream's first unit, from rotated ones."""
        factor = multiples(site.square, site.high)[self.exponents(site, "embed", self.ids)]
        acc = self.value(site.source) * factor[:, None]
        return self.stream(site, self.round(site, acc, site.shift))

    def rotated(self, site: Rotate) -> Ints:
        """A rotated vector, before rounding."""
        matrix = rotation(site.cols, site.bits)
        return self.value(site.source) @ (matrix.T if site.back else matrix).astype(np.int64)

    def rotate(self, site: Rotate) -> Ints:
        """A rotated vector."""
        found = self.round(site, self.rotated(site), site.shift)
        return np.clip(found, -site.clamp, site.clamp) if site.clamp else found

    def output_gain(self, site: OutputGain) -> Ints:
        """What is written behind its norm and gain."""
        acc = self.value(site.source) * self.gain_of(site)
        return self.stream(site, self.round(site, acc, site.shift))

    def low_gain(self, site: LowGain) -> Ints:
        """What the stream's low limb adds to its product with a gain."""
        return self.round(site, split(self.value(site.source), site.limb)[1] * self.gain_of(site), site.shift)

    def high_gain(self, site: HighGain) -> Ints:
        """The stream times a gain."""
        acc = split(self.value(site.source), site.limb)[0] * self.gain_of(site) << site.lifted
        return self.stream(site, self.round(site, acc + self.value(site.low), site.shift))

    def added(self, site: Add) -> Ints:
        """The next residual stream."""
        acc = (self.value(site.branch) << site.lifted) + (self.value(site.residual) << site.raised)
        return self.stream(site, self.round(site, acc, site.shift))

    def gain_of(self, site: Gain | OutputGain | LowGain | HighGain) -> Ints:
        """A gain in its finer unit."""
        gain, steps = self.weights[site.tensor].astype(np.int64), self.weights[site.tensor + STEP].reshape(-1)
        if steps.tolist() != [site.step, site.step - GAIN_BITS]:
            raise ProverError(f"{site.name}: the step of the gain is not the one among the facts")
        return np.asarray((gain[0] << GAIN_BITS) + gain[1])

    def exponents(self, site: Embed | Lift, tensor: str, index: Ints) -> Ints:
        """Which multiple of every row is taken."""
        shift = site.unit + self.weights[tensor + STEP].reshape(-1)[index].astype(np.int64)
        if shift.min() < 0 or shift.max() > site.high:
            raise ProverError(f"{site.name}: a row's step in {tensor} does not fit the unit of the stream")
        return shift
