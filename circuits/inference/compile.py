"""From shape, public facts and the number of tokens to the sites of the inference program, with every bound checked.

LLaMA's layout and those near it: a norm before attention and FFN (one that subtracts the mean is the same on committed
integers, whose means are removed), a rotary embedding or learned positions, norms on q and k or none, a gated FFN or a
plain one, biases or none, a head.
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.facts import SHIFTED, Facts, LayerFacts, Outliers
from huref.circuits.inference.limits import (
    BIAS_BOUND,
    GAIN_LIMIT,
    GATE_BITS,
    GATE_FINER,
    HEAD_CONSTANT,
    HEAD_TOP,
    HEAD_UNIT,
    LARGEST_MULTIPLE,
    LIMB,
    LOGIT_CLAMP,
    LOGIT_HEIGHT,
    MAX_TOKENS,
    MIXED_HIGH,
    NORM_CLAMP,
    NORM_LENGTH,
    NORM_UNIT,
    QUERY_CLAMP,
    RAW_CLAMP,
    RAW_LIMB,
    RAW_SQUARES,
    UP_CLAMP,
    VALUE_CLAMP,
    WIDEST,
    head_norm_scale,
    largest_score_shift,
    multiple_high,
    norm_scale,
    product_bound,
    product_high,
    query_scale,
    raw_squares,
    score_unit,
    stream_size,
    turned_clamp,
    written_bound,
)
from huref.circuits.inference.plain import Plain, Reading
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
from huref.circuits.inference.tables import ROTARY_BITS, block
from huref.circuits.inference.unused import check_unused
from huref.circuits.model.tensors import ADMITTED, BIAS, GAIN_BITS, WRITE_UNIT, kind_of
from huref.circuits.program.bounds import fits
from huref.circuits.program.functions import EXP_BITS, ROOT_LOW, inverse_roots
from huref.common.errors import Unsupported, UsageError


def check_supported(shape: ModelShape) -> None:
    """Raise `Unsupported` unless the program is known for models of this shape."""
    wanted = {
        "pre-norms": shape.norm_position == "pre" and not shape.parallel,
        "plain norms where there are some behind": not shape.output_norm
        or (shape.norm == "rms" and not shape.biases and not shape.positions),
        f"at most {WIDEST} columns where norms are behind": not shape.output_norm or shape.hidden <= WIDEST,
        "positions": (shape.rotary is not None and shape.rotary_sections == 1) or shape.positions > 0,
        "one kind of norm": shape.norm == "rms" or not shape.qk_norm,
        "a head": shape.head,
        "one attention and one FFN in every layer": not shape.blocks and not shape.other_mixers,
    }
    missing = [name for name, there in wanted.items() if not there]
    if missing:
        raise Unsupported(
            f"the inference program knows models with {', '.join(missing)}; this one is another"
        )


def compile_inference(shape: ModelShape, facts: Facts, *lengths: int) -> InferenceProgram:
    """The program for sequences of so many tokens each.

    Raises:
        Unsupported: a shape without a program yet. UsageError: units that leave an accumulator above p/2, or
        do not go together.
    """
    check_supported(shape)
    if not lengths or min(lengths) < 1 or sum(lengths) > MAX_TOKENS:
        raise UsageError(f"an inference program has 1 to {MAX_TOKENS} tokens, not {sum(lengths)}")
    for most, what in ((shape.positions, "positions"), (facts.window, "tokens that attention sees")):
        if 0 < most < max(lengths):
            raise UsageError(
                f"an inference program has at most the model's {most} {what}, not {max(lengths)}"
            )
    if len(facts.layers) != shape.layers:
        raise UsageError(f"inference: units of {len(facts.layers)} layers for a model of {shape.layers}")
    read = [name for name in SHIFTED if name != "gate" or shape.gated]
    if [name for name, _ in facts.shifts] != read:
        raise UsageError(f"inference: expected secret shifts of {', '.join(read)}")
    check_unused(shape, facts)
    builder = _Builder(shape, facts, lengths)
    for n, layer in enumerate(facts.layers):
        builder.attention(f"l{n}.", layer)
        builder.feed_forward(f"l{n}.", layer)
    return builder.finish()


class _Builder:
    def __init__(self, shape: ModelShape, facts: Facts, lengths: tuple[int, ...]) -> None:
        self.shape, self.facts, self.lengths = shape, facts, lengths
        self.sites: list[Site] = []
        self.stream, self.unit = "embedded", facts.embedding
        self.size = stream_size(shape)
        self.limit = 1 << self.size.bits
        if shape.output_norm:
            self.plain = Plain(self)
            self.plain.embedded()
            return
        positions = "positions" if shape.positions else ""
        square = facts.embedding_square
        site = Embed(
            "embedded", shape.hidden, facts.embedding, self.limit, self.limit, positions, square,
            multiple_high(square, LARGEST_MULTIPLE),
        )  # fmt: skip
        self.add(site)

    def add(self, site: Site) -> str:
        bounds = [getattr(site, name) for name in ("bound", "squares") if hasattr(site, name)]
        if not all(fits(bound) for bound in bounds):
            raise UsageError(f"{site.name}: the accumulator may exceed p/2")
        shift = getattr(site, "shift", 0)
        if shift < 0 or getattr(site, "lifted", 0) < 0 or getattr(site, "raised", 0) < 0:
            raise UsageError(f"{site.name}: these units need a negative shift")
        self.sites.append(site)
        return site.name

    def read(self, name: str, layer: LayerFacts | None, half: int) -> Reading:
        """The norm before attention (`half` 0), the FFN (1) or the head (no layer), and what is read of it."""
        if self.shape.output_norm:
            return self.plain.read(name, layer, half)
        d = self.shape.hidden
        return Reading(self.norm(f"{name}_norm"), NORM_UNIT, ADMITTED * d * min(NORM_CLAMP, NORM_LENGTH))

    def norm(
        self, name: str, written: tuple[str, int] = ("", 0), clamp: int = NORM_CLAMP, scaled: str = ""
    ) -> str:
        """A norm of the stream, or of what is written, at half this unit; `scaled` is what it scales instead."""
        d, (source, half_unit) = self.shape.hidden, written
        unit = Fraction(2) ** half_unit if source else Fraction(4) ** self.unit
        constant = round(Fraction(self.facts.epsilon) * d * unit)
        limb, reach = self.size.limb, (1 << self.size.narrow) + self.size.over
        scale = norm_scale(d, reach)
        high = (1 << self.size.narrow if source else self.limit) >> limb
        squares = d * max(high**2, high << (limb - 1), 1 << (2 * limb - 2))
        return self.add(
            Norm(
                name,
                d,
                source or self.stream,
                max(ROOT_LOW, constant) if source else constant,
                scale,
                scale - NORM_UNIT,
                clamp,
                reach * int(inverse_roots(d, scale)[0]),
                squares,
                limb,
                bool(source),
                scaled,
            )
        )

    def linear(
        self,
        name: str,
        read: Reading,
        rows: int,
        unit: int,
        clamp: int = RAW_CLAMP,
        extra: Outliers = (),
        limb: int = 0,
    ) -> str:
        bias = self.bias(name)
        bound = read.bound + (BIAS_BOUND if bias else 0)
        base = read.unit - unit
        return self.add(Linear(name, rows, read.source, name, base, extra, clamp, bound, bias, limb))

    def bias(self, tensor: str) -> str:
        """The name of a tensor's bias, "" if it has none."""
        return tensor + BIAS if kind_of(tensor) in self.shape.biases else ""

    def normed_head(self, name: str, source: str, rows: int, gain: int, unit: int) -> str:
        """q or k behind its norm and gain."""
        size, scale = self.shape.head_dim, head_norm_scale(self.shape.head_dim)
        squares = raw_squares(size)
        # |q|² ≤ (m + 1) · 4^e and c(m) ≤ √size · 2^x / √m + ½
        bound = (isqrt(size << (2 * scale)) + isqrt((1 << 14) + 1) + 2) << HEAD_TOP
        shift = scale + HEAD_TOP - HEAD_UNIT
        normed = self.add(
            HeadNorm(
                f"{name}_normed",
                rows,
                source,
                size,
                HEAD_CONSTANT,
                scale,
                HEAD_TOP,
                shift,
                bound,
                squares,
                RAW_LIMB,
                RAW_SQUARES,
            )
        )
        bound = ((bound >> shift) + 1) * GAIN_LIMIT
        shift = HEAD_UNIT + GAIN_BITS - gain - unit
        return self.add(Gain(f"{name}_gained", rows, normed, f"{name}_gain", gain, shift, QUERY_CLAMP, bound))

    def attention(self, tag: str, layer: LayerFacts) -> None:
        s, size = self.shape, self.shape.head_dim
        n = self.read(f"{tag}attn", layer, 0)
        if s.qk_norm:
            q = self.linear(f"{tag}q", n, s.q_rows, layer.raw_query, limb=RAW_LIMB)
            k = self.linear(f"{tag}k", n, s.kv_rows, layer.raw_key, limb=RAW_LIMB)
            q = self.normed_head(q, q, s.q_rows, layer.query_gain, layer.query)
            k = self.normed_head(k, k, s.kv_rows, layer.key_gain, layer.key)
        else:
            q = self.linear(f"{tag}q", n, s.q_rows, layer.query, QUERY_CLAMP)
            k = self.linear(f"{tag}k", n, s.kv_rows, layer.key, QUERY_CLAMP)
        v = self.linear(f"{tag}v", n, s.kv_rows, layer.value, VALUE_CLAMP)
        clamp = turned_clamp(size)
        # |cos| + |sin| ≤ √2, and rounding
        bound = block(size) * QUERY_CLAMP * (isqrt(2 << (2 * ROTARY_BITS)) + 2)
        query, key = (
            self.add(
                Turn(
                    f"{tag}{name}_turned",
                    cols,
                    source,
                    size,
                    layer.theta,
                    layer.stretch,
                    scale,
                    shift,
                    clamp,
                    bound,
                )
            )
            for name, cols, source, scale, shift in (
                ("q", s.q_rows, q, query_scale(self.facts.score_square), layer.query_shift),
                ("k", s.kv_rows, k, (0, 0), layer.key_shift),
            )
        )
        shifts = layer.query_shift + layer.key_shift
        shift = score_unit(size, self.facts.score_square, layer.query + layer.key, shifts) - 8
        if shift > largest_score_shift(size):
            raise UsageError(f"{tag}scores: these units leave no room for scores in the field")
        scores = self.add(
            Scores(
                f"{tag}scores", s.heads, s.group, size, query, key, shift, size * clamp * clamp,
                self.facts.score_cap,
            )
        )  # fmt: skip
        mix = Mix(
            f"{tag}mix", s.q_rows, s.heads, s.group, size, scores, v, EXP_BITS, VALUE_CLAMP << (EXP_BITS + 1)
        )
        mixed = self.add(mix)
        largest = (2 * VALUE_CLAMP + 1) * ((1 << 15) + 1)
        base = 15 + layer.value - layer.mixed
        y = self.add(
            Divide(f"{tag}y", s.q_rows, size, mixed, scores, f"{tag}o.step", base, LIMB, MIXED_HIGH, largest)
        )
        self.write(tag, "o", y, s.q_rows, layer.mixed, MIXED_HIGH, layer, 0, ())

    def feed_forward(self, tag: str, layer: LayerFacts) -> None:
        ffn = self.shape.ffn
        if any(row >= ffn for row, _ in layer.up_outliers):
            raise UsageError(f"{tag}up: an outlier that is none of its {ffn} rows")
        n = self.read(f"{tag}ffn", layer, 1)
        name, gate_unit = ("gate", layer.gate) if self.shape.gated else ("up", layer.up)
        gate = self.linear(f"{tag}{name}", n, ffn, gate_unit, (1 << (GATE_BITS - 1)) - 1)
        unit = gate_unit + GATE_FINER
        kind = self.facts.activation
        active = self.add(Activate(f"{tag}active", ffn, kind, gate, gate_unit, unit, GATE_BITS))
        if not self.shape.gated:
            self.rescaled(tag, layer, active, unit - layer.product)
            return
        up = self.linear(f"{tag}up", n, ffn, layer.up, UP_CLAMP, layer.up_outliers)
        bound = product_bound(gated=True)
        base = unit + layer.up - layer.product
        coarse = dict(layer.up_outliers)
        more = dict(layer.product_outliers)
        extra = tuple(
            (j, by)
            for j in sorted(coarse.keys() | more.keys())
            if (by := more.get(j, 0) - coarse.get(j, 0)) != 0
        )
        a = self.add(
            Multiply(
                f"{tag}a", ffn, active, up, f"{tag}down.step", base, extra, LIMB, product_high(ffn), bound
            )
        )
        self.write(tag, "down", a, ffn, layer.product, product_high(ffn), layer, 1, layer.product_outliers)

    def rescaled(self, tag: str, layer: LayerFacts, active: str, base: int) -> None:
        """The FFN's output without a gate."""
        ffn, bound, high = self.shape.ffn, product_bound(gated=False), product_high(self.shape.ffn)
        extra = layer.product_outliers
        a = self.add(Rescale(f"{tag}a", ffn, active, f"{tag}down.step", base, extra, LIMB, high, bound))
        self.write(tag, "down", a, ffn, layer.product, high, layer, 1, layer.product_outliers)

    def write(
        self,
        tag: str,
        tensor: str,
        source: str,
        inner: int,
        unit: int,
        high: int,
        layer: LayerFacts,
        half: int,
        weight: Outliers,
    ) -> None:
        """stream += tensorᵀ · source; the accumulator's unit is the finer of the two that meet.

        With a norm behind it, what is written stands alone.
        """
        d, alone, to = self.shape.hidden, self.shape.output_norm, layer.stream[half]
        kept, to = (layer.written[half],) * 2 if alone else (self.unit, to)
        terms = inner + sum((1 << by) - 1 for _, by in weight)
        left = max(0, kept - (unit - LIMB))
        raised = 0 if alone else max(0, unit - LIMB - kept)
        low_bound = terms * ADMITTED << (LIMB - 1)
        name = f"{tag}{tensor}"
        if any(row >= inner for row, _ in weight):
            raise UsageError(f"{name}: an outlier that is none of its {inner} rows")
        low = self.add(Low(f"{name}_low", d, source, name, weight, LIMB, LIMB - left, low_bound))
        beside = 0 if alone else self.limit + self.size.over << raised
        shift = unit - LIMB + left - to
        bias, bias_shift = self.bias(name), 0
        if bias:
            bias_shift = WRITE_UNIT - (unit - LIMB + left)
            beside += self.limit + self.size.over
            if not fits(
                (BIAS_BOUND << max(0, -bias_shift)) + (self.limit + self.size.over + 2 << max(0, bias_shift))
            ):
                raise UsageError(f"{name}: the bias may exceed p/2 at this unit")
        bound = written_bound(terms, high, left, beside)
        residual, limit = ("", 1 << self.size.narrow) if alone else (self.stream, self.limit)
        written = self.add(
            Write(
                name, d, source, name, weight, LIMB, low, residual, left, raised, shift, limit, bound,
                bias, bias_shift,
            )
        )  # fmt: skip
        self.stream = self.plain.added(written, layer, half) if alone else written
        self.unit = layer.stream[half]

    def finish(self) -> InferenceProgram:
        n = self.read("final", None, 0)
        unit, cap = self.facts.logits, self.facts.logit_cap
        logits = self.linear("head", n, self.shape.vocab, unit, LOGIT_CLAMP)
        if cap:
            if unit < 0:
                raise UsageError("head: capped logits have no unit above 1")
            site = Cap("capped", self.shape.vocab, logits, cap, unit, LOGIT_HEIGHT, LOGIT_CLAMP)
            logits = self.add(site)
        return InferenceProgram(self.shape, self.facts, self.lengths, tuple(self.sites), logits)
