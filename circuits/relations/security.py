"""The soundness ledger of a proof of relations (protocol §8, §13.6)."""

from __future__ import annotations

from huref.circuits.argument.security import (
    SecurityReport,
    Term,
    algebraic,
    lookup_terms,
    opening_terms,
    triple_terms,
)
from huref.circuits.relations.setup import RelationSetup
from huref.circuits.relations.weights import point_sizes


def relation_security(setup: RelationSetup) -> SecurityReport:
    """Every round's error, and the bits that remain."""
    layout, knobs = setup.layout, setup.knobs
    prompts = setup.relations.prompts
    claims = 2 * len(layout.spaces) + 3 + (prompts is not None) + 1 + 2
    constraints = sum(1 + space.log_entries for space in layout.spaces) + 1 + 1 + 3
    hidden = len(prompts.lengths) if prompts else 0
    terms: list[Term] = [
        *lookup_terms(layout.spaces, layout.entries, knobs),
        *([algebraic("prompt.point", "hidden tokens", sum(prompts.lengths))] if prompts else []),
        algebraic("equations.eta", "equations and prompts", len(setup.relations.equations) + hidden),
        algebraic("equations.point", "variables", sum(point_sizes(setup.relations, layout.w))),
        algebraic("inner.round", "degree 2", 2),
        *triple_terms(layout.pads, constraints),
        *opening_terms(claims, setup.geometry, knobs),
    ]
    return SecurityReport(tuple(terms))
