"""Every check of the verifier, one at a time: an attack that only this check stops.

With the check taken out of the build the attack's false statement is accepted; in the real build it is rejected
at the expected path. Constraints and claims all meet in the opening's last equation, hence `opening.final`.

Not here, because taking them out lets no forgery through: the masks' two claims (zero knowledge, `test_rank`);
the truncation check (shorter data fails to decode anyway, with another error); the refusal of a zero round
coordinate (the division would raise); order, range and count of Merkle indices (positions come sorted and distinct
from the transcript, and node counts are read to measure); the level check (`test_security`); proofs of work
(`test_attacks`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.circuits.program.bounds
import huref.verifier.argument.channel
import huref.verifier.argument.verify
from huref.circuits.argument.layout import build_layout
from huref.circuits.argument.proof import PublicInputs, Setup, prepare, weights_geometry
from huref.common.algebra.field import P
from huref.common.argument.hidden import Form
from huref.common.errors import Malformed, Rejected
from huref.common.params import opening_geometry
from huref.verifier.argument.channel import VerifierChannel
from tests.proof import attacks, attacks_known_challenges, attacks_measured, attacks_opening
from tests.proof.attacks import Attack
from tests.proof.cheating import (
    edited_array,
    edited_leaves,
    lenient,
    rerun,
    without_claim,
    without_constraint,
    without_evaluations,
    without_final_check,
    without_last_code,
    without_ratios,
    without_root_check,
)
from tests.proof.programs import Builder, Case, chain, public_inputs, small_build

Mutation = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Mutant:
    """A check, how to take it out, the attack that it stops, and where the real build stops it."""

    name: str
    mutation: Mutation
    attack: Attack
    program: str = "tall"
    path: str = "opening.final"
    levels: int = 0


def constraint(label: str, attack: Attack, program: str = "tall") -> Mutant:
    return Mutant(label, lambda: without_constraint(label), attack, program)


def claim(label: str, attack: Attack, program: str = "tall") -> Mutant:
    return Mutant(label, lambda: without_claim(label), attack, program)


def unclaimed(name: str, attack: Attack, *labels: str) -> Mutant:
    """An attack that passes where some claims of the program on a whole commitment are left out."""
    return Mutant(name, lambda: without_claim(*labels), attack, "joined")


def layer(index: int) -> Mutant:
    return constraint(f"lookup.layer{index}.final", attacks.wrong_layer(index))


def root(label: str, attack: Attack, levels: int = 0, name: str = "") -> Mutant:
    path = f"{label}.root"
    return Mutant(name or label, lambda: without_root_check(label), attack, "small", path, levels)


def evaluations(level: int, of: str) -> Mutant:
    """That a level's vector is the fold of the code `of` before it."""
    name, attack = f"opening.level{level}", attacks_opening.unbound(of, leaves=False)
    return Mutant(f"{name} evaluations of {of}", lambda: without_evaluations(name), attack, "small", levels=3)


def last_code(levels: int) -> Mutant:
    path = f"opening.level{1 + levels}.code"
    return Mutant(path, without_last_code, attacks_opening.wrong_last_row, "small", path, levels)


LOOSER = attacks.wrong_calibration(1, lambda limit, coarse, _: (coarse, limit))
TIGHTER = attacks.wrong_calibration(-1, lambda limit, _, fine: (limit - 1, fine))

