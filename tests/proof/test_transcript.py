"""What the transcript binds: every byte of the proof, and every part of the statement, before any challenge."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from huref.circuits.argument.functional import Columns
from huref.circuits.argument.proof import Setup
from huref.circuits.program.digest import canonical, describe
from huref.circuits.program.measured import StepRead
from huref.circuits.program.program import (
    Deflation,
    GatedMatMul,
    HeadProducts,
    Likeness,
    MatMul,
    Program,
    Site,
    SketchSum,
    View,
)
from huref.common.algebra.field import kone
from huref.common.algebra.kscalar import KS
from huref.common.argument.transcript import Transcript
from huref.verifier.argument.reduce import absorb_statement
from huref.verifier.argument.verify import verify_program
from tests.proof.programs import STATEMENT, Case, chain, small_build, wide


def first_challenge(setup: Setup, statement: bytes = STATEMENT, root: bytes = bytes(32)) -> KS:
    transcript = Transcript()
    absorb_statement(transcript, setup, statement, root)
    return transcript.challenge("any")


def with_site(program: Program, changed: Site) -> Program:
    sites = (changed if site.name == changed.name else site for site in program.sites)
    return altered(program, sites=tuple(sites))


def bumped(array: np.ndarray) -> np.ndarray:
    changed = array.copy()
    changed.reshape(-1)[-1] += 1
    return changed


def variants(setup: Setup) -> dict[str, Setup]:
    """The setup with one field changed, for every field of program, public inputs, knobs and layout."""
    program, public = setup.program, setup.public
    found: dict[str, Setup] = {}

    def vary(name: str, **changed: Any) -> None:
        found[name] = replace(setup, **changed)

    for site in program.sites:
        shift, (coarse, fine) = public.shifts[site.name], public.sums[site.name]
        vary(f"shift {site.name}", public=replace(public, shifts={**public.shifts, site.name: shift + 1}))
        for pair in ((coarse + 1, fine), (coarse, (fine or 0) + 1)):
            vary(f"sum {site.name} {pair}", public=replace(public, sums={**public.sums, site.name: pair}))
    for i in (0, 17, 511):
        v = list(public.v)
        v[i] += 1
        vary(f"v {i}", public=replace(public, v=v))
    for field in dataclasses.fields(setup.knobs):
        vary(field.name, knobs=replace(setup.knobs, **{field.name: getattr(setup.knobs, field.name) + 1}))
    for weight in program.weights:
        others = [w for w in program.weights if w is not weight]
        for changed in ({"name": "z"}, {"rows": weight.rows + 1}, {"cols": weight.cols + 1}, {"bits": 7}):
            weights = (*others, replace(weight, **changed))
            vary(f"weight {weight.name} {changed}", program=altered(program, weights=weights))
    for site in program.sites:
        for field in ("rows", "cols", "clamp", "low", "bound", "calibration_rows", "target", "full"):
            value = getattr(site, field)
            value = value // 2 if field == "calibration_rows" else different(value)
            vary(f"{site.name}.{field}", program=with_site(program, replace(site, **{field: value})))
        for member in dataclasses.fields(site.acc):
            value = different(getattr(site.acc, member.name))
            moved = replace(site, acc=replace(site.acc, **{member.name: value}))
            vary(f"{site.name}.acc.{member.name}", program=with_site(program, moved))
    for influence in program.influences:
        for member in dataclasses.fields(influence):
            moved = replace(influence, **{member.name: different(getattr(influence, member.name))})
            others = tuple(moved if other is influence else other for other in program.influences)
            vary(f"{influence.name}.{member.name}", program=altered(program, influences=others))
    for share in program.shares:
        for member in dataclasses.fields(share):
            changed_share = replace(share, **{member.name: different(getattr(share, member.name))})
            vary(f"share {member.name}", program=altered(program, shares=(changed_share,)))
    for ratio in program.ratios:
        for member in dataclasses.fields(ratio):
            changed_ratio = replace(ratio, **{member.name: different(getattr(ratio, member.name))})
            sums = tuple(changed_ratio if other is ratio else other for other in program.ratios)
            vary(f"ratio {ratio.name}.{member.name}", program=altered(program, ratios=sums))
    for name, cap in setup.public.caps.items():
        for member in dataclasses.fields(cap):
            caps = {**setup.public.caps, name: replace(cap, **{member.name: getattr(cap, member.name) + 1})}
            vary(f"cap {name}.{member.name}", public=replace(setup.public, caps=caps))
    for name, (a, b) in setup.public.ratios.items():
        for number, pair in enumerate(((a + 1, b), (a, b + 1))):
            ratios = {**setup.public.ratios, name: pair}
            vary(f"sums of {name}.{number}", public=replace(setup.public, ratios=ratios))
    for field in ("sources", "bucket", "sign", "bound", "factors", "length"):
        output = replace(program.output, **{field: different(getattr(program.output, field))})
        vary(f"output.{field}", program=altered(program, output=output))
    vary("mask rows", layout=replace(setup.layout, mask_start=setup.layout.mask_start + 1))
    for field in ("w", "code"):
        level = setup.geometry.levels[-1]
        value = level.w * 2 if field == "w" else replace(level.code, width=level.code.width + 5)
        changed = (*setup.geometry.levels[:-1], replace(level, **{field: value}))
        vary(f"level {field}", geometry=replace(setup.geometry, levels=changed))
    vary("a level more", geometry=replace(setup.geometry, levels=(*setup.geometry.levels, level)))
    queries = replace(setup.geometry.weights, queries=setup.geometry.weights.queries - 1)
    vary("queries", geometry=replace(setup.geometry, weights=queries))
    return found


def altered(program: Program, **fields: Any) -> Program:
    """A copy with other fields, whether or not a program could have them."""
    found = copy.copy(program)
    for name, value in fields.items():
        object.__setattr__(found, name, value)
    return found


def different(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, np.ndarray):
        return bumped(value)
    if isinstance(value, tuple):
        return (different(value[0]), *value[1:]) if value else (1,)
    if isinstance(value, StepRead):
        return replace(value, index=bumped(value.index))
    if isinstance(value, View):
        return replace(value, kind="tile" if value.kind == "repeat" else "repeat", head_dim=3)
    return value + "'" if isinstance(value, str) else 2 * value or 1


@pytest.mark.parametrize("whole", [False, True])
def test_every_field_of_the_statement_changes_every_challenge(full: Case, whole: bool) -> None:
    case = wide(split=5) if whole else full
    setup = case.setup()
    kinds = {type(site.acc) for site in setup.program.sites}
    own = {Deflation, HeadProducts, Likeness} if whole else {GatedMatMul}
    assert kinds == {SketchSum, MatMul, *own}
    base = first_challenge(setup)
    assert first_challenge(case.setup()) == base
    changed = {name: first_challenge(other) for name, other in variants(setup).items()}
    changed["statement"] = first_challenge(setup, b"another statement")
    changed["empty statement"] = first_challenge(setup, b"")
    changed["root"] = first_challenge(setup, STATEMENT, bytes(31) + b"\1")
    assert len(changed) > 150
    assert [name for name, value in changed.items() if value == base] == []
    assert len(set(changed.values())) == len(changed)


def test_later_challenges_depend_on_earlier_messages() -> None:
    def run(first: bytes, label: str = "a") -> list[KS]:
        transcript = Transcript()
        transcript.absorb(label, first)
        found = [transcript.challenge("x")]
        transcript.absorb("b", b"same")
        return [*found, transcript.challenge("x"), transcript.challenge("x")]

    base = run(b"m")
    assert len(set(base)) == 3
    for other in (run(b"n"), run(b""), run(b"m", "c")):
        assert not set(base) & set(other)


def test_framing_is_injective() -> None:
    """Tags and data cannot trade bytes, and a challenge is not a message."""

    def end(*messages: tuple[str, bytes]) -> KS:
        transcript = Transcript()
        for label, data in messages:
            transcript.absorb(label, data)
        return transcript.challenge("end")

    ends = [
        end(("ab", b"c")), end(("a", b"bc")), end(("a", b"b"), ("", b"c")), end(("a", b"b"), ("c", b"")),
        end(("abc", b"")), end(("", b"abc")), end(),
    ]  # fmt: skip
    assert len(set(ends)) == len(ends)
    drawn = Transcript()
    drawn.challenge("x")
    absorbed = Transcript()
    absorbed.absorb("x", b"")
    assert drawn.challenge("end") != absorbed.challenge("end")


def test_the_whole_proof_is_absorbed_in_order() -> None:
    """Statement first; then exactly the proof's bytes; the last draws of positions come after all but leaves."""
    with small_build(levels=3):
        case = chain(d=8, k=16, f=4)
        events: list[tuple[str, str, bytes]] = []
        proof, root = case.prove(), case.commit().root
        verify_program(case.setup(), STATEMENT, root, proof, 24, lambda *event: events.append(event))
        setup = case.setup()
    assert [event[:2] for event in events[:3]] == [
        ("absorb", "config"), ("absorb", "statement"), ("absorb", "root.weights"),
    ]  # fmt: skip
    assert [event[2] for event in events[:3]] == [setup.digest, STATEMENT, root]
    assert b"".join(data for kind, _, data in events[3:] if kind == "absorb") == proof
    labels = [label for kind, label, _ in events]

    def before(first: str, then: str) -> None:
        last = max(i for i, label in enumerate(labels) if label == first)
        assert last < labels.index(then), (first, then)

    for first, then in (
        ("root.proof", "lookup.alpha"), ("lookup.root", "lookup.layer0.mu"),
        ("products.totals", "inner.challenge"), ("inner.final", "output.point"), ("output.point", "triples.zeta"),
        ("triples.final", "pads.merge"), ("pads.merge", "opening.z0"), ("opening.z1", "opening.sigma"),
        ("opening.sigma", "opening.gamma"), ("opening.level2.root", "opening.level1.grind.seed"),
        ("opening.level1.grind.nonce", "opening.weights"), ("opening.proof.leaves", "opening.level2.delta"),
        *((f"opening.level{n}.sigma", f"opening.level{n}.delta") for n in (2, 3, 4)),
        *((f"opening.level{n}.z1", f"opening.level{n}.sigma") for n in (2, 3, 4)),
        *((f"opening.level{n + 1}.root", f"opening.level{n}.grind.seed") for n in (1, 2, 3)),
        *((f"opening.level{n}.grind.nonce", f"opening.level{n}") for n in (2, 3, 4)),
        ("opening.level2.leaves", "opening.level3.delta"), ("opening.level3.leaves", "opening.level4.delta"),
        ("opening.level4.challenge", "opening.mask_sum"), ("opening.mask_sum", "opening.beta"),
        ("opening.beta", "opening.y"), ("opening.y", "opening.level4.grind.seed"),
    ):  # fmt: skip
        before(first, then)


def test_digest_needs_a_canonical_form() -> None:
    assert canonical([1, "a", None, (2, 3)]) == canonical([1, "a", None, [2, 3]])
    assert canonical(np.arange(3, dtype=np.int8)) == canonical(np.arange(3, dtype=np.int64))
    assert canonical(np.arange(4)) != canonical(np.arange(4).reshape(2, 2))
    for value in (1.5, {1, 2}, np.ones(2), b"bytes"):
        with pytest.raises(TypeError, match="no canonical form"):
            describe(value)


def test_column_vectors_do_not_share_names() -> None:
    columns = Columns(4)
    columns.add("a", kone((4,)))
    columns.add("a", kone((4,)))
    with pytest.raises(ValueError, match="two column vectors are called a"):
        columns.add("a", kone((4,)) * np.uint64(2))
