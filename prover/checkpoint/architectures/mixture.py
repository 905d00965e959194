"""The weights of a mixture of experts, one expert at a time, whichever way a file keeps them."""

from __future__ import annotations

from huref.common.errors import Malformed, Unsupported
from huref.prover.checkpoint.architectures.entry import Experts
from huref.prover.checkpoint.architectures.layout import Layout
from huref.prover.checkpoint.formats.base import Float32


class Mixture:
    """The routed and shared experts of layer `index`; `up` and `down` are rows of length d, one per neuron."""

    def __init__(self, layout: Layout, hidden: int, index: int) -> None:
        assert layout.entry.experts is not None
        self.layout, self.checkpoint, self.hidden = layout, layout.checkpoint, hidden
        self.experts: Experts = layout.entry.experts
        self.block = layout.block(index)
        self.count = self._shape(f"{self.experts.router}.weight", (None, hidden))[0]

    def check(self) -> None:
        """Every expert has its weights in fitting shapes and none is left over. Raises `Malformed`, `Unsupported`."""
        experts, d = self.experts, self.hidden
        if experts.stacked is not None:
            self._check_stacked()
        else:
            for number in range(self.count):
                width = self._shape(self._each(experts.up, number), (None, d))[0]
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

    def expert(self, number: int) -> tuple[Float32, Float32]:
        """up and down of one routed expert, (f, d) each."""
        experts = self.experts
        if experts.stacked is None:
            up = self.checkpoint.read(self.block + self._each(experts.up, number))
            return up, self.checkpoint.read_transposed(self.block + self._each(experts.down, number))
        down = self._slice(experts.down, number, reading=False)
        if experts.gate_up is None:
            return self._slice(experts.up, number, reading=True), down
        both = self._slice(experts.gate_up, number, reading=True)
        return (both[1::2] if experts.fused == "turns" else both[len(both) // 2 :]), down

    def shared(self) -> tuple[Float32, Float32]:
        """up and down of the shared expert, (f, d) each."""
        experts = self.experts
        down = self.checkpoint.read_transposed(f"{self.block}{experts.shared_down}.weight")
        if experts.shared_gate_up is None:
            return self.checkpoint.read(f"{self.block}{experts.shared_up}.weight"), down
        both = self.checkpoint.read(f"{self.block}{experts.shared_gate_up}.weight")
        return both[len(both) // 2 :], down

    def _slice(self, name: str | None, number: int, *, reading: bool) -> Float32:
        """Rows of length d of one expert in a stacked tensor: (out, in) or (in, out), up reading d, down writing it."""
        values = self.checkpoint.read_rows(f"{self.block}{name}", [number])[0]
        return values if reading == (self.experts.stacked == "rows") else values.T.copy()

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
