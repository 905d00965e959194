"""A run of the committed integers in float, with the units that its values ask for (docs/inference.md §5).

Every unit is as fine as the largest value of the run allows, with a margin of 1.3 for what a proof clips and a wider
one for what it cannot: 2 for the stream, 4 for y, 8 for a. A few neurons per layer are far larger than the others, most
of all at the first token; these get a coarser unit of their own. The run uses BLAS: units are facts of the directory,
which nobody has to find again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.facts import MAX_SHIFT, LayerFacts, Outliers
from huref.circuits.inference.limits import (
    GATE_BITS,
    GATE_FINER,
    HEAD_UNIT,
    LIMB,
    LOGIT_CLAMP,
    MIXED_HIGH,
    NORM_UNIT,
    QUERY_CLAMP,
    RAW_CLAMP,
    RAW_LIMB,
    RAW_SQUARES,
    UP_CLAMP,
    VALUE_CLAMP,
    largest_lift,
    largest_score_shift,
    product_bound,
    product_high,
    query_scale,
    reach_by_shift,
    score_unit,
    stream_size,
    turned_clamp,
)
from huref.circuits.inference.tables import ROTARY_BITS, block, block_signs, head_signs
from huref.circuits.model.rotary import rotary_planes
from huref.circuits.model.tensors import GAIN_BITS, LOWEST_STEP, STEP, WRITE_UNIT, kind_of
from huref.common.errors import ProverError
from huref.prover.kernels.integers.reading import real_rows
from huref.prover.kernels.mapped import release
from huref.prover.run.inference.fit import (
    MARGIN,
    PRODUCT_MARGIN,
    STREAM_MARGIN,
    WIDE_MARGIN,
    common_unit,
    unit_for,
)
from huref.prover.run.inference.settings import Settings
from huref.prover.run.inference.weights import real_bias, real_sum

Floats = NDArray[np.float32]
Weights = Mapping[str, NDArray[np.int8]]

FINEST_STREAM, _FINEST_GATE, _FINEST_LOGITS = 13, 9, 9
_BLOCK = 4096
"""Rows of a matrix that are held as floats at a time."""


def _silu(x: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.asarray(x / (1 + np.exp(-x)))


def _gelu(x: Floats) -> Floats:
    flat = x.reshape(-1)
    found = np.fromiter((math.erfc(-real) for real in (flat / math.sqrt(2)).tolist()), np.float32, len(flat))
    return np.asarray(x * found.reshape(x.shape) / 2)


def _gelu_tanh(x: Floats) -> Floats:
    return np.asarray(x * (1 + np.tanh(np.float32(math.sqrt(2 / math.pi)) * (x + 0.044715 * x**3))) / 2)


ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {"silu": _silu, "gelu": _gelu, "gelu_tanh": _gelu_tanh}


def peak(values: Floats) -> float:
    """The largest absolute value."""
    return float(np.abs(values).max())


def unit_rows(x: Floats, epsilon: float) -> Floats:
    """Rows over the roots of their mean squares and ε."""
    return np.asarray(x / np.sqrt((x * x).mean(axis=1, keepdims=True) + np.float32(epsilon)))


class FloatRun:
    """The model in float32, layer after layer, for the tokens of all texts at once; a block of rows is real at a time.

    `x` is the residual stream (tokens of all texts × hidden), `texts` the slices of it, `before` the finest units that
    it may have before every write, `least` the smallest exponent in the embedding.
    """

    def __init__(
        self, shape: ModelShape, settings: Settings, weights: Weights, texts: Sequence[Sequence[int]]
    ) -> None:
        self.shape, self.settings, self.weights = shape, settings, weights
        self.shifts: dict[str, tuple[int, int]] = {}
        self.before: list[int] = []
        self.least = 0
        self.more: dict[str, Any] = {}
        ids = np.concatenate([np.asarray(text, np.int64) for text in texts])
        ends = np.cumsum([len(text) for text in texts])
        self.texts = [slice(end - len(text), end) for end, text in zip(ends.tolist(), texts, strict=True)]
        self.size = stream_size(shape)
        self.bits = self.size.bits
        self.reads = NORM_UNIT
        self.embed(ids, texts)

    def embed(self, ids: NDArray[np.int64], texts: Sequence[Sequence[int]]) -> None:
        """The first stream and its unit."""
        shape, square = self.shape, self.settings.embedding_square
        self.x = self.rows("embed", ids) * np.float32(math.sqrt(square))
        steps = [self.steps("embed")]
        if shape.positions:
            if max(len(text) for text in texts) > shape.positions:
                raise ProverError(f"inference: a calibration text is longer than {shape.positions} positions")
            self.x += self.rows("positions", np.concatenate([np.arange(len(text)) for text in texts]))
            steps.append(self.steps("positions"))
        alive = np.concatenate([part[part > LOWEST_STEP] for part in steps])
        if not len(alive):
            raise ProverError("inference: an embedding of zeros")
        # 127 · √square · 2^(unit + step) stays below 2^bits, and the sum of two
        largest = self.bits - 6 - len(steps) - int(alive.max()) - math.ceil(math.log2(square) / 2)
        self.first = self.unit = min(FINEST_STREAM, largest)
        self.least = int(alive.min())

    def steps(self, name: str) -> NDArray[np.int32]:
        return self.weights[name + STEP].reshape(-1).astype(np.int32)

    def rows(self, name: str, index: NDArray[np.int64]) -> Floats:
        """Rows of a matrix as real numbers."""
        return np.ldexp(self.weights[name][index].astype(np.float32), self.steps(name)[index][:, None])

    def bias(self, name: str) -> Floats | None:
        """The bias behind a matrix, real numbers; None without one."""
        if kind_of(name) not in self.shape.biases:
            return None
        return real_bias(self.weights, name).astype(np.float32)

    def blocks(self, name: str) -> Iterator[tuple[slice, Floats]]:
        """A matrix as real numbers, rows after rows; the pages of a mapped file are given back."""
        stored, steps = self.weights[name], self.steps(name)
        for start in range(0, len(stored), _BLOCK):
            rows = slice(start, start + _BLOCK)
            yield rows, real_rows(stored[rows], steps[rows])
            release(stored[rows])

    def read(self, name: str, n: Floats) -> Floats:
        """n · Wᵀ + b."""
        found = np.concatenate([n @ real.T for _, real in self.blocks(name)], axis=1)
        bias = self.bias(name)
        return found if bias is None else found + bias

    def write(self, name: str, y: Floats, unit: int, outliers: Outliers = ()) -> int:
        """x += y · W + b, y at this unit for rows whose step is 2^0; the stream's next unit."""
        self.before.append(unit - LIMB + self.lift(name, outliers))
        self.x += self.product(name, y)
        self.unit = min(self.unit, unit - LIMB + 2, unit_for(1 << self.bits, peak(self.x), STREAM_MARGIN))
        return self.unit

    def lift(self, name: str, outliers: Outliers) -> int:
        """By how many bits what is written may be coarser than the stream before it."""
        tensor, inner = kind_of(name), len(self.weights[name])
        high = MIXED_HIGH if tensor == "o" else product_high(inner)
        entry = (1 << self.size.bits) + self.size.over
        terms = inner + sum((1 << by) - 1 for _, by in outliers)
        return largest_lift(terms, high, entry * (1 + (tensor in self.shape.biases)))

    def settled(self, layers: list[LayerFacts]) -> list[LayerFacts]:
        """The layers, their stream and the first one no finer than what is written next can be lifted to.

        Raises:
            ProverError: the embedding has rows too small for the first unit.
        """
        units = [self.first, *(unit for layer in layers for unit in layer.stream)]
        finest = [*self.before, units[-1]] if self.before else units
        own = np.minimum.accumulate(np.minimum(units, finest)).tolist()
        self.first = own[0]
        if self.first + self.least < 0:
            raise ProverError("inference: rows of the embedding are too different in size")
        pairs = zip(own[1::2], own[2::2], strict=True)
        return [replace(layer, stream=pair) for layer, pair in zip(layers, pairs, strict=True)]

    def product(self, name: str, y: Floats) -> Floats:
        """y · W + b."""
        found = np.zeros((len(y), self.shape.hidden), np.float32)
        for rows, real in self.blocks(name):
            found += y[:, rows] @ real
        bias = self.bias(name)
        return found if bias is None else found + bias

    def normed(self) -> Floats:
        """The stream behind its norm."""
        return unit_rows(self.x, float(self.settings.epsilon))

    def reading(self, name: str) -> Floats:
        """What attention (`l<n>.attn`), the FFN (`l<n>.ffn`) or the head reads; `reads` is its unit."""
        return self.normed()

    def layer(self, n: int) -> LayerFacts:
        """Run one layer; its units."""
        tag, (theta, stretch) = f"l{n}.", self.settings.turns[n]
        between, attention = self.attention(tag, theta, stretch)
        behind, feed_forward = self.feed_forward(tag)
        return LayerFacts(
            stream=(between, behind),
            theta=theta,
            stretch=stretch,
            **attention,
            **feed_forward,
            **self.pairs(),
        )

    def pairs(self) -> dict[str, Any]:
        """Units that only models with norms behind attention and FFN have."""
        return {}

    def attention(self, tag: str, theta: int, stretch: int) -> tuple[int, dict[str, Any]]:
        """Add the attention to the stream; the stream's unit, and the other units by name."""
        s, n = self.shape, self.reading(f"{tag}attn")
        q, k, v = (self.read(tag + name, n).reshape(len(n), -1, s.head_dim) for name in ("q", "k", "v"))
        units: dict[str, Any] = {"value": self.linear(f"{tag}v", unit_for(VALUE_CLAMP, peak(v)))}
        for side, name, rows in (("query", "q", q), ("key", "k", k)):
            if not s.qk_norm:
                units[side] = self.linear(tag + name, unit_for(QUERY_CLAMP, peak(rows)))
                continue
            length = peak(np.sqrt((rows * rows).sum(axis=2)))
            raw = min(unit_for(RAW_CLAMP, peak(rows)), unit_for(2.0 ** (RAW_SQUARES / 2 + RAW_LIMB), length))
            units[f"raw_{side}"] = self.linear(tag + name, raw)
            rows[:], step = self.head_normed(tag + name, rows)
            units[f"{side}_gain"] = step
            units[side] = min(unit_for(QUERY_CLAMP, peak(rows)), HEAD_UNIT + GAIN_BITS - step)
        mixed, turned = np.empty_like(q), [0.0, 0.0]
        for text in self.texts:
            (turned_q, out_q), (turned_k, out_k) = (self.turned(x[text], theta, stretch) for x in (q, k))
            turned = [max(turned[0], peak(out_q)), max(turned[1], peak(out_k))]
            mixed[text] = self.attended(turned_q, turned_k, v[text])
        y = mixed.reshape(len(n), -1)
        length, f = query_scale(self.settings.score_square)
        kappa = math.log2(math.e) * 2.0**f / math.sqrt(length)
        clamp = turned_clamp(s.head_dim)
        units["query_shift"] = max(0, units["query"] + ROTARY_BITS - unit_for(clamp, turned[0] * kappa))
        units["key_shift"] = max(0, units["key"] + ROTARY_BITS - unit_for(clamp, turned[1]))
        self.coarser_scores(units)
        largest = peak(y * np.exp2(self.steps(f"{tag}o")))
        unit = self.bounded("o", unit_for((MIXED_HIGH - 1) << LIMB, largest, WIDE_MARGIN))
        units["mixed"] = self.secret(f"{tag}o", 15 + units["value"], unit, ())
        return self.write(f"{tag}o", y, units["mixed"]), units

    def head_normed(self, name: str, rows: Floats) -> tuple[Floats, int]:
        """Heads behind their norm and gain, and the step of the gain."""
        gain = real_sum(self.weights, f"{name}_gain").astype(np.float32)
        scale = np.sqrt((rows * rows).mean(axis=2, keepdims=True) + np.float32(1e-12))
        normed = (rows / scale).reshape(len(rows), -1) * gain
        return normed.reshape(rows.shape).astype(np.float32), int(self.steps(f"{name}_gain")[0])

    def coarser_scores(self, units: dict[str, Any]) -> None:
        """Shift more of q and k away where scores are so small that their own shift would be too large."""
        size, shifts = self.shape.head_dim, units["query_shift"] + units["key_shift"]
        unit = score_unit(size, self.settings.score_square, units["query"] + units["key"], shifts)
        excess = unit - 8 - largest_score_shift(size)
        if excess > 0:
            units["query_shift"] += (excess + 1) // 2
            units["key_shift"] += excess // 2

    def bounded(self, tensor: str, unit: int) -> int:
        """`unit`, or the finest one at which a bias of what is written fits."""
        return min(unit, WRITE_UNIT + LIMB) if tensor in self.shape.biases else unit

    def attended(self, q: Floats, k: Floats, v: Floats) -> Floats:
        """Softmax attention of one text, per head."""
        mixed = np.empty_like(q)
        seen = np.tril(np.ones((len(q), len(q)), bool))
        for head in range(self.shape.heads):
            kv = head // self.shape.group
            scores = q[:, head] @ k[:, kv].T / np.float32(np.sqrt(self.settings.score_square))
            if cap := self.settings.score_cap:
                scores = cap * np.tanh(scores / cap)
            scores = np.where(seen, scores, -np.inf)
            e = np.exp(scores - scores.max(axis=1, keepdims=True))
            mixed[:, head] = e @ v[:, kv] / e.sum(axis=1, keepdims=True)
        return mixed

    def feed_forward(self, tag: str) -> tuple[int, dict[str, Any]]:
        """Add the feed-forward part to the stream; the stream's unit, and the other units by name."""
        n, gated = self.reading(f"{tag}ffn"), self.shape.gated
        first = "gate" if gated else "up"
        gate = self.read(tag + first, n)
        a = ACTIVATIONS[self.settings.activation](gate)
        gate_unit = min(_FINEST_GATE, unit_for((1 << (GATE_BITS - 1)) - 1, peak(gate)))
        gate_unit = self.linear(tag + first, gate_unit)
        up_outliers: Outliers = ()
        up_unit = 0
        if gated:
            up = self.read(f"{tag}up", n)
            a *= up
            up_unit, up_outliers = common_unit(UP_CLAMP, np.abs(up).max(axis=0), MARGIN)
            up_unit = self.linear(f"{tag}up", up_unit, up_outliers)
        scaled = np.abs(a).max(axis=0) * np.exp2(self.steps(f"{tag}down"))
        base = gate_unit + GATE_FINER + up_unit
        product, outliers, extra = self.product_unit(f"{tag}down", base, scaled, up_outliers)
        product = self.secret(f"{tag}down", base, product, extra)
        units = {"gate": gate_unit, "up": up_unit, "product": product}
        if not gated:
            units["gate"], units["up"] = 0, gate_unit
        return self.write(f"{tag}down", a, product, outliers), {
            **units,
            "up_outliers": up_outliers,
            "product_outliers": outliers,
        }

    def product_unit(
        self, tensor: str, base: int, peaks: Floats, finer: Outliers
    ) -> tuple[int, Outliers, Outliers]:
        """The unit of a, its outliers, and by how much the shifts of rows are larger, where those of u are `finer`.

        With the widest margin, unless rows then have shifts so large that they take a lookup more
        (docs/inference.md §4), and with the next one not.
        """
        high, bound = product_high(self.shape.ffn), product_bound(self.shape.gated)
        most, _ = reach_by_shift(bound, (high << LIMB) + (1 << LIMB >> 1), 0, MAX_SHIFT)
        found = []
        for margin in (PRODUCT_MARGIN, WIDE_MARGIN):
            unit, outliers = common_unit((high - 1) << LIMB, peaks, margin)
            unit, extra = self.bounded("down", unit), dict(outliers)
            for row, by in finer:
                extra[row] = extra.get(row, 0) - by
            found.append((unit, outliers, tuple(sorted(extra.items()))))
            if self.span(tensor, base, unit, found[-1][2])[2] <= most:
                return found[-1]
        return found[0]

    def turned(self, x: Floats, theta: int, stretch: int) -> tuple[Floats, Floats]:
        """Heads behind the rotary embedding, and mixed as the program mixes them."""
        planes, _ = rotary_planes(self.shape)
        pairs = np.arange(len(planes))
        angle = (
            np.arange(len(x))[:, None]
            / stretch
            * float(theta) ** (-2 * pairs / max(1, self.shape.rotary_dim))
        )
        cosine, sine = (f(angle)[:, None].astype(np.float32) for f in (np.cos, np.sin))
        out = x.copy()
        a, b = x[:, :, planes[:, 0]], x[:, :, planes[:, 1]]
        out[:, :, planes[:, 0]], out[:, :, planes[:, 1]] = a * cosine - b * sine, b * cosine + a * sine
        n = block(self.shape.head_dim)
        mixed = (out * head_signs(self.shape.head_dim)).reshape(-1, n) @ block_signs(n).astype(np.float32)
        return out, mixed.astype(np.float32)

    def linear(self, tensor: str, unit: int, outliers: Outliers = ()) -> int:
        """`unit`, or what the secret shifts of a weight that reads the stream allow."""
        return self.secret(tensor, self.reads, unit, outliers)

    def secret(self, tensor: str, base: int, unit: int, extra: Sequence[tuple[int, int]]) -> int:
        """The finest unit up to `unit` at which no shift base − unit − step + extra is negative."""
        unit, low, high = self.span(tensor, base, unit, extra)
        before = self.shifts.setdefault(kind_of(tensor), (low, high))
        self.shifts[kind_of(tensor)] = min(before[0], low), max(before[1], high)
        return unit

    def span(
        self, tensor: str, base: int, unit: int, extra: Sequence[tuple[int, int]]
    ) -> tuple[int, int, int]:
        """That unit, and the smallest and the largest of the shifts."""
        shift = base - self.steps(tensor)
        for row, by in extra:
            shift[row] += by
        unit = min(unit, int(shift.min()))
        return unit, int(shift.min()) - unit, int(shift.max()) - unit

    def logits(self) -> int:
        """Unit of the logits, before their cap."""
        n = self.reading("head")
        bias = self.bias("head")
        largest = max(
            peak(n @ block.T if bias is None else n @ block.T + bias[rows])
            for rows, block in self.blocks("head")
        )
        return self.linear("head", min(_FINEST_LOGITS, unit_for(LOGIT_CLAMP, largest)))
