"""The soundness ledger, computed a second time from the definitions of protocol §8, and its coverage."""

from __future__ import annotations

import re
from fractions import Fraction
from math import log2
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

import huref.verifier.argument.verify
from huref.circuits.argument.layout import Layout
from huref.circuits.argument.proof import Setup
from huref.circuits.argument.security import count_claims, lookup_grinding, security_report
from huref.circuits.program.tables import Table
from huref.common.algebra.field import P
from huref.common.errors import Rejected
from huref.common.params import CodeGeometry, Knobs
from huref.verifier.argument.channel import VerifierChannel
from huref.verifier.argument.verify import verify_program
from tests.proof.programs import STATEMENT, Case, chain, everything, range_case, several, small_build, wide

K = P**5
TERM_OF = {
    r"lookup\.(alpha|beta)": "lookup.alpha_beta",
    r"lookup\.layer\d+\.mu": "lookup.mu",
    r"lookup\.layer\d+\.tau": "lookup.tau",
    r"lookup\.layer\d+\.challenge": "lookup.round",
    r"inner\.challenge": "inner.round",
    r"ratios\.theta": "ratios.theta",
    r"gated\.\w+\.challenge": "gated.round",
    r"output\.point": "output",
    r"triples\.zeta": "triples.zeta",
    r"triples\.challenge": "triples.round",
    r"pads\.merge": "pads.merge",
    r"opening\.gamma": "opening.gamma",
    r"opening\.reduction\.challenge": "opening.reduction",
    r"opening\.beta": "opening.beta",
    r"opening\.level2\.delta": "opening.level2.delta",
    r"opening\.level3\.delta": "opening.level3.delta",
    r"opening\.level4\.delta": "opening.level4.delta",
    r"opening\.level2\.challenge": "opening.level2.round",
    r"opening\.level3\.challenge": "opening.level3.round",
    r"opening\.level4\.challenge": "opening.level4.round",
    r"opening\.weights": "opening.weights.queries",
    r"opening\.proof": "opening.proof.queries",
    r"opening\.level2": "opening.level2.queries",
    r"opening\.level3": "opening.level3.queries",
    r"opening\.level4": "opening.level4.queries",
}
"""Which term answers for each challenge of the transcript."""
FREE = r"opening\.(level[234]\.)?z[01]|(lookup|opening\.level[1234])\.grind\.seed"
"""Challenges that carry no soundness: the masks' points (zero knowledge) and the seeds of proofs of work."""


@pytest.fixture(scope="module")
def cases(_small: None) -> list[Case]:
    whole = wide(33, 5)
    return [
        chain(), everything(), several([(5, 40), (9, 3)], 16, bits=(3, 5)), whole, range_case(whole),
    ]  # fmt: skip


@pytest.mark.parametrize("number", [1, 3])
def test_every_challenge_has_a_term(number: int, cases: list[Case]) -> None:
    with small_build(levels=3):
        case = cases[number]
        setup, drawn = case.setup(), set()

        def record(kind: str, label: str, data: bytes) -> None:
            if kind == "challenge":
                drawn.add(label)

        report = verify_program(setup, STATEMENT, case.commit().root, case.prove(setup), 24, record)
    named = {term.label for term in report.terms}
    used = set()
    for label in drawn:
        matches = {term for pattern, term in TERM_OF.items() if re.fullmatch(pattern, label)}
        assert bool(matches) != bool(re.fullmatch(FREE, label)), label
        used |= matches
    assert used <= named
    proximity = {f"opening.{code}.proximity" for code in ("weights", "proof", "level2", "level3", "level4")}
    assert named - used == proximity | {"hash"}


