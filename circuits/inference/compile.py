"""From shape, public facts and the number of tokens to the sites of the inference program, with every bound checked.

LLaMA's layout and those near it: a norm before attention and FFN (one that subtracts the mean is the same on committed
integers, whose means are removed), a rotary embedding or learned positions, norms on q and k or none, a gated FFN or a
plain one, biases or none, a head.
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.facts import Facts, LayerFacts, Outliers
from huref.circuits.inference.sites import (
    Activate,
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
from huref.circuits.model.tensors import ADMITTED, BIAS, DIGIT, DIGITS, READ_UNIT, WRITE_UNIT
from huref.circuits.program.bounds import fits
from huref.circuits.program.functions import EXP_BITS, ROOT_LOW, inverse_roots
from huref.common.errors import Unsupported, UsageError

MAX_TOKENS = 1 << 14
STREAM_LIMB = 9
"""Residual entries are r1 · 2^9 + r0."""
STREAM_OVER = 1 << (STREAM_LIMB - 1)
"""By how much the limbs reach further than −2^S."""
NORM_UNIT = READ_UNIT
NORM_CLAMP = 4095
_NORM_LENGTH = 514
"""‖n‖ ≤ 514 · √d follows from S, m, e, c and the rounding (docs/inference.md §4)."""
QUERY_CLAMP, VALUE_CLAMP, UP_CLAMP, LOGIT_CLAMP = 4095, 2047, 2047, (1 << 15) - 1
GATE_BITS, GATE_FINER = 16, 2
LIMB = 8
MIXED_HIGH = 1 << 8
"""High limbs of y are smaller than this."""
HEAD_UNIT = 8
"""Unit of heads of norm one."""
HEAD_CONSTANT = ROOT_LOW
"""What is added to the square of a head, so that one of zeros can be normed."""
HEAD_TOP = 8
"""4^HEAD_TOP · 2^14 is above every square of a head."""
BIAS_BOUND = ADMITTED * sum(1 << (DIGIT * row) for row in range(DIGITS))
"""The largest number in a bias's digits."""


def stream_bits(hidden: int) -> int:
    """S: residual entries lie in [−2^S, 2^S). At most 19; the sum of the squared high limbs stays below p/2."""
    bits = 19
    while not fits(hidden << (2 * (bits - STREAM_LIMB))):
        bits -= 1
    return bits


def norm_scale(hidden: int) -> int:
    """Largest x for which r · c(m), c(m) ≤ √hidden · 2^(x−6), stays below p/2, with c(m) of at most 12 bits."""
    scale = 17
    while (c := int(inverse_roots(hidden, scale)[0])) >= 1 << 12 or not fits(
        c * ((1 << stream_bits(hidden)) + STREAM_OVER)
    ):
        scale -= 1
    return scale


