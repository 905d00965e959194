"""The weights of a mixture of experts, one expert at a time, whichever way a file keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np

from huref.common.errors import Malformed, Unsupported
from huref.prover.checkpoint.architectures.entry import Experts
from huref.prover.checkpoint.architectures.layout import Layout
from huref.prover.checkpoint.formats.base import Float32


class Expert:
    """One expert, `number` among the routed ones or (None) the shared one: rows of length d, one per neuron.

    Each is read when it is asked for. `scales` says whether a scale may move between up and down.
    """

    def __init__(self, mixture: Mixture, number: int | None) -> None:
        self._mixture, self._number = mixture, number
        self.scales = not mixture.experts.unit_up

    @property
    def gate(self) -> Float32:
        return self._mixture.reading(self._number, "gate")

    @property
    def up(self) -> Float32:
        return self._mixture.reading(self._number, "up")

    @property
    def down(self) -> Float32:
        """With the factor that the model multiplies what routed experts write by, which an owner can move into it."""
        return self._mixture.writing(self._number)


class Mixture:
    """The routed and shared experts of layer `index`."""

    def __init__(self, layout: Layout, hidden: int, index: int) -> None:
        assert layout.entry.experts is not None
        self.layout, self.checkpoint, self.hidden = layout, layout.checkpoint, hidden
        self.block = layout.block(index)
        self.experts = self._oriented(layout.entry.experts)
        self.scaling = layout.config.number("routed_scaling_factor", "router_scaling_factor", default=1.0)
        self.count = self._shape(f"{self.experts.router}.weight", (None, hidden))[0]

    def check(self) -> None:
        """Every expert has its weights in fitting shapes and none is left over. Raises `Malformed`, `Unsupported`."""
        experts, d = self.experts, self.hidden
        if experts.stacked is not None:
            self._check_stacked()
        else:
            for number in range(self.count):
                width = self._shape(self._each(experts.up, number), (None, d))[0]
                if experts.gate is not None:
                    self._shape(self._each(experts.gate, number), (width, d))
                self._shape(self._each(experts.down, number), (d, width))
            beyond = self.block + self._each(experts.down, self.count)
            if beyond in self.checkpoint:
                raise Malformed(
                    f"{self.checkpoint.path}: has {beyond}, but its router has {self.count} outputs"
                )
        if self.has_shared:
            self._check_shared()

    @property
    def has_shared(self) -> bool:
        """Whether an expert sees every token."""
        name = self.experts.shared_down
        return name is not None and f"{self.block}{name}.weight" in self.checkpoint

    def router(self) -> Float32:
        """One row per expert, (E, d)."""
        return self.checkpoint.read(f"{self.block}{self.experts.router}.weight")

    def neurons(self) -> int:
        """Neurons of all experts, the shared one's too."""
        experts = self.experts
        if experts.stacked is not None:
            down = self.checkpoint.shape(self.block + experts.down)
            routed = self.count * down[2 if experts.stacked == "rows" else 1]
        else:
            each = (self._each(experts.down, number) for number in range(self.count))
            routed = sum(self.checkpoint.shape(self.block + name)[1] for name in each)
        if not self.has_shared:
            return routed
        return routed + self.checkpoint.shape(f"{self.block}{experts.shared_down}.weight")[1]

    def all(self) -> Iterator[Expert]:
        """The routed experts in order, then the shared one."""
        yield from self.routed()
        if self.has_shared:
            yield self.shared()

    def routed(self) -> Iterator[Expert]:
        """The routed experts in order."""
        return (Expert(self, number) for number in range(self.count))

    def shared(self) -> Expert:
        """The expert that sees every token."""
        return Expert(self, None)

    def reading(self, number: int | None, part: Literal["gate", "up"]) -> Float32:
        """gate or up of an expert, (f, d)."""
        experts, gate = self.experts, part == "gate"
        if number is None:
            both, one = experts.shared_gate_up, experts.shared_gate if gate else experts.shared_up
            read = self.checkpoint.read(f"{self.block}{both or one}.weight")
        elif experts.stacked is None:
            both, one = None, experts.gate if gate else experts.up
            read = self.checkpoint.read(self.block + self._each(one, number))
        else:
            both, one = experts.gate_up, experts.gate if gate else experts.up
            read = self._slice(both or one, number, reading=True)
        if both is None:
            return read
        if number is not None and experts.fused == "turns":
            return read[0 if gate else 1 :: 2].copy()
        half = len(read) // 2
        return read[:half].copy() if gate else read[half:].copy()

    def writing(self, number: int | None) -> Float32:
        """down of an expert, transposed to (f, d)."""
        experts = self.experts
        if number is None:
            return self.checkpoint.read_transposed(f"{self.block}{experts.shared_down}.weight")
        if experts.stacked is None:
            down = self.checkpoint.read_transposed(self.block + self._each(experts.down, number))
        else:
            down = self._slice(experts.down, number, reading=False)
        return down if self.scaling == 1 else down * np.float32(self.scaling)

    def _slice(self, name: str | None, number: int, *, reading: bool) -> Float32:
        """Rows of length d of one expert in a stacked tensor: (out, in) or (in, out), up reading d, down writing it."""
        values = self.checkpoint.read_rows(f"{self.block}{name}", [number])[0]
        return values if reading == (self.experts.stacked == "rows") else values.T.copy()

    def _oriented(self, experts: Experts) -> Experts:
        """The experts with the orientation of their tensors settled by the places of the hidden size."""
        if experts.stacked != "either":
            return experts
        reading = self.checkpoint.shape(f"{self.block}{experts.gate_up or experts.up}")
        down = self.checkpoint.shape(self.block + experts.down)
        rows = reading[2:] == (self.hidden,) and down[1:2] == (self.hidden,)
        return replace(experts, stacked="rows" if rows else "columns")

    def _check_stacked(self) -> None:
        experts, e, d = self.experts, self.count, self.hidden
        rows = experts.stacked == "rows"
        parts = 1 if experts.gate_up is None else 2
        reading = experts.gate_up or experts.up or ""
        shape = self._shape(reading, (e, None, d) if rows else (e, d, None))
        width = shape[1] if rows else shape[2]
        if width % parts:
            raise Malformed(
                f"{self.checkpoint.path}: tensor {self.block}{reading} has shape {shape}, an odd width"
            )
        width //= parts
        self._shape(experts.down, (e, d, width) if rows else (e, width, d))

    def _check_shared(self) -> None:
        experts, d = self.experts, self.hidden
        width = self._shape(f"{experts.shared_down}.weight", (d, None))[1]
        if experts.shared_gate_up is not None:
            self._shape(f"{experts.shared_gate_up}.weight", (2 * width, d))
        else:
            self._shape(f"{experts.shared_up}.weight", (width, d))

    def _each(self, name: str | None, number: int) -> str:
        if name is None:
            raise Unsupported(f"{self.checkpoint.path}: experts without a gate are not read")
        return f"{name.format(e=number)}.weight"

    def _shape(self, name: str, want: tuple[int | None, ...]) -> tuple[int, ...]:
        """The shape of a tensor of the block. Raises `Malformed` where it differs from `want` (None: any size)."""
        got = self.checkpoint.shape(self.block + name)
        if len(got) != len(want) or any(w not in (None, g) for w, g in zip(want, got, strict=True)):
            raise Malformed(
                f"{self.checkpoint.path}: tensor {self.block}{name} has shape {got}, expected {want}"
            )
        return got