MUTANTS = [
    constraint("lookup.root", attacks_known_challenges.pole),
    *(layer(index) for index in (0, 6, 14)),
    claim("lookup.numerator", attacks.wrong_numerators),
    claim("lookup.denominator", attacks.wrong_denominators),
    constraint("inner.final", attacks.wrong_inner_product),
    claim("inner.left", attacks.wrong_activation),
    claim("inner.right", attacks.wrong_weights),
    constraint("gated.ga.weights", attacks.wrong_gated_product(True), "full"),
    constraint("gated.ga.final", attacks.wrong_gated_product(False), "full"),
    claim("gated.ga.gate", attacks.wrong_gated_weight("gate"), "full"),
    claim("gated.ga.up", attacks.wrong_gated_weight("up"), "full"),
    claim("gated.ga.left", attacks.wrong_gated_activation, "full"),
    claim("output", attacks.wrong_output),
    *(
        claim(f"influence.{row}.{kind}", attacks_measured.wrong_count(row, kind), "joined")
        for row in ("rows.mu", "vo.mu", "qk.mu")
        for kind in ("alive", "at", "above")
    ),
    *(
        Mutant(
            f"sums of ratio {name}, {number}",
            without_ratios,
            attacks_measured.wrong_ratio(name, number),
            "joined",
        )
        for name in ("ys1", "end")
        for number in (0, 1)
    ),
    *(
        unclaimed(f"lookup.denominator, {name}", attack, "lookup.denominator")
        for name, attack in (
            ("steps of tokens", attacks_measured.wrong_steps("rows.mu")),
            ("steps of neurons", attacks_measured.wrong_steps("qk.mu")),
            ("columns", attacks_measured.other_columns),
            ("sums of heads", attacks_measured.other_sums),
            ("likeness of shares", attacks_measured.other_likeness),
            ("deflation", attacks_measured.other_deflation),
        )
    ),
    unclaimed("inner.left, sketch", attacks_measured.unweighted_sketch, "inner.left"),
    unclaimed("inner.left, scores", attacks_measured.other_scores("scores", "qs"), "inner.left"),
    unclaimed("inner.right, scores", attacks_measured.other_scores("scores", "ks"), "inner.right"),
    unclaimed(
        "inner, likeness", attacks_measured.other_scores("alike", "scores"), "inner.left", "inner.right"
    ),
    claim("calibration.m.coarse", TIGHTER),
    claim("calibration.m.fine", LOOSER),
    constraint("triples.final", attacks_known_challenges.wrong_triples(False)),
    constraint("triples.evaluation", attacks_known_challenges.wrong_triples(True)),
    claim("pads.merge", attacks.wrong_inner_product),
    Mutant("opening.final", without_final_check, attacks.wrong_output),
    root("opening.weights", attacks_opening.other_root),
    root("opening.weights", attacks_opening.unbound("opening.weights"), 1, "opening.weights, moved vector"),
    root("opening.proof", attacks_opening.unbound("opening.proof"), 2),
    root("opening.level2", attacks_opening.unbound("opening.level2"), 1, "opening.level2, the last"),
    *(root(f"opening.level{n}", attacks_opening.unbound(f"opening.level{n}"), 3) for n in (2, 3, 4)),
    evaluations(2, "opening.weights"),
    evaluations(2, "opening.proof"),
    evaluations(3, "opening.level2"),
    evaluations(4, "opening.level3"),
    *(last_code(levels) for levels in (1, 2, 3)),
]
LAYERS = [layer(index) for index in range(15)]


@pytest.fixture(scope="module")
def cases(tall: Case, full: Case, joined: Case) -> dict[str, Case]:
    return {"tall": tall, "full": full, "joined": joined, "small": chain(d=8, k=16, p=16, f=4)}


def check(mutant: Mutant, case: Case) -> None:
    with small_build(levels=mutant.levels):
        with mutant.mutation():
            mutant.attack(case)
        with pytest.raises(Rejected) as caught:
            mutant.attack(case)
    assert caught.value.path == mutant.path


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_only_this_check_stops_the_attack(mutant: Mutant, cases: dict[str, Case]) -> None:
    check(mutant, cases[mutant.program])


@pytest.mark.slow
@pytest.mark.parametrize("mutant", LAYERS, ids=lambda mutant: mutant.name)
def test_every_layer_of_the_fraction_tree_is_bound(mutant: Mutant, cases: dict[str, Case]) -> None:
    check(mutant, cases["tall"])