def product_high(ffn: int) -> int:
    """High limbs of a are smaller than this: 2^11, or what leaves room for half as much again of outliers."""
    high = 1 << 11
    while not fits(3 * ffn * ADMITTED * high // 2):
        high >>= 1
    return high


def turned_clamp(size: int) -> int:
    """Largest C with size · C² < p/2: clamp of q and k behind the rotary embedding, at most 4095."""
    clamp = QUERY_CLAMP
    while not fits(size * clamp * clamp):
        clamp -= 1
    return clamp


def head_norm_scale(size: int) -> int:
    """Largest x with c(2^12) ≤ √size · 2^(x−6) of at most 12 bits."""
    scale = 17
    while int(inverse_roots(size, scale)[0]) >= 1 << 12:
        scale -= 1
    return scale


def query_scale(size: int) -> tuple[int, int]:
    """(size, f) with log2(e) · 2^f / √size in (½, 1]."""
    f = 0
    while 2.0813689810056077 * 4 ** (f + 1) <= size:  # log2(e)²
        f += 1
    return size, f


def score_unit(shape: ModelShape, layer: LayerFacts) -> int:
    """Unit of q·k behind the rotary embedding, in octaves."""
    size, f = query_scale(shape.head_dim)
    mixed = block(size).bit_length() - 1
    return layer.query + layer.key + mixed + 2 * ROTARY_BITS + f - layer.query_shift - layer.key_shift


def check_supported(shape: ModelShape) -> None:
    """Raise `Unsupported` unless the program is known for models of this shape."""
    wanted = {
        "pre-norms": shape.norm_position == "pre" and not shape.output_norm and not shape.parallel,
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


def compile_inference(shape: ModelShape, facts: Facts, tokens: int) -> InferenceProgram:
    """The program for the first `tokens` positions.

    Raises:
        Unsupported: a shape without a program yet. UsageError: units that leave an accumulator above p/2, or
        do not go together.
    """
    check_supported(shape)
    if not 1 <= tokens <= MAX_TOKENS:
        raise UsageError(f"an inference program has 1 to {MAX_TOKENS} tokens, not {tokens}")
    for most, what in ((shape.positions, "positions"), (facts.window, "tokens that attention sees")):
        if 0 < most < tokens:
            raise UsageError(f"an inference program has at most the model's {most} {what}, not {tokens}")
    if len(facts.layers) != shape.layers:
        raise UsageError(f"inference: units of {len(facts.layers)} layers for a model of {shape.layers}")
    builder = _Builder(shape, facts, tokens)
    for n, layer in enumerate(facts.layers):
        builder.attention(f"l{n}.", layer)
        builder.feed_forward(f"l{n}.", layer)
    return builder.finish()


class _Builder:
    def __init__(self, shape: ModelShape, facts: Facts, tokens: int) -> None:
        self.shape, self.facts, self.tokens = shape, facts, tokens
        self.sites: list[Site] = []
        self.stream, self.unit = "embedded", facts.embedding
        self.limit = 1 << stream_bits(shape.hidden)
        positions = "positions" if shape.positions else ""
        self.add(Embed("embedded", shape.hidden, facts.embedding, self.limit, self.limit, positions))

    def add(self, site: Site) -> str:
        bounds = [getattr(site, name) for name in ("bound", "squares") if hasattr(site, name)]
        if not all(fits(bound) for bound in bounds):
            raise UsageError(f"{site.name}: the accumulator may exceed p/2")
        shift = getattr(site, "shift", 0)
        if shift < 0 or getattr(site, "lifted", 0) < 0 or getattr(site, "raised", 0) < 0:
            raise UsageError(f"{site.name}: these units need a negative shift")
        self.sites.append(site)
        return site.name

    def norm(self, name: str) -> str:
        d = self.shape.hidden
        constant = round(Fraction(self.facts.epsilon) * d * Fraction(4) ** self.unit)
        scale = norm_scale(d)
        squares = d * max((self.limit >> STREAM_LIMB) ** 2, 1 << (2 * STREAM_LIMB - 2))
        return self.add(
            Norm(
                name,
                d,
                self.stream,
                constant,
                scale,
                scale - NORM_UNIT,
                NORM_CLAMP,
                (self.limit + STREAM_OVER) * int(inverse_roots(d, scale)[0]),
                squares,
            )
        )

    def linear(self, name: str, source: str, rows: int, unit: int, clamp: int, extra: Outliers = ()) -> str:
        bound = ADMITTED * self.shape.hidden * min(NORM_CLAMP, _NORM_LENGTH)
        bias = self.bias(name)
        bound += BIAS_BOUND if bias else 0
        return self.add(Linear(name, rows, source, name, NORM_UNIT - unit, extra, clamp, bound, bias))

    def bias(self, tensor: str) -> str:
        """The name of a tensor's bias, "" if it has none."""
        return tensor + BIAS if tensor.rpartition(".")[2] in self.shape.biases else ""

    def normed_head(self, name: str, source: str, rows: int, gain: int, unit: int) -> str:
        """q or k behind its norm and gain."""
        size, scale = self.shape.head_dim, head_norm_scale(self.shape.head_dim)
        squares = size * turned_clamp(size) ** 2
        # |q|² ≤ (m + 1) · 4^e and c(m) ≤ √size · 2^x / √m + ½
        bound = (isqrt(size << (2 * scale)) + isqrt((1 << 14) + 1) + 2) << HEAD_TOP
        shift = scale + HEAD_TOP - HEAD_UNIT
        normed = self.add(
            HeadNorm(
                f"{name}_normed", rows, source, size, HEAD_CONSTANT, scale, HEAD_TOP, shift, bound, squares
            )
        )
        bound = ((bound >> shift) + 1) * ADMITTED * ((1 << 7) + 1)
        shift = HEAD_UNIT + 7 - gain - unit
        return self.add(Gain(f"{name}_gained", rows, normed, f"{name}_gain", gain, shift, QUERY_CLAMP, bound))

    def attention(self, tag: str, layer: LayerFacts) -> None:
        s, size = self.shape, self.shape.head_dim
        n = self.norm(f"{tag}attn_norm")
        if s.qk_norm:
            clamp = turned_clamp(size)
            q = self.linear(f"{tag}q", n, s.q_rows, layer.raw_query, clamp)
            k = self.linear(f"{tag}k", n, s.kv_rows, layer.raw_key, clamp)
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
            self.add(Turn(f"{tag}{name}_turned", cols, source, size, scale, shift, clamp, bound))
            for name, cols, source, scale, shift in (
                ("q", s.q_rows, q, query_scale(size), layer.query_shift),
                ("k", s.kv_rows, k, (0, 0), layer.key_shift),
            )
        )
        shift = score_unit(s, layer) - 8
        scores = self.add(
            Scores(f"{tag}scores", s.heads, s.group, size, query, key, shift, size * clamp * clamp)
        )
        mix = Mix(
            f"{tag}mix", s.q_rows, s.heads, s.group, size, scores, v, EXP_BITS, VALUE_CLAMP << (EXP_BITS + 1)
        )
        mixed = self.add(mix)
        largest = (2 * VALUE_CLAMP + 1) * ((1 << 15) + 1)
        base = 15 + layer.value - layer.mixed
        y = self.add(
            Divide(f"{tag}y", s.q_rows, size, mixed, scores, f"{tag}o.step", base, LIMB, MIXED_HIGH, largest)
        )
        self.write(tag, "o", y, s.q_rows, layer.mixed, MIXED_HIGH, layer.stream[0], ())

    def feed_forward(self, tag: str, layer: LayerFacts) -> None:
        ffn = self.shape.ffn
        if any(row >= ffn for row, _ in layer.up_outliers):
            raise UsageError(f"{tag}up: an outlier that is none of its {ffn} rows")
        n = self.norm(f"{tag}ffn_norm")
        name, gate_unit = ("gate", layer.gate) if self.shape.gated else ("up", layer.up)
        gate = self.linear(f"{tag}{name}", n, ffn, gate_unit, (1 << (GATE_BITS - 1)) - 1)
        unit = gate_unit + GATE_FINER
        kind = self.facts.activation
        active = self.add(Activate(f"{tag}active", ffn, kind, gate, gate_unit, unit, GATE_BITS))
        if not self.shape.gated:
            if layer.up_outliers or layer.gate:
                raise UsageError(f"{tag}up: there is no gate")
            self.rescaled(tag, layer, active, unit - layer.product)
            return
        up = self.linear(f"{tag}up", n, ffn, layer.up, UP_CLAMP, layer.up_outliers)
        bound = UP_CLAMP << (GATE_BITS - 1 + GATE_FINER)
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
        self.write(
            tag, "down", a, ffn, layer.product, product_high(ffn), layer.stream[1], layer.product_outliers
        )

    def rescaled(self, tag: str, layer: LayerFacts, active: str, base: int) -> None:
        """The FFN's output without a gate."""
        ffn, bound, high = self.shape.ffn, 1 << (GATE_BITS - 1 + GATE_FINER), product_high(self.shape.ffn)
        extra = layer.product_outliers
        a = self.add(Rescale(f"{tag}a", ffn, active, f"{tag}down.step", base, extra, LIMB, high, bound))
        self.write(tag, "down", a, ffn, layer.product, high, layer.stream[1], layer.product_outliers)

    def write(
        self, tag: str, tensor: str, source: str, inner: int, unit: int, high: int, to: int, weight: Outliers
    ) -> None:
        """stream += tensorᵀ · source, at unit `to`; the accumulator's unit is the finer of the two that meet."""
        d = self.shape.hidden
        terms = inner + sum((1 << by) - 1 for _, by in weight)
        left = max(0, self.unit - (unit - LIMB))
        raised = max(0, unit - LIMB - self.unit)
        low_bound = terms * ADMITTED << (LIMB - 1)
        name = f"{tag}{tensor}"
        if any(row >= inner for row, _ in weight):
            raise UsageError(f"{name}: an outlier that is none of its {inner} rows")
        low = self.add(Low(f"{name}_low", d, source, name, weight, LIMB, LIMB - left, low_bound))
        bound = (terms * ADMITTED * high << left) + (low_bound >> (LIMB - left)) + 1
        bound += self.limit + STREAM_OVER << raised
        shift = unit - LIMB + left - to
        bias, bias_shift = self.bias(name), 0
        if bias:
            bias_shift = WRITE_UNIT - (unit - LIMB + left)
            bound += self.limit + STREAM_OVER
            if not fits(
                (BIAS_BOUND << max(0, -bias_shift)) + (self.limit + STREAM_OVER + 2 << max(0, bias_shift))
            ):
                raise UsageError(f"{name}: the bias may exceed p/2 at this unit")
        self.stream = self.add(
            Write(
                name, d, source, name, weight, LIMB, low, self.stream, left, raised, shift, self.limit, bound,
                bias, bias_shift,
            )
        )  # fmt: skip
        self.unit = to

    def finish(self) -> InferenceProgram:
        n = self.norm("final_norm")
        logits = self.linear("head", n, self.shape.vocab, self.facts.logits, LOGIT_CLAMP)
        return InferenceProgram(self.shape, self.facts, self.tokens, tuple(self.sites), logits)
