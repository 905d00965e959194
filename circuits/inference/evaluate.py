"""The exact integer reference executor of an inference program, in plain numpy.

Every number is an int64, or a Python integer where it may be larger. The prover's fast executor
(prover/run/inference/executor.py) gives the same `InferenceTrace` bit for bit; it replaces the products.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from huref.circuits.inference.evaluate_plain import Ints, PlainSites, Weights, rounded, split
from huref.circuits.inference.limits import SCORE_HEIGHT
from huref.circuits.inference.plain_sites import Add, HighGain, Lift, LowGain, OutputGain, Rotate, Rows
from huref.circuits.inference.refusal import no_proof
from huref.circuits.inference.sites import (
    Activate,
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
from huref.circuits.inference.tables import block, block_signs, head_signs, turns
from huref.circuits.inference.trace import InferenceTrace, Past
from huref.circuits.model.rotary import rotary_planes
from huref.circuits.model.tensors import DIGIT, DIGITS, STEP, kind_of
from huref.circuits.program.functions import (
    EXP_BITS,
    EXP_LOW,
    EXP_ZERO,
    OCTAVE,
    ROOT_HIGH,
    ROOT_LOW,
    activation,
    inverse_roots,
    logit_caps,
    multiples,
    powers,
    reciprocal,
    score_caps,
)
from huref.circuits.relations.frame import starts_of
from huref.common.errors import ProverError, UsageError


def run_inference(program: InferenceProgram, weights: Weights, ids: Sequence[int]) -> InferenceTrace:
    """Execute `program` on token ids, those of all sequences one behind the other; `weights` has every tensor of
    circuits/model/tensors.py by name.

    Raises:
        UsageError: the ids do not fit the program. ProverError: a value that no proof can hold; names the site.
    """
    return Evaluator(program, weights, ids).run()


class Evaluator(PlainSites):
    """Runs the sites in order; faster executors override the products."""

    def __init__(
        self,
        program: InferenceProgram,
        weights: Weights,
        ids: Sequence[int],
        past: Sequence[Past] = (),
    ) -> None:
        """`past` is what every sequence has before its first token; none: nothing."""
        if len(ids) != program.tokens or any(not 0 <= i < program.shape.vocab for i in ids):
            raise UsageError(f"expected {program.tokens} token ids below {program.shape.vocab}")
        self.program, self.weights, self.ids = program, weights, np.asarray(ids, np.int64)
        self.trace, lengths = InferenceTrace(), program.lengths
        self.past = past or [Past()] * len(lengths)
        self.places = list(zip(starts_of(lengths), lengths, self.past, strict=True))
        self.positions = np.concatenate(
            [np.arange(before.tokens, before.tokens + length) for _, length, before in self.places]
        )

    def run(self) -> InferenceTrace:
        """Every site's values."""
        for site in self.program.sites:
            self.trace.values[site.name] = self.site(site)
        return self.trace

    def site(self, site: Site) -> Ints:
        """The values of one site."""
        match site:
            case Embed():
                return self.embed(site)
            case Norm():
                return self.norm(site)
            case Linear():
                return self.linear(site)
            case HeadNorm():
                return self.head_norm(site)
            case Gain():
                return self.gain(site)
            case Turn():
                return self.turn(site)
            case Scores():
                return self.scores(site)
            case Mix():
                return self.mix(site)
            case Divide():
                return self.divide(site)
            case Activate():
                table = activation(site.kind, site.unit, site.out_unit, site.bits)
                return np.asarray(table[self.value(site.source) + (1 << (site.bits - 1))])
            case Multiply():
                return self.multiply(site)
            case Rescale():
                shift = self.shifts(site.name, site.steps, site.base, site.extra)
                return self.limbs(site, self.round(site, self.value(site.source), shift))
            case Low():
                return self.low(site)
            case Write():
                return self.write(site)
            case Rows():
                return self.embedded_rows(site)
            case Rotate():
                return self.rotate(site)
            case Lift():
                return self.lift(site)
            case LowGain():
                return self.low_gain(site)
            case HighGain():
                return self.high_gain(site)
            case OutputGain():
                return self.output_gain(site)
            case Add():
                return self.added(site)
            case Cap():
                return self.cap(site)

    def value(self, name: str) -> Ints:
        """The values of an earlier site."""
        return self.trace.values[name]

    def embed(self, site: Embed) -> Ints:
        """Rows of the embedding at the stream's first unit."""
        rows = self.rows(site, "embed", self.ids)
        if site.positions:
            rows = rows + self.rows(site, site.positions, self.positions)
        return self.stream(site, rows)

    def rows(self, site: Embed, tensor: str, index: Ints) -> Ints:
        """Rows of a tensor at the stream's first unit."""
        factor = multiples(site.square, site.high)[self.exponents(site, tensor, index)]
        return np.asarray(self.weights[tensor][index].astype(np.int64) * factor[:, None])

    def stream(self, site: Embed | Write | Lift | HighGain | OutputGain | Add, values: Ints) -> Ints:
        """`values`, checked to fit the residual stream."""
        if values.min() < -site.limit or values.max() >= site.limit:
            raise no_proof(f"{site.name}: the residual stream leaves its range")
        return values

    def norm(self, site: Norm) -> Ints:
        """The normed stream; notes m and e."""
        r = self.value(site.source)
        table, scalars = inverse_roots(site.cols, site.scale), []
        for total in (r * r).sum(axis=1).tolist():  # below 2^38 · d
            square = total + site.constant
            e = max(0, (square.bit_length() - 13) // 2)
            m = square >> (2 * e)
            if not ROOT_LOW <= m < ROOT_HIGH:
                raise no_proof(f"{site.name}: the stream is too small to be normed")
            scalars.append((m, e))
        found = np.array(scalars, np.int64)
        self.trace.scalars[site.name] = found
        if site.scaled:
            r = self.value(site.scaled)
        acc, shift = r * table[found[:, 0] - ROOT_LOW][:, None], site.shift + found[:, 1:]
        return np.clip(self.round(site, acc, shift), -site.clamp, site.clamp)

    def round(self, site: Site, acc: Ints, shift: Ints | int) -> Ints:
        """An accumulator, rounded; who wants to see every rounding overrides this."""
        return rounded(acc, shift)

    def shifts(self, name: str, tensor: str, base: int, extra: tuple[tuple[int, int], ...]) -> Ints:
        """The secret shift of every row, checked to lie in the table."""
        shift = base - self.weights[tensor].reshape(-1).astype(np.int64)
        for row, by in extra:
            shift[row] += by
        low, high = dict(self.program.facts.shifts)[kind_of(tensor)]
        if shift.min() < low or shift.max() > high:
            raise ProverError(f"{name}: a secret shift is outside {low}..{high}")
        return shift

    def linear(self, site: Linear) -> Ints:
        """A product with a weight whose rows are outputs."""
        acc = self.accumulated(site, self.value(site.source))
        shift = self.shifts(site.name, site.tensor + STEP, site.base, site.extra)
        h = self.round(site, acc, shift)
        largest = site.clamp if site.limb else 4 * site.clamp + 3
        if max(-int(h.min()), int(h.max())) > largest:
            raise no_proof(f"{site.name}: a value is far beyond its clamp")
        return np.clip(h, -site.clamp, site.clamp)

    def cap(self, site: Cap) -> Ints:
        """Logits behind their cap."""
        raw = self.value(site.source)
        if raw.min() < -site.height or raw.max() >= site.height:
            raise no_proof(f"{site.source}: a logit is too large to be capped")
        return np.asarray(logit_caps(site.height, site.clamp, site.cap, site.unit)[raw + site.height])

    def accumulated(self, site: Linear, read: Ints) -> Ints:
        """The site's product with rows of what it reads, and its bias."""
        acc = self.product(site.source, read, self.weights[site.tensor])
        return acc + self.digits(site.bias) if site.bias else acc

    def digits(self, bias: str) -> Ints:
        """The number in the digits of a bias."""
        return np.asarray((1 << DIGIT * np.arange(DIGITS)) @ self.weights[bias].astype(np.int64))

    def head_norm(self, site: HeadNorm) -> Ints:
        """Heads brought to norm one; notes m and e."""
        x = self.value(site.source).reshape(self.program.tokens, -1, site.size)
        if ((split(x, site.limb)[0] ** 2).sum(axis=2) >> site.high).any():
            raise no_proof(f"{site.name}: a head is too large to be normed")
        square = (x * x).sum(axis=2) + site.constant
        e = np.maximum(0, (np.frexp(square)[1].astype(np.int64) - 13) // 2)  # exact: below 2^53
        m = square >> (2 * e)
        self.trace.scalars[site.name] = np.stack([m, e], axis=2)
        factor = inverse_roots(site.size, site.scale)[m - ROOT_LOW] << (site.top - e)
        acc = (x * factor[:, :, None]).reshape(self.program.tokens, -1)
        return self.round(site, acc, site.shift)

    def gain(self, site: Gain) -> Ints:
        """The gain behind a norm."""
        acc = self.value(site.source) * self.gain_of(site)
        return np.clip(self.round(site, acc, site.shift), -site.clamp, site.clamp)

    def product(self, name: str, left: Ints, right: NDArray[np.int8]) -> Ints:
        """left (tokens × n) · rightᵀ, right (rows × n)."""
        return left @ right.astype(np.int64).T

    def turn(self, site: Turn) -> Ints:
        """Rotary embedding, signs and Hadamard transform per head."""
        return np.clip(self.round(site, self.turned(site), site.shift), -site.clamp, site.clamp)

    def turned(self, site: Turn) -> Ints:
        """The same before rounding."""
        x = self.value(site.source).reshape(self.program.tokens, -1, site.size)
        planes, rest = rotary_planes(self.program.shape)
        cosine, sine = turns(
            int(self.positions.max()) + 1,
            len(planes),
            self.program.shape.rotary_dim,
            site.theta,
            site.scale,
            site.stretch,
        )
        first = int(turns(1, 1, 2, 2, site.scale)[0][0, 0])
        cosine, sine = cosine[self.positions, None], sine[self.positions, None]
        a, b = x[:, :, planes[:, 0]], x[:, :, planes[:, 1]]
        turned = np.empty_like(x)
        turned[:, :, planes[:, 0]] = a * cosine - b * sine
        turned[:, :, planes[:, 1]] = b * cosine + a * sine
        turned[:, :, rest] = x[:, :, rest] * first
        mixed = self.mixed((turned * head_signs(site.size)).reshape(-1, block(site.size)))
        return mixed.reshape(self.program.tokens, -1)

    def mixed(self, blocks: Ints) -> Ints:
        """The Hadamard transform of every row."""
        return np.asarray(blocks @ block_signs(blocks.shape[1]))

    def heads(self, name: str, size: int) -> Ints:
        """Values by head: (heads, tokens, size)."""
        return self.value(name).reshape(self.program.tokens, -1, size).transpose(1, 0, 2)

    def seen(self, name: str, size: int, group: int) -> Iterator[tuple[slice, Ints]]:
        """The tokens of every sequence, and its values by query head, of the tokens before them as well."""
        for start, length, before in self.places:
            own = slice(start, start + length)
            value = self.value(name)[own]
            if before.tokens:
                value = np.concatenate([before.values[name], value])
            yield own, np.repeat(value.reshape(len(value), -1, size).transpose(1, 0, 2), group, axis=0)

    def scores(self, site: Scores) -> Ints:
        """Powers of the scores; notes M and the sums."""
        raw = self.round(site, self.scored(site), site.shift)
        seen = np.arange(raw.shape[2]) <= self.positions[:, None]
        if site.cap:
            raw = self.capped(site, np.where(seen, raw, 0))
        highest = np.where(seen, raw, np.iinfo(np.int64).min).max(axis=2)
        octave = highest // OCTAVE
        table = np.concatenate([np.zeros(1, np.int64), powers()])
        pending = np.ones(octave.shape, bool)
        out = np.zeros(raw.shape, np.int64)
        while pending.any():
            z = raw[pending] - OCTAVE * octave[pending][:, None]
            z = np.where(np.broadcast_to(seen, raw.shape)[pending], z, EXP_ZERO - 1)
            out[pending] = table[np.maximum(z, EXP_ZERO - 1) - (EXP_ZERO - 1)]
            total = out.sum(axis=2)
            pending = total >= 1 << (EXP_BITS + 1)
            octave[pending] += 1
        if np.where(seen, raw - OCTAVE * octave[:, :, None], 0).min() < EXP_LOW:
            raise no_proof(f"{site.name}: scores too far apart")
        self.trace.octaves[site.name], self.trace.totals[site.name] = octave, out.sum(axis=2)
        return out

    def capped(self, site: Scores, raw: Ints) -> Ints:
        """Scores behind their cap."""
        if raw.min() < -SCORE_HEIGHT or raw.max() >= SCORE_HEIGHT:
            raise no_proof(f"{site.name}: scores too large to be capped")
        return np.asarray(score_caps(SCORE_HEIGHT, site.cap)[raw + SCORE_HEIGHT])

    def scored(self, site: Scores) -> Ints:
        """Products of queries and keys within every sequence, (heads, tokens, positions), zero past its end."""
        q = self.heads(site.query, site.size)
        out = np.zeros((site.heads, self.program.tokens, int(self.positions.max()) + 1), np.int64)
        for own, k in self.seen(site.key, site.size, site.group):
            out[:, own, : k.shape[1]] = self.head_products(q[:, own], k.transpose(0, 2, 1))
        return out

    def head_products(self, left: Ints, right: Ints) -> Ints:
        """left (heads, m, n) · right (heads, n, k)."""
        return left @ right

    def mix(self, site: Mix) -> Ints:
        """What attention gathers, before the division."""
        e = self.value(site.scores)
        parts = [
            self.head_products(e[:, own, : v.shape[1]], v)
            for own, v in self.seen(site.value, site.size, site.group)
        ]
        acc = np.concatenate(parts, axis=1).transpose(1, 0, 2)
        return self.round(site, np.asarray(acc.reshape(self.program.tokens, -1)), site.shift)

    def divide(self, site: Divide) -> Ints:
        """Attention's output at the unit of each row of o."""
        inverse = np.repeat(reciprocal(self.trace.totals[site.scores]).T, site.size, axis=1)
        acc = self.value(site.source) * inverse
        out = self.round(site, acc, self.shifts(site.name, site.steps, site.base, ()))
        return self.limbs(site, out)

    def multiply(self, site: Multiply) -> Ints:
        """Gate times up at the unit of each row of down."""
        acc = self.value(site.left) * self.value(site.right)
        shift = self.shifts(site.name, site.steps, site.base, site.extra)
        return self.limbs(site, self.round(site, acc, shift))

    def limbs(self, site: Divide | Multiply | Rescale, out: Ints) -> Ints:
        """`out`, checked to fit its limbs."""
        hi, _ = split(out, site.limb)
        if np.abs(hi).max() >= site.high:
            raise no_proof(f"{site.name}: a value does not fit its limbs")
        return out

    def written(self, site: Low | Write, part: Ints) -> Ints:
        """part (tokens × rows) · tensor (rows × d), with public weights of rows."""
        scale = np.ones(part.shape[1], np.int64)
        for row, by in site.weight:
            scale[row] <<= by
        return (part * scale) @ self.weights[site.tensor].astype(np.int64)

    def low(self, site: Low) -> Ints:
        """What the low limbs add to the stream."""
        acc = self.written(site, split(self.value(site.source), site.limb)[1])
        return self.round(site, acc, site.shift)

    def written_bias(self, site: Write) -> Ints | int:
        """What is added to the stream of every token."""
        if not site.bias:
            return 0
        number = self.digits(site.bias)
        found = rounded(number << max(0, -site.bias_shift), max(0, site.bias_shift))
        if found.min() < -site.limit or found.max() >= site.limit:
            raise ProverError(f"{site.name}: the bias leaves the range of the residual stream")
        return found

    def write(self, site: Write) -> Ints:
        """The next residual stream."""
        acc = self.written(site, split(self.value(site.source), site.limb)[0]) << site.lifted
        acc = acc + self.value(site.low)
        if site.residual:
            acc = acc + (self.value(site.residual) << site.raised)
        acc = np.asarray(acc + self.written_bias(site), np.int64)
        return self.stream(site, self.round(site, acc, site.shift))
