"""The sites of all layers of an inference program, kind by kind."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from huref.circuits.inference.sites import InferenceProgram, Site

S = TypeVar("S", bound=Site)


@dataclass(frozen=True)
class Family:
    """Sites and tensors by the name behind the layer's tag."""

    program: InferenceProgram

    @cached_property
    def _sites(self) -> dict[str, Site]:
        return {site.name: site for site in self.program.sites}

    def one(self, name: str) -> Site:
        """A site by its whole name."""
        return self._sites[name]

    def all(self, name: str, kind: type[S]) -> list[S]:
        """The site of every layer."""
        found = [self._sites[f"l{n}.{name}"] for n in range(self.program.shape.layers)]
        sites: list[S] = [site for site in found if isinstance(site, kind)]
        if len(sites) != len(found):
            raise TypeError(f"{name} is no {kind.__name__} in some layer")
        return sites

    def tensors(self, name: str) -> tuple[str, ...]:
        """The tensor of every layer."""
        return tuple(f"l{n}.{name}" for n in range(self.program.shape.layers))
