"""What a proof may be about: every rule of `prepare` up to its edge, and one step beyond it that only this rule stops.

Claims of the proof hold modulo p. Counts and sums out of these bounds would be other integers of the same residue.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

import huref.circuits.argument.proof as proof
from huref.circuits.argument.proof import MAX_OCTAVE, PublicInputs, Setup, check_measured, prepare
from huref.circuits.program.bounds import MAX_SHIFT
from huref.circuits.program.influence import ALIVE, Cap
from huref.circuits.statement import prepare_statement
from huref.common.algebra.field import P
from huref.common.errors import Malformed, Unsupported
from huref.common.files.bundle import read_bundle
from huref.verifier.verification import read_claim
from tests import ROOT

ROWS, HALF = "rows.multipliers", (P - 1) // 2


@cache
def frozen(name: str) -> Setup:
    """The setup of a frozen bundle's statement."""
    return prepare_statement(*read_claim(read_bundle(ROOT / f"tests/vectors/bundles/{name}.huref")))


def public(**change: Any) -> PublicInputs:
    """Those of a bundle of the whole model, with other fields."""
    return replace(frozen("signed").public, **change)


def refused(changed: PublicInputs, message: str) -> None:
    good = frozen("signed")
    with pytest.raises(Malformed, match=message):
        prepare(good.program, changed, good.knobs)


def without(given: Any) -> dict[str, Any]:
    return dict(list(given.items())[1:])


@pytest.mark.parametrize("name", ["shifts", "sums", "caps", "ratios"])
def test_numbers_are_given_for_exactly_what_the_program_has(name: str) -> None:
    given = getattr(frozen("signed").public, name)
    one = next(iter(given.values()))
    for changed in (without(given), {**given, "other": one}, {**without(given), "other": one}):
        refused(public(**{name: changed}), "for exactly the program's")


def caps(cap: Cap) -> PublicInputs:
    """Those of the multipliers of rows changed; of these there are as many as tokens."""
    return public(caps={**frozen("signed").public.caps, ROWS: cap})


COLS = 457
EDGES = [
    Cap(MAX_OCTAVE, COLS, 403, 1),
    Cap(-MAX_OCTAVE, COLS, 403, 1),
    Cap(-5, COLS, COLS, 0),
    Cap(-5, COLS, 229, 228),
    Cap(-5, 1, 1, 0),
    Cap(ALIVE, 0, 0, 0),
]
"""As many are at the octave or above as half of those alive, and fewer above it."""
BEYOND = [
    (Cap(MAX_OCTAVE + 1, COLS, 403, 1), "octave 513"),
    (Cap(-MAX_OCTAVE - 1, COLS, 403, 1), "octave -513"),
    (Cap(-5, COLS + 1, 403, 1), "must be 0 to 457"),
    (Cap(-5, COLS, 403, -1), "must be 0 to 457"),
    (Cap(-5, COLS, 403, 1 - P), "must be 0 to 457"),
    (Cap(-5, 400, 401, 1), "each at most the one before"),
    (Cap(-5, COLS, 403 + P, 1), "each at most the one before"),
    (Cap(-5, 3, 2, 3), "each at most the one before"),
    (Cap(-5, COLS, 228, 1), "is not where the cap"),
    (Cap(-5, COLS, 403, 229), "is not where the cap"),
    (Cap(ALIVE + 1, 0, 0, 0), "is not where the cap"),
    *(
        (replace(Cap(-5, COLS, 403, 1), **{name: value}), "must be integers")
        for name, value in (
            ("octave", -5.0), ("octave", True), ("octave", None), ("alive", 457.0), ("at", 403.0), ("above", True),
        )
    ),
]  # fmt: skip


def test_counts_are_those_of_a_cap() -> None:
    program = frozen("signed").program
    assert program.influence[ROWS].cols == COLS
    for cap in EDGES:
        check_measured(program, caps(cap))
    for cap, message in BEYOND:
        refused(caps(cap), message)


def ratios(sums: tuple[Any, Any]) -> PublicInputs:
    return public(ratios={**frozen("signed").public.ratios, "ud": sums})


def test_sums_of_a_ratio_are_integers_below_half_the_field() -> None:
    for sums in ((HALF, HALF), (-HALF, 0)):
        check_measured(frozen("signed").program, ratios(sums))
    for wrong in ((HALF + 1, 1), (-HALF - 1, 1), (1, HALF + 1), (1, -1), (1.0, 1), (1, True), (P, 1)):
        refused(ratios(wrong), "ud: the sums of a ratio")