def independent(setup: Setup) -> dict[str, float]:
    """Bits of every term, from exact rationals."""
    layout, geometry, knobs = setup.layout, setup.geometry, setup.knobs
    looked = sum(block.rows * block.cols for space in layout.spaces for block in space.blocks)
    w = layout.w
    digits = {}
    for weight in () if layout.program.ranged else layout.program.committed:
        digits[weight.bits] = digits.get(weight.bits, 0) + weight.rows * -(-weight.cols // w)
    looked += sum(-(-count // 2) * w for count in digits.values())
    tables = sum(len(block.table.columns()[0]) for space in layout.spaces for block in space.tables)
    widest = max(len(block.table.columns()) for space in layout.spaces for block in space.tables)
    sites = layout.program.sites
    shifts = setup.public.shifts
    gated = sum(type(site.acc).__name__ == "GatedMatMul" for site in sites)
    sums = sum(1 + (shifts[site.name] > 0) for site in sites)
    inner, outputs = bool(layout.inner), bool(layout.program.output.sources)
    claims = 2 * len(layout.spaces) + 2 * inner + 3 * gated + outputs + sums  # and pads, masks
    claims += 3 * len(layout.program.influences) + 1 + 2
    constraints = sum(1 + space.log_entries for space in layout.spaces) + inner + 2 * gated + 1 + 3

    def algebraic(count: float) -> float:
        return -log2(Fraction(count) / K)

    def code(name: str, found: CodeGeometry, columns: int) -> dict[str, float]:
        n, k = found.domain.n, found.domain.k_prime
        variables = max(1, (columns - 1).bit_length())
        queries = -found.queries * log2(Fraction(n + k, 2 * n)) + knobs.grinding
        return {f"{name}.proximity": algebraic(variables * n), f"{name}.queries": queries}

    terms = {
        "lookup.alpha_beta": algebraic(looked + tables + (widest + 1) * tables),
        "lookup.mu": algebraic(1),
        "lookup.round": algebraic(3),
        "lookup.tau": algebraic(1),
        "triples.zeta": algebraic(layout.pads.triples.bit_length() - 1),
        "triples.round": algebraic(3),
        "pads.merge": algebraic(constraints),
        "opening.gamma": algebraic(claims),
        "opening.reduction": algebraic(2),
        "opening.beta": algebraic(1 + geometry.levels[-1].code.domain.n),
        **code("opening.weights", geometry.weights, w),
        **code("opening.proof", geometry.proof, w),
        "hash": {100: 104.0, 128: 128.0}.get(knobs.security, 4.0 * -(-(2 * knobs.security + 8) // 8)),
    }
    if inner:
        terms["inner.round"] = algebraic(2)
    if outputs:
        terms["output"] = algebraic(9)
    if layout.program.ratios:
        terms["ratios.theta"] = algebraic(2 * len(layout.program.ratios))
    if gated:
        terms["gated.round"] = algebraic(3)
    claimed = geometry.weights.queries + geometry.proof.queries + 2  # two evaluation lists, two masks
    for i, level in enumerate(geometry.levels):
        label = f"opening.level{i + 2}"
        terms |= {f"{label}.delta": algebraic(claimed), f"{label}.round": algebraic(2)}
        terms |= code(label, level.code, level.w)
        claimed = level.code.queries + 2
    return terms


@pytest.mark.parametrize("levels", [0, 1, 3])
@pytest.mark.parametrize("knobs", [Knobs(24, 3, 4, 1), Knobs(), Knobs(security=128), Knobs(128, 20, 2, 4)])
def test_report_equals_a_second_computation(knobs: Knobs, levels: int, cases: list[Case]) -> None:
    with small_build(levels=levels):
        for case in cases:
            setup = Case(case.program, case.weights, knobs).setup()
            report = security_report(setup.layout, setup.geometry, knobs)
            expected = independent(setup)
            assert {term.label: pytest.approx(term.bits, abs=1e-6) for term in report.terms} == expected
            assert report.bits == pytest.approx(min(expected.values())) and report.bits >= knobs.security


def test_counts_are_those_of_the_verifier(cases: list[Case]) -> None:
    """Claims and constraints as the verifier makes them, against the ledger's."""
    original = huref.verifier.argument.verify.verify_opening
    for case in cases:
        setup, counts = case.setup(), []

        def note(channel: VerifierChannel, *rest: Any, counts: list[Any] = counts) -> None:
            counts.append((len(rest[3]) + 2, len(channel.constraints)))
            original(channel, *rest)

        with mock.patch.object(huref.verifier.argument.verify, "verify_opening", note):
            case.verify(case.prove(setup), setup)
        assert counts == [count_claims(setup.layout)]


@pytest.mark.parametrize("log_entries", [20, 26, 27, 29, 30])
@pytest.mark.parametrize("security", [100, 128])
def test_grinding_before_a_large_lookup(log_entries: int, security: int) -> None:
    """Above about 2^26.5 entries λ = 128 needs work before α and β; the round then just reaches the level."""
    table = SimpleNamespace(table=Table("digits", (8, 2)))
    layout: Layout = SimpleNamespace(entries=1 << log_entries, spaces=[SimpleNamespace(tables=[table])])  # type: ignore[assignment]
    bits = lookup_grinding(layout.spaces, layout.entries, Knobs(security=security))
    error = Fraction((1 << log_entries) + 3 * 65536, K)
    assert error / 2**bits <= Fraction(1, 2**security)
    assert bits == 0 or error / 2 ** (bits - 1) > Fraction(1, 2**security)
    assert (bits > 0) == (security == 128 and log_entries >= 27)


def test_level_is_the_callers(cases: list[Case]) -> None:
    case = cases[0]
    setup, root, proof = case.setup(), case.commit().root, case.prove()
    report = security_report(setup.layout, setup.geometry, setup.knobs)
    verify_program(setup, STATEMENT, root, proof, int(report.bits))
    with pytest.raises(Rejected) as caught:
        verify_program(setup, STATEMENT, root, proof, int(report.bits) + 1)
    assert caught.value.path == "security"


def test_every_code_checks_its_own_rate(cases: list[Case]) -> None:
    """Queries follow from the true rate k'/n, and k' covers data and random rows (§4, §8)."""
    with small_build(levels=3):
        for case in cases:
            geometry = Case(case.program, case.weights, Knobs()).setup().geometry
            codes = [geometry.weights, geometry.proof, *(level.code for level in geometry.levels)]
            for code, rate_inv in zip(codes, (4, 4, 4, 8, 16), strict=True):
                n, k = code.domain.n, code.domain.k_prime
                assert k == code.rows + code.random and rate_inv * k <= n and code.queries < code.random
                escape = Fraction(n + k, 2 * n)
                assert escape**code.queries <= Fraction(1, 2**80) < escape ** (code.queries - 1)
                assert code.queries <= n
            length = geometry.length
            for level in geometry.levels:
                assert length == (level.code.rows - 2) * level.w
                length = level.code.k_prime
            assert geometry.weights.k_prime % geometry.levels[0].w == 0
