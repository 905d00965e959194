"""The soundness ledger: every round's error, its grinding, and the bits that remain (protocol §8).

Provable round-by-round soundness in the random-oracle model, unique-decoding radius only. λ is the minimum over
the rounds; grinding counts only for the round right after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2

from huref.circuits.argument.layout import Layout
from huref.circuits.argument.outputs import COUNTS, output_variables
from huref.circuits.argument.spaces import LookupSpace
from huref.circuits.program.program import GatedMatMul
from huref.common.algebra.field import DEGREE, P
from huref.common.algebra.multilinear import log2_ceil
from huref.common.argument.hidden import PadSpace
from huref.common.params import LEVEL_MASK_ROWS, CodeGeometry, Knobs, OpeningGeometry

FIELD_BITS = DEGREE * log2(P)


@dataclass(frozen=True)
class Term:
    """One round: `formula` in words and symbols, bits without grinding, bits of grinding before it."""

    label: str
    formula: str
    error_bits: float
    grinding: int = 0

    @property
    def bits(self) -> float:
        """Security of the round."""
        return self.error_bits + self.grinding


@dataclass(frozen=True)
class SecurityReport:
    """All rounds; `bits` is the level, `binding` the round that sets it."""

    terms: tuple[Term, ...]

    @property
    def binding(self) -> Term:
        """The weakest round."""
        return min(self.terms, key=lambda term: term.bits)

    @property
    def bits(self) -> float:
        """Provable bits of the whole proof."""
        return self.binding.bits


def algebraic(label: str, formula: str, count: float, grinding: int = 0) -> Term:
    """A round whose error is `count` / |K|."""
    return Term(label, f"{formula} / |K|", FIELD_BITS - log2(count), grinding)


def lookup_grinding(spaces: Sequence[LookupSpace], entries: int, knobs: Knobs) -> int:
    """Bits to grind before α and β so that a large lookup still reaches the level (protocol §1)."""
    return max(0, ceil(knobs.security - _lookup_term(spaces, entries, 0).error_bits))


def _lookup_term(spaces: Sequence[LookupSpace], entries: int, grinding: int) -> Term:
    """α and β answer the same messages, so they are one round and their errors add up.

    A wrong tuple passes if β merges it with a table's tuple, or if α is a root of the sum of fractions.
    """
    tables = [block.table for space in spaces for block in space.tables]
    arity = 1 + max(table.arity for table in tables)
    sizes = sum(table.size for table in tables)
    formula = "entries (α) + table entries · (arity + 1) (β)"
    return algebraic("lookup.alpha_beta", formula, entries + sizes * arity, grinding)


def lookup_terms(spaces: Sequence[LookupSpace], entries: int, knobs: Knobs) -> list[Term]:
    """The rounds of the lookup argument, of `entries` tuples and table entries."""
    return [
        _lookup_term(spaces, entries, lookup_grinding(spaces, entries, knobs)),
        algebraic("lookup.mu", "1", 1),
        algebraic("lookup.round", "degree 3", 3),
        algebraic("lookup.tau", "1", 1),
    ]


def triple_terms(pads: PadSpace, constraints: int) -> list[Term]:
    """The check of the products of pads, and the merge of all constraints on them."""
    return [
        algebraic("triples.zeta", "variables", pads.log_triples),
        algebraic("triples.round", "degree 3", 3),
        algebraic("pads.merge", "constraints", constraints),
    ]


def count_claims(layout: Layout) -> tuple[int, int]:
    """Number of linear claims (opening's masks included) and of pad constraints of a proof."""
    program = layout.program
    gated = sum(isinstance(site.acc, GatedMatMul) for site in program.sites)
    calibration = sum(2 if site.finer_magnitude else 1 for site in layout.sites.values())
    inner, counts = int(program.has_products), len(COUNTS) * len(program.influences)
    claims = (
        2 * len(layout.spaces) + 2 * inner + 3 * gated + (program.length > 0) + calibration + counts + 1 + 2
    )
    lookups = sum(1 + space.log_entries for space in layout.spaces)
    constraints = lookups + inner + 2 * gated + 1 + 3
    return claims, constraints


def _code_terms(name: str, code: CodeGeometry, columns: int, knobs: Knobs) -> list[Term]:
    rate = code.domain.rate
    queries = code.queries * -log2((1 + rate) / 2)
    return [
        algebraic(f"{name}.proximity", "log2(columns) · n", max(1, log2_ceil(columns)) * code.domain.n),
        Term(f"{name}.queries", "((1 + ρ) / 2)^t", queries, knobs.grinding),
    ]


def security_report(layout: Layout, geometry: OpeningGeometry, knobs: Knobs) -> SecurityReport:
    """Every term of protocol §8 for this proof."""
    claims, constraints = count_claims(layout)
    terms = [
        *lookup_terms(layout.spaces, layout.entries, knobs),
        *triple_terms(layout.pads, constraints),
        *opening_terms(claims, geometry, knobs),
    ]
    if layout.program.has_products:
        terms.append(algebraic("inner.round", "degree 2", 2))
    if layout.program.ratios:
        terms.append(algebraic("ratios.theta", "sums of ratios", 2 * len(layout.program.ratios)))
    if layout.program.length:
        terms.append(algebraic("output", "variables of v", output_variables(layout.program)))
    if any(isinstance(site.acc, GatedMatMul) for site in layout.program.sites):
        terms.append(algebraic("gated.round", "degree 3", 3))
    return SecurityReport(tuple(terms))


def opening_terms(claims: int, geometry: OpeningGeometry, knobs: Knobs) -> list[Term]:
    """The rounds of the opening of so many claims, and collisions of the hash."""
    terms = [
        algebraic("opening.gamma", "claims", claims),
        algebraic("opening.reduction", "degree 2", 2),
        *_code_terms("opening.weights", geometry.weights, geometry.w, knobs),
        *_code_terms("opening.proof", geometry.proof, geometry.w, knobs),
    ]
    queries = geometry.weights.queries + geometry.proof.queries
    for number, level in enumerate(geometry.levels, 2):
        label = f"opening.level{number}"
        evaluated = queries + LEVEL_MASK_ROWS
        terms += [
            algebraic(f"{label}.delta", "evaluation and mask claims", evaluated),
            algebraic(f"{label}.round", "degree 2", 2),
            *_code_terms(label, level.code, level.w, knobs),
        ]
        queries = level.code.queries
    last = geometry.levels[-1].code.domain.n
    terms.append(algebraic("opening.beta", "relation 1 + mask line n", 1 + last))
    terms.append(Term("hash", "collisions of the shortest digests", 4 * knobs.digest_bytes))
    return terms