@cache
def limits() -> dict[str, tuple[int, int]]:
    """Per site with a shift: what its sum stays below, and the most that the finer one can be."""
    program, caps = frozen("signed").program, frozen("signed").public.caps
    found = {}
    for site in program.sites:
        count = caps[program.counting(site.multipliers).name].alive if site.multipliers else site.cols
        most = site.calibration_rows * site.cols * site.clamp
        found[site.name] = (site.target * site.calibration_rows * count, most)
    return found


def sums(**change: tuple[Any, Any]) -> PublicInputs:
    return public(sums={**frozen("signed").public.sums, **change})


def test_calibration_sums_up_to_their_limits() -> None:
    good = frozen("signed")
    shifted = {name for name, shift in good.public.shifts.items() if shift}
    low = {name: (0, limit if name in shifted else None) for name, (limit, _) in limits().items()}
    high = {name: (limit - 1, most if name in shifted else None) for name, (limit, most) in limits().items()}
    for found in (low, high):
        assert prepare(good.program, sums(**found), good.knobs)


@pytest.mark.parametrize("name", ["ys", "qs", "qk"])
def test_calibration_sums_beyond_their_limits(name: str) -> None:
    limit, most = limits()[name]
    for coarse in (-1, limit, limit - P):
        refused(sums(**{name: (coarse, limit)}), f"{name}: calibration sum .*shift too small")
    for fine in (limit - 1, most + 1, limit + P):
        refused(sums(**{name: (0, fine)}), f"{name}: calibration sum .*not the smallest")
    refused(sums(**{name: (0, None)}), "belongs to every shift but 0")
    for wrong in ((0.0, limit), (0, float(limit)), (True, limit)):
        refused(sums(**{name: wrong}), "must be integers")


def test_there_is_no_finer_sum_without_a_shift() -> None:
    assert frozen("signed").public.shifts["scores"] == 0
    refused(sums(scores=(0, limits()["scores"][0])), "scores: a finer .*belongs to every shift but 0")


@pytest.mark.parametrize("alive", [96, 1, 0])
def test_the_limit_of_a_site_with_multipliers_counts_those_that_live(alive: int) -> None:
    """Where nothing lives the sum is 0, and below the limit of one entry."""
    good = frozen("signed")
    cap = Cap(-16, alive, alive, 0) if alive else Cap(ALIVE, 0, 0, 0)
    site = good.program.site["qs"]
    limit = site.target * site.calibration_rows * max(1, alive)
    found = {
        site.name: (0, site.target * site.calibration_rows * max(1, alive))
        for site in good.program.sites
        if site.multipliers and good.program.counting(site.multipliers).name == "qk.multipliers"
    }
    changed = replace(sums(**found), caps={**good.public.caps, "qk.multipliers": cap})
    assert prepare(good.program, changed, good.knobs)
    for wrong, message in (((limit, limit), "shift too small"), ((0, limit - 1), "not the smallest")):
        refused(replace(changed, sums={**changed.sums, "qs": wrong}), f"qs: .*{message}")


@pytest.mark.parametrize("shift", [-1, MAX_SHIFT + 1])
def test_a_shift_is_possible(shift: int) -> None:
    refused(public(shifts={**frozen("signed").public.shifts, "ys": shift}), f"ys: shift {shift} is not")
    refused(public(shifts={**frozen("signed").public.shifts, "ys": 12.0}), "must be integers")


def test_outputs_are_bounded() -> None:
    good = frozen("signed")
    bound, v = good.program.output.bound, list(good.public.v)
    assert prepare(good.program, public(v=[bound, -bound, *v[2:]]), good.knobs)
    for wrong in ([bound + 1, *v[1:]], [*v[:-1], -bound - 1], v[1:], [*v, 0]):
        refused(public(v=wrong), f"v must be 4096 integers of absolute value at most {bound}")
    for entry in (1.0, True):
        refused(public(v=[entry, *v[1:]]), "must be integers")


@pytest.mark.parametrize("name", ["P", "MAX_ROWS"])
def test_lookups_and_rows_are_counted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many lookups as p, and multiplicities wrap."""
    good = frozen("paper")
    most = max(space.entries for space in good.layout.spaces) + 1 if name == "P" else good.geometry.length
    monkeypatch.setattr(proof, name, most)
    assert prepare(good.program, good.public, good.knobs)
    monkeypatch.setattr(proof, name, most - 1)
    with pytest.raises(Unsupported, match="are too many"):
        prepare(good.program, good.public, good.knobs)
