"""A run of an inference program with every integer that a proof commits to (protocol §13.7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.inference.claim import odds_parts
from huref.circuits.inference.evaluate import Ints, Weights, split
from huref.circuits.inference.limits import LIMB, stream_size
from huref.circuits.inference.plain_sites import Lift, Rotate
from huref.circuits.inference.refusal import no_proof
from huref.circuits.inference.relate_head import LOGIT_BITS, Claims
from huref.circuits.inference.relate_norm import CARRY, PIECE, carry_bits, digits, largest_exponent, pieces
from huref.circuits.inference.sites import (
    Cap,
    Divide,
    Embed,
    Gain,
    HeadNorm,
    InferenceProgram,
    Linear,
    Low,
    Mix,
    Multiply,
    Norm,
    Rescale,
    Scores,
    Site,
    Turn,
    Write,
)
from huref.circuits.model.tensors import STEP
from huref.circuits.program.functions import (
    EXP_BITS,
    EXP_ZERO,
    OCTAVE,
    ROOT_LOW,
    inverse_roots,
    multiples,
    reciprocal,
)
from huref.circuits.program.wide_tables import DISTANCE_BITS
from huref.circuits.relations.program import Own, Relations
from huref.common.errors import ProverError
from huref.prover.run.inference.record_plain import PlainRecorder

Array = NDArray[Any]


def record_run(
    program: InferenceProgram,
    relations: Relations,
    weights: Weights,
    ids: Sequence[int],
    claims: Claims,
    salts: Sequence[bytes] = (),
) -> dict[str, Array]:
    """Every matrix of `relations`, of the run on `ids`, with a salt for each prompt that the relations hide.

    Raises:
        ProverError: a value that no proof can hold, or a claim that does not hold; names the site.
    """
    recorder = Recorder(program, relations, weights, ids, claims.positions)
    recorder.hide(salts)
    recorder.run()
    recorder.claim(claims)
    return recorder.found


class Recorder(PlainRecorder):
    """Runs every site as its base does, and puts down what its last rounding saw; logits at `positions` alone.

    What is claimed of these `logits` (positions × vocabulary) may be told when they are known, by `claim`.
    """

    def __init__(
        self,
        program: InferenceProgram,
        relations: Relations,
        weights: Weights,
        ids: Sequence[int],
        positions: Sequence[int],
    ) -> None:
        super().__init__(program, weights, ids)
        self.claimed, self.relations = list(positions), relations
        self.found: dict[str, Array] = {}
        self.limb = stream_size(program.shape).limb
        self.reaches = {look.label: look for look in relations.looks if look.label.endswith(".reach")}
        norms = [site for site in program.sites if isinstance(site, Norm)]
        self.norms = {
            behind: [site.name for site in norms if site.behind is behind] for behind in (False, True)
        }
        self.last: tuple[Ints, Ints, Ints | int]
        self.logits: Ints
        self.behind_cap: Ints

    def round(self, site: Site, acc: Ints, shift: Ints | int) -> Ints:
        h = super().round(site, acc, shift)
        self.last = acc, h, shift
        return h

    def put(self, name: str, inner: int, values: Ints) -> None:
        """Instance `inner` of a matrix: values (outer, …)."""
        matrix = self.relations.matrix[name]
        frame = matrix.frame
        if int(values.max()) > matrix.largest or int(values.min()) < -matrix.largest:
            raise no_proof(f"{name}: a value does not fit the proof")
        if name not in self.found:
            kind = np.int16 if matrix.largest < 1 << 15 else np.int32
            self.found[name] = np.zeros((frame.outer, frame.inner, frame.heads * frame.cols), kind)
        self.found[name][:, inner] = values.reshape(frame.outer, -1)

    def rest(self, name: str, inner: int) -> None:
        """The remainder of the last rounding."""
        acc, h, shift = self.last
        power = np.left_shift(1, np.asarray(shift, np.int64))
        self.put(name, inner, acc + (power >> 1) - h * power)

    def stepped(self, name: str, inner: int) -> None:
        """The last rounding's secret shifts, and their powers."""
        shift = np.asarray(self.last[2], np.int64)
        self.put(f"{name}.shift", inner, shift)
        self.put(f"{name}.power", inner, np.left_shift(1, shift))
        self.put(f"{name}.half", inner, np.left_shift(1, shift) >> 1)
        if f"{name}.reach" in self.reaches:
            self._coarse(name, inner, shift)

    def _coarse(self, name: str, inner: int, shift: Ints) -> None:
        """By how much shifts are above what every integer of the tensor admits, and whether theirs are small enough."""
        look, h = self.reaches[f"{name}.reach"], self.last[1]
        heights = np.array(look.table.parameters[2:])
        most = self.relations.matrix[f"{name}.shift"].largest - len(heights) + 1
        coarse = np.maximum(0, shift - most)
        looked = look.operands[1]
        if isinstance(looked, Own) and looked.matrix.name.endswith(".high"):
            h, _ = split(h, LIMB)
        if (h >= heights[coarse]).any() or (h < -heights[coarse]).any():
            raise no_proof(f"{name}: a value of a small row does not fit the proof")
        self.put(f"{name}.coarse", inner, coarse)

    def embed(self, site: Embed) -> Ints:
        out = super().embed(site)
        self.streamed(0, out)
        return out

    def rows(self, site: Embed, tensor: str, index: Ints) -> Ints:
        out = super().rows(site, tensor, index)
        self.multiples(site, tensor, self.exponents(site, tensor, index))
        return out

    def multiples(self, site: Embed | Lift, tensor: str, shift: Ints) -> None:
        """What rows are multiplied by."""
        self.put(f"{tensor}.shift", 0, shift)
        self.put(f"{tensor}.power", 0, multiples(site.square, site.high)[shift])

    def streamed(self, inner: int, values: Ints) -> None:
        self.limbs_of(values, inner, "stream.high", "stream.low")

    def limbs_of(self, values: Ints, inner: int, first: str, second: str) -> None:
        """Both limbs of values as large as the residual stream's; the table ends before the largest high one."""
        high, low = split(values, self.limb)
        if int(high.max()) >= self.relations.matrix[first].largest:
            raise no_proof(f"{first}: a value does not fit the proof")
        self.put(first, inner, high)
        self.put(second, inner, low)

    def norm(self, site: Norm) -> Ints:
        out = super().norm(site)
        inner, r = self.norms[site.behind].index(site.name), self.value(site.source)
        named = "branch.norm" if site.behind else "norm"
        m, e = self.trace.scalars[site.name].T
        if int(e.max()) > largest_exponent(site.limb):
            raise no_proof(f"{site.name}: the stream is too large to be normed")
        c = inverse_roots(site.cols, site.scale)[m - ROOT_LOW]
        self._digits(site, named, inner, r, m, e)
        shift = site.shift + e
        power = np.left_shift(1, shift)
        for name, values in (
            ("m", m), ("c", c), ("e", e), ("shift", shift), ("power", power), ("half", power >> 1),
        ):  # fmt: skip
            self.put(f"{named}.{name}", inner, values)
        self.put(f"{named}.h", inner, self.last[1])
        self.rest(f"{named}.rest", inner)
        self.put(named, inner, out)
        return out

    def _digits(self, site: Norm, named: str, inner: int, r: Ints, m: Ints, e: Ints) -> None:
        """Both sums that Q is, digit by digit."""
        limb = site.limb
        high, low = split(r, limb)
        sums = [(a * b).sum(axis=1) for a, b in ((low, low), (high, low), (high, high))]
        largest = self.relations.matrix["branch.high" if site.behind else "stream.high"].largest
        bits = carry_bits(site.cols, largest, limb)
        first, second = (1 << limb + 1) - 1, (1 << limb - 1) - 1
        q0 = sums[0] + (site.constant & first)
        carry0, q0 = q0 >> limb + 1, q0 & first
        q1 = sums[1] + carry0 + ((site.constant >> limb + 1) & second)
        carry1, q1 = q1 >> limb - 1, q1 & second
        rest = sums[2] + carry1 + (site.constant >> 2 * limb)
        q = [q0, q1, rest & 1023, (rest >> 10) & 1023]
        top = rest >> 20
        for name, values, offset in (("carry0", carry0, 0), ("carry1", carry1, 1 << (bits[1] - 1))):
            number = values + offset
            widths = pieces(bits[name == "carry1"])
            for i, width in enumerate(widths):
                self.put(f"{named}.{name}.{i}", inner, (number >> (PIECE * i)) & ((1 << width) - 1))
        self.put(f"{named}.q{2 * limb + 20}", inner, top)
        carry, places = np.zeros_like(m), digits(limb)
        remainder = (q0 + (q1 << limb + 1) + (rest << 2 * limb)) - (m << (2 * e))
        for number, (start, width) in enumerate(places):
            bit = 2 * e - start
            inside = (bit >= 0) & (bit < width)
            digit = np.where(inside, np.left_shift(1, np.where(inside, bit, 0)), 0)
            part = (remainder >> start) & ((1 << width) - 1)
            self.put(f"{named}.q{start}", inner, q[number])
            self.put(f"{named}.f{start}", inner, digit)
            self.put(f"{named}.b{start}", inner, np.clip(bit, 0, width))
            self.put(f"{named}.rho{start}", inner, part)
            carry = (m * digit + part + carry - q[number]) >> width
            if number < len(places) - 1:
                if int(carry.max()) >= 1 << CARRY:
                    raise no_proof(f"{site.name}: a carry does not fit")
                self.put(f"{named}.kappa{start}", inner, carry)

    def linear(self, site: Linear) -> Ints:
        inner, name = self.place(site)
        if name == "head":
            return self._head(site)
        out = super().linear(site)
        self.stepped(name, inner)
        self.rest(f"{name}.rest", inner)
        if site.limb:
            high, low = split(out, site.limb)
            self.put(f"{name}.high", inner, high)
            self.put(f"{name}.low", inner, low)
        else:
            self.put(f"{name}.h", inner, self.last[1])
        if name in self.relations.matrix:
            self.put(name, inner, out)
        return out

    def _head(self, site: Linear) -> Ints:
        normed = self.value(site.source)[self.claimed]
        acc = self.accumulated(site, normed)
        shift = self.shifts(site.name, site.tensor + STEP, site.base, site.extra)
        h = self.round(site, acc, shift)
        self.stepped("head", 0)
        self.rest("head.rest", 0)
        if site.name == self.program.logits:
            self.logits = h
        else:
            self.put("head.raw", 0, h)
        return h

    def cap(self, site: Cap) -> Ints:
        logits = super().cap(site)
        self.put("head.capped", 0, logits)
        self.logits = logits
        return logits

    def claim(self, claims: Claims) -> None:
        """How far the logits are below those of the claimed tokens and their gaps, and how likely these are.

        Raises:
            ProverError: a claim does not hold, or is too far from the truth for a proof.
        """
        logits = self.logits
        own = logits[np.arange(len(logits)), list(claims.tokens)] + np.array(claims.gaps)
        distance = own[:, None] - logits
        if int(distance.min()) < 0:
            at = int(np.argmin(distance.min(axis=1)))
            raise ProverError(
                f"the token claimed behind position {claims.positions[at]} is further below the best than its gap"
            )
        self.apart(distance, own)
        self.put("head.distance", 0, distance)
        for name, values in odds_parts(distance, self.program.facts.logits).items():
            self.put(name, 0, values)
        self.put("head.claimed", 0, own)

    def apart(self, distance: Ints, own: Ints) -> None:
        """Raise where the tables of the logits do not reach."""
        if int(distance.max()) >= 1 << DISTANCE_BITS or int(np.abs(own).max()) >= 1 << (LOGIT_BITS - 1):
            raise no_proof("logits are too far apart for a proof")

    def turn(self, site: Turn) -> Ints:
        return self.clamped(site, super().turn(site))

    def gain(self, site: Gain) -> Ints:
        return self.clamped(site, super().gain(site))

    def clamped(self, site: Turn | Gain | Rotate, out: Ints) -> Ints:
        """`out`, what it was before it was clipped, and the remainder."""
        inner, name = self.where(site)
        self.put(f"{name}.h", inner, self.last[1])
        self.rest(f"{name}.rest", inner)
        self.put(name, inner, out)
        return out

    def head_norm(self, site: HeadNorm) -> Ints:
        out = super().head_norm(site)
        inner, name = self.place(site)
        m, e = np.moveaxis(self.trace.scalars[site.name], 2, 0)
        x = self.value(site.source).reshape(*m.shape, site.size)
        power = np.left_shift(1, 2 * e)
        scale = inverse_roots(site.size, site.scale)[m - ROOT_LOW] << (site.top - e)
        base = f"{name.removesuffix('ed')}."
        for part, values in (
            ("m", m), ("e", e), ("scale", scale), ("power", power), ("bits", 2 * e),
            ("rest", (x * x).sum(axis=2) + site.constant - m * power),
            ("few", (split(x, site.limb)[0] ** 2).sum(axis=2)),
        ):  # fmt: skip
            self.put(base + part, inner, values)
        self.put(name, inner, out)
        self.rest(f"{name}.rest", inner)
        return out

    def capped(self, site: Scores, raw: Ints) -> Ints:
        self.behind_cap = super().capped(site, raw)
        for name, values in (("raw", raw), ("capped", self.behind_cap)):
            self.put(f"scores.{name}", self.place(site)[0], values.transpose(1, 0, 2))
        return self.behind_cap

    def scores(self, site: Scores) -> Ints:
        inner, _ = self.place(site)
        out = super().scores(site)
        acc, quotient, _ = self.last
        raw = self.behind_cap if site.cap else quotient
        seen = np.arange(raw.shape[2]) <= self.positions[:, None]
        z = np.where(seen, raw - OCTAVE * self.trace.octaves[site.name][:, :, None], EXP_ZERO - 1)
        power = 1 << site.shift
        rest = np.where(seen, acc + (power >> 1) - (quotient << site.shift), 0)
        for name, values in (("scores.z", z), ("scores", out), ("scores.rest", rest)):
            self.put(name, inner, values.transpose(1, 0, 2))
        total = self.trace.totals[site.name].T
        if int(total.min()) < (1 << EXP_BITS) - self.program.longest:
            raise no_proof(f"{site.name}: the sum of a softmax is too small")
        for name, values in (
            ("octave", self.trace.octaves[site.name].T), ("total", total), ("inverse", reciprocal(total)),
        ):  # fmt: skip
            self.put(f"scores.{name}", inner, values)
        return out

    def mix(self, site: Mix) -> Ints:
        inner, _ = self.place(site)
        out = super().mix(site)
        self.put("mix", inner, out)
        self.rest("mix.rest", inner)
        return out

    def multiply(self, site: Multiply) -> Ints:
        inner, _ = self.place(site)
        self.put("active", inner, self.value(site.left))
        return super().multiply(site)

    def limbs(self, site: Divide | Multiply | Rescale, out: Ints) -> Ints:
        out = super().limbs(site, out)
        inner, name = self.place(site)
        if isinstance(site, Rescale):
            self.put("active", inner, self.value(site.source))
        high, low = split(out, site.limb)
        self.stepped(name, inner)
        self.put(f"{name}.high", inner, high)
        self.put(f"{name}.low", inner, low)
        self.rest(f"{name}.rest", inner)
        return out

    def low(self, site: Low) -> Ints:
        inner, name = self.place(site)
        out = super().low(site)
        base = name.removesuffix("_low")
        self.limbs_of(out, inner, f"{base}.low1", f"{base}.low0")
        self.rest(f"{base}.low.rest", inner)
        return out

    def written_bias(self, site: Write) -> Ints | int:
        found = super().written_bias(site)
        if site.bias:
            inner, name = self.place(site)
            number = self.digits(site.bias) << max(0, -site.bias_shift)
            power = 1 << max(0, site.bias_shift)
            self.limbs_of(np.asarray(found)[None], inner, f"{name}.bias1", f"{name}.bias0")
            self.put(f"{name}.bias.rest", inner, number + (power >> 1) - found * power)
        return found

    def write(self, site: Write) -> Ints:
        inner, name = self.place(site)
        out = super().write(site)
        self.rest(f"{name}.rest", inner)
        if site.residual:
            self.streamed(2 * inner + (1 if name == "o" else 2), out)
        else:
            self.limbs_of(out, 2 * inner + (name == "down"), "branch.high", "branch.low")
        return out
