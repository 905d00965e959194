"""The public units of an inference program, from a run of the committed integers in float (docs/inference.md §5).

Every unit is as fine as the largest value of the run allows, with a margin of 1.3, or 4 for y and a, which a proof
cannot clip. A few neurons per layer are far larger than the others, most of all at the first token; these get a coarser
unit of their own. The run uses BLAS: units are facts of the directory, which nobody has to find again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.compile import (
    GATE_BITS,
    GATE_FINER,
    LIMB,
    LOGIT_CLAMP,
    MIXED_HIGH,
    NORM_UNIT,
    QUERY_CLAMP,
    UP_CLAMP,
    VALUE_CLAMP,
    product_high,
    query_scale,
    stream_bits,
    turned_clamp,
)
from huref.circuits.inference.facts import Facts, LayerFacts, Outliers
from huref.circuits.inference.tables import ROTARY_BITS, block, head_signs
from huref.circuits.model.rotary import rotary_planes
from huref.circuits.model.tensors import STEP
from huref.common.errors import ProverError
from huref.prover.run.inference.settings import Settings

Floats = NDArray[np.float32]
Weights = Mapping[str, NDArray[np.int8]]

MARGIN, WIDE_MARGIN = 1.3, 4.0
_FINEST_STREAM, _FINEST_GATE, _FINEST_LOGITS = 13, 9, 9
_OUTLIERS = 8
"""Neurons of a layer that do not count for the common unit of u or a."""
_LARGEST_SHIFT = 20


def _unit(limit: float, peak: float, margin: float = MARGIN) -> int:
    """The finest unit at which peak · margin is at most `limit`."""
    return int(np.floor(np.log2(limit / (margin * max(peak, 1e-9)))))


def calibrate(
    shape: ModelShape, settings: Settings, weights: Weights, texts: Sequence[Sequence[int]]
) -> Facts:
    """Units for a model's committed integers, from a float run on token ids.

    Raises:
        ProverError: values so large or so small that no units fit.
    """
    run = _FloatRun(shape, settings, weights, texts)
    layers = [run.layer(n) for n in range(shape.layers)]
    logits = run.logits()
    low, high = min(run.shifts), max(run.shifts)
    if low < 0 or high > _LARGEST_SHIFT:
        raise ProverError(f"inference: secret shifts of {low} to {high} do not fit a table")
    return Facts(
        activation=settings.activation,
        epsilon=settings.epsilon,
        theta=settings.theta,
        embedding=run.first,
        logits=logits,
        shifts=(low, high),
        layers=tuple(layers),
    )


@dataclass
class _Peaks:
    """Largest absolute values of one layer; per row where the unit is one of rows."""

    one: dict[str, float]
    up: NDArray[np.float64]
    product: NDArray[np.float64]

    def joined(self, other: _Peaks) -> _Peaks:
        """Of both."""
        one = {name: max(value, other.one[name]) for name, value in self.one.items()}
        return _Peaks(one, np.maximum(self.up, other.up), np.maximum(self.product, other.product))


class _FloatRun:
    """The model in float32, one layer after the other for all texts."""

    def __init__(
        self, shape: ModelShape, settings: Settings, weights: Weights, texts: Sequence[Sequence[int]]
    ) -> None:
        self.shape, self.settings, self.weights = shape, settings, weights
        self.shifts: list[int] = []
        ids = [np.asarray(text, np.int64) for text in texts]
        steps = self.steps("embed")
        self.streams = [np.ldexp(weights["embed"][i].astype(np.float32), steps[i][:, None]) for i in ids]
        self.bits = stream_bits(shape.hidden)
        largest = self.bits - 7 - int(steps.max())  # 127 · 2^(unit + step) stays below 2^bits
        self.first = self.unit = min(_FINEST_STREAM, largest)
        if self.first + int(steps.min()) < 0:
            raise ProverError("inference: rows of the embedding are too different in size")

    def steps(self, name: str) -> NDArray[np.int32]:
        return self.weights[name + STEP].reshape(-1).astype(np.int32)

    def real(self, name: str) -> Floats:
        scale = np.ldexp(np.float32(1), self.steps(name))[:, None]
        return np.multiply(self.weights[name], scale, dtype=np.float32)

    def normed(self, x: Floats) -> Floats:
        scale = np.sqrt((x * x).mean(axis=1, keepdims=True) + np.float32(self.settings.epsilon))
        return np.asarray(x / scale)

    def layer(self, n: int) -> LayerFacts:
        """Run one layer; its units."""
        tag = f"l{n}."
        names = ("q", "k", "v", "o", "gate", "up", "down")
        w = {name: self.real(tag + name) for name in names}
        found = [self.one(tag, w, i) for i in range(len(self.streams))]
        return self.facts(tag, reduce(_Peaks.joined, found))

    def one(self, tag: str, w: dict[str, Floats], i: int) -> _Peaks:
        """The layer on one text."""
        s, x = self.shape, self.streams[i]
        tokens, size = len(x), s.head_dim
        n = self.normed(x)
        q, k, v = (n @ w[name].T for name in ("q", "k", "v"))
        turned_q, turned_k = (self.turned(y.reshape(tokens, -1, size)) for y in (q, k))
        mixed = np.empty((tokens, s.heads, size), np.float32)
        seen = np.tril(np.ones((tokens, tokens), bool))
        values = v.reshape(tokens, -1, size)
        for head in range(s.heads):
            kv = head // s.group
            scores = turned_q[0][:, head] @ turned_k[0][:, kv].T / np.float32(np.sqrt(size))
            scores = np.where(seen, scores, -np.inf)
            e = np.exp(scores - scores.max(axis=1, keepdims=True))
            mixed[:, head] = e @ values[:, kv] / e.sum(axis=1, keepdims=True)
        y = mixed.reshape(tokens, -1)
        x = x + y @ w["o"]
        between = x
        n = self.normed(x)
        gate, up = n @ w["gate"].T, n @ w["up"].T
        a = gate / (1 + np.exp(-gate)) * up
        self.streams[i] = x = x + a @ w["down"]
        one = {
            "query": q,
            "key": k,
            "query_turned": turned_q[1],
            "key_turned": turned_k[1],
            "value": v,
            "mixed": y * np.exp2(self.steps(f"{tag}o")),
            "gate": gate,
            "between": between,
            "behind": x,
        }
        rows = (np.abs(up).max(axis=0), np.abs(a * np.exp2(self.steps(f"{tag}down"))).max(axis=0))
        return _Peaks(
            {name: float(np.abs(values).max()) for name, values in one.items()},
            *(row.astype(np.float64) for row in rows),
        )

    def turned(self, x: Floats) -> tuple[Floats, Floats]:
        """Heads behind the rotary embedding, and mixed as the program mixes them."""
        planes, _ = rotary_planes(self.shape)
        pairs = np.arange(len(planes))
        angle = np.arange(len(x))[:, None] * float(self.settings.theta) ** (
            -2 * pairs / self.shape.rotary_dim
        )
        cosine, sine = (f(angle)[:, None].astype(np.float32) for f in (np.cos, np.sin))
        out = x.copy()
        a, b = x[:, :, planes[:, 0]], x[:, :, planes[:, 1]]
        out[:, :, planes[:, 0]], out[:, :, planes[:, 1]] = a * cosine - b * sine, b * cosine + a * sine
        n = block(self.shape.head_dim)
        hadamard = np.ones((1, 1), np.float32)
        while len(hadamard) < n:
            hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
        mixed = (out * head_signs(self.shape.head_dim)).reshape(-1, n) @ hadamard
        return out, mixed.astype(np.float32)

    def facts(self, tag: str, peaks: _Peaks) -> LayerFacts:
        """The units that these values allow."""
        one = peaks.one
        size = self.shape.head_dim
        query = self.linear(f"{tag}q", _unit(QUERY_CLAMP, one["query"]))
        key = self.linear(f"{tag}k", _unit(QUERY_CLAMP, one["key"]))
        value = self.linear(f"{tag}v", _unit(VALUE_CLAMP, one["value"]))
        length, f = query_scale(size)
        kappa = math.log2(math.e) * 2.0**f / np.sqrt(length)
        clamp = turned_clamp(size)
        query_shift = max(0, query + ROTARY_BITS - _unit(clamp, one["query_turned"] * kappa))
        key_shift = max(0, key + ROTARY_BITS - _unit(clamp, one["key_turned"]))
        mixed = _unit((MIXED_HIGH - 1) << LIMB, one["mixed"], WIDE_MARGIN)
        mixed = self.secret(f"{tag}o", 15 + value, mixed, ())
        gate = self.linear(f"{tag}gate", min(_FINEST_GATE, _unit((1 << (GATE_BITS - 1)) - 1, one["gate"])))
        up, up_outliers = _common(UP_CLAMP, peaks.up, MARGIN)
        up = self.linear(f"{tag}up", up, up_outliers)
        product, product_outliers = _common(
            (product_high(self.shape.ffn) - 1) << LIMB, peaks.product, WIDE_MARGIN
        )
        coarser = dict(product_outliers)
        extra = [(j, coarser.get(j, 0) - dict(up_outliers).get(j, 0)) for j in range(self.shape.ffn)]
        product = self.secret(f"{tag}down", gate + GATE_FINER + up, product, extra)
        stream = self.stream(mixed, one["between"]), self.stream(product, one["behind"])
        return LayerFacts(
            stream=stream,
            query=query,
            key=key,
            query_shift=query_shift,
            key_shift=key_shift,
            value=value,
            mixed=mixed,
            gate=gate,
            up=up,
            product=product,
            up_outliers=up_outliers,
            product_outliers=product_outliers,
        )

    def linear(self, tensor: str, unit: int, outliers: Outliers = ()) -> int:
        """`unit`, or what the secret shifts of a weight that reads the stream allow."""
        return self.secret(tensor, NORM_UNIT, unit, outliers)

    def secret(self, tensor: str, base: int, unit: int, extra: Sequence[tuple[int, int]]) -> int:
        """The finest unit up to `unit` at which no shift base − unit − step + extra is negative."""
        shift = base - self.steps(tensor)
        for row, by in extra:
            shift[row] += by
        unit = min(unit, int(shift.min()))
        self.shifts += [int(shift.min()) - unit, int(shift.max()) - unit]
        return unit

    def stream(self, unit: int, peak: float) -> int:
        """The stream's next unit, never finer than it was."""
        self.unit = min(self.unit, unit - LIMB + 2, _unit(1 << self.bits, peak))
        return self.unit

    def logits(self) -> int:
        """Unit of the logits."""
        head = self.real("head")
        peak = max(float(np.abs(self.normed(x) @ head.T).max()) for x in self.streams)
        return self.linear("head", min(_FINEST_LOGITS, _unit(LOGIT_CLAMP, peak)))


def _common(limit: int, peaks: NDArray[np.float64], margin: float) -> tuple[int, Outliers]:
    """The unit for all rows but a few, and by how many bits these are coarser."""
    order = np.sort(peaks)[::-1]
    unit = _unit(limit, float(order[min(_OUTLIERS, len(order) // 64)]), margin)
    coarser = unit - np.floor(np.log2(limit / (margin * np.maximum(peaks, 1e-9)))).astype(np.int64)
    return unit, tuple((int(j), int(coarser[j])) for j in np.flatnonzero(coarser > 0))
