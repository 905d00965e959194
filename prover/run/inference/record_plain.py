"""What a recorder puts down of models with norms behind attention and FFN (protocol §13.7)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.inference.evaluate import Ints
from huref.circuits.inference.plain_sites import Add, HighGain, Lift, LowGain, OutputGain, Rotate, Rows
from huref.circuits.inference.prompt_opening import prompt_mask
from huref.circuits.inference.sites import Embed, Gain, Site, Turn
from huref.circuits.inference.trace import InferenceTrace
from huref.circuits.relations.products import Transposed
from huref.circuits.relations.program import Relations
from huref.common.algebra.field import to_signed
from huref.prover.run.inference.executor import FastEvaluator

_READ = {"low": "gained.small", "gained": "gained", "read": "read"}
_WRITTEN = {"back": "branch.back", "branch": "branch.gained", "added": "added"}
"""Matrices of the parts that both halves of a layer have."""


class PlainRecorder(FastEvaluator):
    """Both halves of a layer are instances of one matrix. Values are kept until the last site that reads them."""

    found: dict[str, NDArray[Any]]
    relations: Relations

    @abstractmethod
    def put(self, name: str, inner: int, values: Ints) -> None:
        """Instance `inner` of a matrix: values (outer, …)."""

    @abstractmethod
    def rest(self, name: str, inner: int) -> None:
        """The remainder of the last rounding."""

    @abstractmethod
    def limbs_of(self, values: Ints, inner: int, first: str, second: str) -> None:
        """Both limbs of values."""

    @abstractmethod
    def streamed(self, inner: int, values: Ints) -> None:
        """Instance `inner` of the stream."""

    @abstractmethod
    def multiples(self, site: Embed | Lift, tensor: str, shift: Ints) -> None:
        """What rows are multiplied by."""

    @abstractmethod
    def clamped(self, site: Turn | Gain | Rotate, out: Ints) -> Ints:
        """`out`, what it was before it was clipped, and the remainder."""

    def take(self) -> dict[str, NDArray[Any]]:
        """What was found; the recorder forgets it, so that memory is free once it has been committed to."""
        found, self.found = self.found, {}
        return found

    def run(self) -> InferenceTrace:
        """Run every site; of the values those that no site reads are left."""
        last: dict[str, str] = {}
        for site in self.program.sites:
            last |= {value: site.name for value in vars(site).values() if isinstance(value, str)}
        for site in self.program.sites:
            self.trace.values[site.name] = self.site(site)
            for name in [name for name in self.trace.values if last[name] == site.name]:
                del self.trace.values[name]
        return self.trace

    def place(self, site: Site) -> tuple[int, str]:
        """The layer of a site, and its name behind the layer's tag."""
        tag, _, name = site.name.partition(".")
        return (int(tag[1:]), name) if name else (0, tag)

    def rotate(self, site: Rotate) -> Ints:
        out = super().rotate(site)
        if site.clamp:
            return self.clamped(site, out)
        inner, name = self.where(site)
        self.put(name, inner, out)
        self.rest(f"{name}.rest", inner)
        return out

    def hide(self, salts: Sequence[bytes]) -> None:
        """What a proof commits to of hidden prompts: their tokens, one row of the vocabulary each, and masks."""
        hidden = self.relations.prompts
        if hidden is None:
            return
        products = self.relations.products
        read = next(p for p in products if isinstance(p, Transposed) and p.matrix == hidden.chosen)
        ids = self.ids[np.array(read.tokens) >= 0]
        chosen = np.zeros((len(ids), 1, self.program.shape.vocab), np.int8)
        chosen[np.arange(len(ids)), 0, ids] = 1
        self.found[hidden.chosen.name] = chosen
        masks = to_signed(np.array([prompt_mask(salt) for salt in salts], np.uint64))
        self.put(hidden.mask.name, 0, masks)

    def embedded_rows(self, site: Rows) -> Ints:
        return self.picked(super().embedded_rows(site))

    def picked(self, rows: Ints) -> Ints:
        """Rows of the embedding as they are committed."""
        self.put("embed.one", 0, np.ones(len(rows), np.int64))
        self.put("embed.rows", 0, rows)
        return rows

    def rows(self, site: Embed, tensor: str, index: Ints) -> Ints:
        if tensor == "embed" and "embed.rows" in self.relations.matrix:
            self.picked(self.weights[tensor][index].astype(np.int64))
        return super().rows(site, tensor, index)

    def lift(self, site: Lift) -> Ints:
        out = super().lift(site)
        self.multiples(site, "embed", self.exponents(site, "embed", self.ids))
        self.rest("embed.rest", 0)
        self.streamed(0, out)
        return out

    def low_gain(self, site: LowGain) -> Ints:
        return self.in_limbs(site, super().low_gain(site))

    def high_gain(self, site: HighGain) -> Ints:
        return self.in_limbs(site, super().high_gain(site))

    def output_gain(self, site: OutputGain) -> Ints:
        return self.in_limbs(site, super().output_gain(site))

    def in_limbs(self, site: LowGain | HighGain | OutputGain, out: Ints) -> Ints:
        """`out` in limbs, and the remainder."""
        inner, name = self.where(site)
        self.limbs_of(out, inner, f"{name}.high", f"{name}.low")
        self.rest(f"{name}.rest", inner)
        return out

    def added(self, site: Add) -> Ints:
        out = super().added(site)
        inner, name = self.where(site)
        self.rest(f"{name}.rest", inner)
        self.streamed(inner + 1, out)
        return out

    def where(self, site: Site) -> tuple[int, str]:
        """The instance of a site, and the matrix of its values; parts that both halves of a layer have are one."""
        inner, name = self.place(site)
        half, _, part = name.partition("_")
        if half == "embedded":
            return 0, f"embed.{part}"
        if half == "final":
            return 2 * self.program.shape.layers, _READ[part]
        if half in ("attn", "ffn") and part in _READ:
            return 2 * inner + (half == "ffn"), _READ[part]
        if half in ("o", "down") and part in _WRITTEN:
            return 2 * inner + (half == "down"), _WRITTEN[part]
        return inner, name
