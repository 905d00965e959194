"""Hidden messages as affine forms over one-time pads (protocol §5).

A hidden message m is sent as m̂ = m − π with a committed pad π used once; the verifier holds m as the form
m̂ + π and computes on forms with public coefficients. Pads are numbered: `singles` ordinary ones, then the
lists A, B and T of `triples` multiplication triples with T_i = A_i·B_i. Without pads a form is just its
constant, which is how sub-protocols run in plain mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from huref.common.algebra.kscalar import KS

ZERO = KS(0)
ONE = KS(1)
DUMMY_TRIPLES = 4
"""Random triples never used by a product; they hide the triple check's final evaluations."""


@dataclass(frozen=True)
class Form:
    """`const` + Σ coefficient · pad, with public coefficients by pad number."""

    const: KS
    pads: Mapping[int, KS]

    @staticmethod
    def public(value: KS) -> Form:
        """The form of a value the verifier knows."""
        return Form(value, {})


def combine(terms: Iterable[tuple[KS, Form]], const: KS = ZERO) -> Form:
    """Σ coefficient · form + const."""
    pads: dict[int, KS] = {}
    for coefficient, form in terms:
        const = const + coefficient * form.const
        for pad, value in form.pads.items():
            known = pads.get(pad)
            scaled = coefficient * value
            pads[pad] = scaled if known is None else known + scaled
    return Form(const, pads)


@dataclass(frozen=True)
class PadSpace:
    """How many pads a proof has: `singles` hidden messages and `triples` triples (a power of two)."""

    singles: int
    triples: int

    @staticmethod
    def for_counts(singles: int, products: int) -> PadSpace:
        """Room for `products` products plus the dummies; the triple check's own messages are added."""
        log = max(1, (products + DUMMY_TRIPLES - 1).bit_length())
        return PadSpace(singles + 2 * log, 1 << log)

    @property
    def log_triples(self) -> int:
        """Number of variables of the triple check."""
        return self.triples.bit_length() - 1

    @property
    def total(self) -> int:
        """All pads, in K elements."""
        return self.singles + 3 * self.triples

    def triple(self, index: int) -> tuple[int, int, int]:
        """Pad numbers of A_i, B_i, T_i."""
        return tuple(self.singles + part * self.triples + index for part in range(3))  # type: ignore[return-value]
