"""Definitions that stand in for the opening: extensions, functionals and forms evaluated directly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from huref.circuits.argument.functional import Functional
from huref.common.algebra.field import P, kdot, kscale, ksum
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table
from huref.common.argument.hidden import Form
from huref.common.argument.transcript import Transcript
from huref.verifier.argument.channel import VerifierChannel
from tests.support.terms import coefficients

RNG = np.random.default_rng(4)


def elements(*shape: int) -> np.ndarray:
    return RNG.integers(0, P, (*shape, 5)).astype(np.uint64)


def scalars(count: int) -> list[KS]:
    return KS.list_from_array(elements(count))


def plain(data: bytes) -> VerifierChannel:
    return VerifierChannel(Transcript(), data, None)


def extension(table: np.ndarray, point: Sequence[KS]) -> KS:
    """The multilinear extension of (2^n, 5) at a point, by definition."""
    return KS.from_array(kdot(table, eq_table(list(point))))


def direct(functional: Functional, weights: np.ndarray, proof: np.ndarray) -> KS:
    """Σ aᵀUb over the terms, on matrices of residues."""
    total = KS(0)
    for term in functional.terms:
        start, own = coefficients(term, functional.columns)
        cells = (weights if term.matrix == "W" else proof)[start : start + len(own)]
        total += KS.from_array(ksum(kscale(own, cells).reshape(-1, 5)))
    return total


def evaluate(form: Form, pads: np.ndarray) -> KS:
    return form.const + sum((c * KS.from_array(pads[i]) for i, c in form.pads.items()), KS(0))