@pytest.mark.parametrize("program", ["full", "joined"])
def test_no_constraint_or_claim_is_without_a_mutant(
    program: str, cases: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check added to the verifier must come with an attack."""
    seen: set[str] = set()
    original, reduce = VerifierChannel.assert_zero, huref.verifier.argument.verify.reduce_to_claims
    full = cases[program]
    proof = full.prove()

    def note(self: VerifierChannel, label: str, form: Form) -> None:
        seen.add(label)
        original(self, label, form)

    def claims(*given: Any) -> Any:
        reduced = reduce(*given)
        seen.update(claim.label for claim in reduced.claims)
        return reduced

    monkeypatch.setattr(VerifierChannel, "assert_zero", note)
    monkeypatch.setattr(huref.verifier.argument.verify, "reduce_to_claims", claims)
    full.verify(proof)
    covered = {mutant.name for mutant in (*MUTANTS, *LAYERS)}
    sites = "|".join(full.program.site)
    kinds = {re.sub(rf"^calibration\.({sites})\.", "calibration.m.", label) for label in seen}
    layers = {f"lookup.layer{i}.final" for i in range(full.setup().layout.spaces[0].log_entries)}
    assert kinds <= covered | layers
    assert layers <= seen


# every opened value counts


@pytest.mark.parametrize(
    "label", ["opening.weights", "opening.proof", "opening.level2", "opening.level3", "opening.level4"]
)
@pytest.mark.parametrize("cell", [(0, 0), (-1, 0), (0, -1), (-1, -1)], ids=str)
def test_one_wrong_value_in_one_opened_leaf(label: str, cell: tuple[int, int]) -> None:
    """Also without its root, which every such edit fails: no query and no column is left out of the check."""
    case = chain(d=8, k=16, p=16, f=4)

    def edit(_: list[int], values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[cell] = (values[cell] + np.uint64(1)) % np.uint64(P)
        return values

    with small_build(levels=3):
        with edited_leaves(label, edit):
            proof = case.prove()
        with without_root_check(label), pytest.raises(Rejected) as caught:
            case.verify(proof)
    assert caught.value.path == ("opening.level4.code" if label == "opening.level4" else "opening.final")


@pytest.mark.parametrize("limb", range(5))
def test_one_wrong_limb_of_the_last_row(limb: int) -> None:
    """A last row that is off by X^limb is off by that at every query, in no other limb."""
    case = chain(d=8, k=16, p=16, f=4)

    def edit(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[0, limb] = (values[0, limb] + np.uint64(1)) % np.uint64(P)
        return values

    with small_build(levels=3):
        with edited_array("opening.y", edit):
            proof = case.prove()
        with without_final_check(), pytest.raises(Rejected) as caught:
            case.verify(proof)
    assert caught.value.path == "opening.level4.code"


# checks on bytes


def test_non_canonical_values_are_refused_by_the_decoder_alone() -> None:
    """A prover that writes x + p for x: arithmetic would not mind, so one statement would have many proofs."""
    case = chain(d=8, k=16, p=16, f=4)

    def shifted(values: np.ndarray) -> np.ndarray:
        return values + np.uint64(P)

    def lax(data: bytes, count: int) -> np.ndarray:
        return np.frombuffer(data, "<u4").astype(np.uint64).reshape(count, 5) % np.uint64(P)

    with edited_array("opening.y", shifted):
        proof = case.prove()
    with mock.patch.object(huref.verifier.argument.channel, "decode_k", lax):
        case.verify(proof)
    with pytest.raises(Malformed, match="non-canonical"):
        case.verify(proof)


def test_trailing_bytes_are_refused_by_the_last_check_alone() -> None:
    case = chain(d=8, k=16, p=16, f=4)
    proof = case.prove() + b"more"
    with mock.patch.object(VerifierChannel, "finish", lambda _: None):
        case.verify(proof)
    with pytest.raises(Malformed, match="4 trailing bytes"):
        case.verify(proof)


# checks on the public inputs


def unchecked(case: Case, public: PublicInputs, height: int = 0) -> Setup:
    """`prepare` without its checks; `height` overrides the sound table height of site m."""
    heights = {
        site.name: huref.circuits.program.bounds.clamp_height(site, public.shifts[site.name])
        for site in case.program.sites
    }
    heights |= {"m": height} if height else {}
    weights = weights_geometry(case.program.committed, case.knobs)
    layout = build_layout(case.program, public.shifts, heights, weights.w, public.caps)
    return Setup(case.program, public, case.knobs, layout, opening_geometry(weights, layout.rows, case.knobs))


Sums = Callable[[int, int, int], tuple[int, int | None]]


@pytest.mark.parametrize(
    ("by", "sums", "message"),
    [
        (-1, lambda _, coarse, fine: (coarse, fine), "shift too small"),
        (-1, lambda _, coarse, fine: (coarse - P, fine), "shift too small"),
        (1, lambda _, coarse, fine: (coarse, fine), "not the smallest"),
        (1, lambda _, coarse, fine: (coarse, fine + P), "not the smallest"),
        (1, lambda _, coarse, fine: (coarse, None), "belongs to every shift but 0"),
    ],
    ids=["coarse", "coarse-p", "fine", "fine+p", "fine missing"],
)
def test_a_shift_that_is_not_canonical(by: int, sums: Sums, message: str, tall: Case) -> None:
    trace, public = attacks.other_shift(tall, by, sums)
    setup = unchecked(tall, public)
    tall.verify(tall.prove(setup, trace=trace), setup)
    with pytest.raises(Malformed, match=message):
        prepare(tall.program, public, tall.knobs)


def test_numbers_that_mean_the_same_residue(tall: Case) -> None:
    v = [tall.public.v[0] + P, *tall.public.v[1:]]
    extra = {**tall.public.sums, "ys": (tall.public.sums["ys"][0], 12345)}  # ys has shift 0
    for changed, message in (({"v": v}, "absolute value"), ({"sums": extra}, "every shift but 0")):
        public = dataclasses.replace(tall.public, **changed)
        setup = unchecked(tall, public)
        tall.verify(tall.prove(setup), setup)
        with pytest.raises(Malformed, match=message):
            prepare(tall.program, public, tall.knobs)


@pytest.mark.parametrize(
    "changed",
    [
        {"shifts": {}},
        {"sums": {}},
        {"v": [0] * 511},
        {"v": [0] * 513},
        {"v": [0.5] * 512},
        {"v": [True] * 512},
        {"v": [np.int64(0)] * 512},
        {"shift": -1},
        {"shift": 31},
        {"shift": 30},
        {"shift": 7.0},
        {"sum": (1.5, 2)},
    ],
    ids=str,
)
def test_public_inputs_of_the_wrong_form(changed: dict[str, Any], tall: Case) -> None:
    if "shift" in changed:
        changed = {"shifts": {**tall.public.shifts, "m": changed["shift"]}}
    if "sum" in changed:
        changed = {"sums": {**tall.public.sums, "m": changed["sum"]}}
    with pytest.raises(Malformed):
        tall.setup(**changed)


@pytest.mark.slow
def test_second_solution_of_the_division() -> None:
    """At a large shift a table that is too high holds h with acc + 2^(s−1) − ℓ = h·2^s − p as well."""
    b = Builder()
    x, w = b.weight("x", 32, 128, 6), b.weight("a", 4, 128, 8)
    m = b.matmul("m", b.sketch("ys", x, 32), w)
    case = Case(b.output(m), {"x": np.full((32, 128), 25, np.int8), "a": np.full((4, 128), 127, np.int8)})
    honest = case.trace.sites["m"]
    cell = attacks.below_calibration(m, case.program.output.sign[0])
    value = (int(honest.quotient[cell]) << honest.shift) + int(honest.remainder[cell])
    wrapped = value - P if value > 0 else value + P
    out, quotient, remainder = honest.out.copy(), honest.quotient.copy(), honest.remainder.copy()
    quotient[cell], remainder[cell] = wrapped >> honest.shift, wrapped % (1 << honest.shift)
    out[cell] = np.clip(quotient[cell], m.low, m.clamp)
    trace = rerun(case, {"m": out})
    forged = dataclasses.replace(trace.sites["m"], quotient=quotient, remainder=remainder)
    trace = dataclasses.replace(trace, sites={**trace.sites, "m": forged})
    assert list(trace.v) != list(case.trace.v)
    public = public_inputs(trace)
    unsound = unchecked(case, public, 1 << 17)
    case.verify(case.prove(unsound, trace=trace), unsound)
    with lenient(), pytest.raises(Rejected) as caught:
        attacks.forge(case, prepare(case.program, public, case.knobs), trace=trace)
    assert caught.value.path == "opening.final"
