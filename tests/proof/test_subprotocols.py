"""Each argument alone, without pads, its claims evaluated directly; and all claims of whole proofs."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.prover.argument.lookup_tree
import huref.prover.argument.prove
import huref.verifier.argument.verify
from huref.circuits.argument.functional import Claim, Columns, Functional
from huref.circuits.argument.inner import add_linear, ratio_thetas, ratio_total
from huref.circuits.argument.lookup import LeafClaims, leaf_claims
from huref.circuits.argument.outputs import calibration_claims, influence_claims, output_claim
from huref.circuits.argument.proof import Setup
from huref.circuits.program.tables import Table
from huref.common.algebra.field import P, kdot, kmatvec, to_field
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table, log2_ceil
from huref.common.argument.hidden import Form, combine
from huref.common.argument.transcript import Transcript
from huref.common.errors import Rejected
from huref.prover.argument.channel import ProverChannel
from huref.prover.argument.gated import gated_oracles, prove_gated
from huref.prover.argument.inner import ProductOracle, add_ratios, inner_vectors, prove_inner
from huref.prover.argument.lookup import prove_lookup
from huref.prover.argument.lookup_leaves import Leaves
from huref.prover.argument.lookup_tree import Virtual, build_tree, present_tiles, scalar
from huref.prover.argument.witness import lookup_inputs, multiplicities
from huref.prover.kernels.field import vectors
from huref.prover.kernels.field.field import k_from_mont
from huref.prover.kernels.field.limbs import from_blocks
from huref.verifier.argument.channel import VerifierChannel
from huref.verifier.argument.gated import verify_gated
from huref.verifier.argument.inner import verify_inner
from huref.verifier.argument.lookup import verify_lookup
from tests.proof.cheating import edited_products, lenient_multiplicities, rerun
from tests.proof.oracles import direct, elements, evaluate, extension, plain
from tests.proof.programs import Case, chain

ALPHA, BETA = KS((5, 6, 7, 8, 9)), KS((2, 7, 1, 8, 2))


# the lookup


def leaves_of(setup: Setup, case: Case, trace: Any = None, counts: Any = None) -> Leaves:
    inputs = lookup_inputs(setup.layout, case.commit().data, trace or case.trace)
    space = inputs.layout.spaces[0]
    return Leaves(inputs, space, (counts or multiplicities)(inputs, space), ALPHA, BETA)


def looked_up(case: Case, **changed: Any) -> tuple[Setup, list[KS], Form, Form, LeafClaims, Any]:
    setup = case.setup()
    leaves = leaves_of(setup, case, **changed)
    channel = ProverChannel(Transcript())
    point = prove_lookup(channel, setup.layout.spaces[0], leaves)
    seen, numerator, denominator = verify_lookup(plain(channel.so_far()), setup.layout.spaces[0])
    assert seen == point
    leaf = leaf_claims(setup.layout, setup.layout.spaces[0], point, ALPHA, BETA, Columns(setup.layout.w))
    return setup, point, numerator, denominator, leaf, leaves


def whole_layer(setup: Setup, leaves: Any) -> tuple[np.ndarray, np.ndarray]:
    """Numerators and denominators of the whole index space as K tables; absent tiles are 0/1."""
    layout = setup.layout
    p, q = leaves.batch(0, leaves.tiles)
    size = layout.spaces[0].tile_size << layout.spaces[0].log_tiles
    whole = np.zeros((2, size, 5), np.uint64)
    whole[1, :, 0] = 1
    index = (
        present_tiles(layout.spaces[0])[:, None] * layout.spaces[0].tile_size
        + np.arange(layout.spaces[0].tile_size)
    ).reshape(-1)
    numerators = np.zeros((5, len(p)), np.uint32)
    numerators[0] = p
    whole[0, index] = k_from_mont(numerators)
    whole[1, index] = k_from_mont(from_blocks(q))
    return whole[0], whole[1]


@pytest.mark.parametrize("program", ["tall", "full"])
def test_lookup_alone(program: str, request: pytest.FixtureRequest) -> None:
    """The leaf claims are the leaf layer's extensions, and equal committed data plus accumulators."""
    case: Case = request.getfixturevalue(program)
    setup, point, numerator, denominator, leaf, leaves = looked_up(case)
    p, q = whole_layer(setup, leaves)
    assert extension(p, point) == numerator.const
    assert extension(q, point) == denominator.const
    weights, proof = matrices(case, setup)
    assert leaf.numerator_const + direct(leaf.numerator, weights, proof) == numerator.const
    total = leaf.denominator_const + direct(leaf.denominator, weights, proof)
    for site in case.program.sites:
        request_ = leaf.requests[site.name]
        acc = to_field(case.accumulator(site.name))
        total += KS.from_array(kdot(request_.rows, kmatvec(acc, request_.columns(site.cols))))
    assert total == denominator.const


def matrices(case: Case, setup: Setup) -> tuple[np.ndarray, np.ndarray]:
    """Data rows of W and A as residues, from the prover's own segments with zero pads and masks."""
    layout = setup.layout
    inputs = lookup_inputs(layout, case.commit().data, case.trace)
    pads = np.zeros((layout.pads.total, 5), np.uint32)
    masks = np.zeros((10, layout.w), np.uint32)
    parts = huref.prover.argument.prove.proof_segments(
        layout, inputs, [multiplicities(inputs, space) for space in layout.spaces], pads, masks
    )
    return to_field(inputs.weights), np.concatenate([to_field(part.astype(np.int64)) for part in parts])


@pytest.mark.parametrize(("program", "huge", "depth"), [("full", 1 << 28, 1), ("full", 0, 2), ("tall", 0, 3)])
def test_recomputed_layers_change_nothing(
    program: str, huge: int, depth: int, request: pytest.FixtureRequest
) -> None:
    """Leaves that are made again for every pass, or layers above them too, give the same messages."""
    case: Case = request.getfixturevalue(program)
    setup = case.setup()
    layout, messages = setup.layout, []
    for limit in (1 << 40, 0):
        channel = ProverChannel(Transcript())
        with mock.patch.object(huref.prover.argument.lookup_tree, "HUGE_ENTRIES", huge):
            tree = build_tree(layout.spaces[0], leaves_of(setup, case), limit)
            prove_lookup(channel, layout.spaces[0], leaves_of(setup, case), limit)
        messages.append(channel.so_far())
    assert sum(isinstance(layer, Virtual) for layer in tree) == depth
    assert messages[0] == messages[1]


def test_lookup_of_a_tuple_in_no_table(tall: Case) -> None:
    out = tall.trace.sites["m"].out.copy()
    out[20, 3] = 2 * out[20, 3] + 1
    trace = rerun(tall, {"m": out})
    with pytest.raises(Rejected) as caught:
        looked_up(tall, trace=trace, counts=lenient_multiplicities)
    assert caught.value.path == "lookup.layer0.final"


@pytest.mark.parametrize("label", ["lookup.root", "lookup.layer4.outer", "lookup.layer4.inner"])
def test_lookup_with_a_wrong_message(label: str, tall: Case) -> None:
    with edited_products({label: lambda x, y: (x, y + 1)}), pytest.raises(Rejected) as caught:
        looked_up(tall)
    assert caught.value.path == label.replace("outer", "final").replace("inner", "final")


def test_tables_hold_what_they_say() -> None:
    """`columns` against the definitions, `index` against `columns`."""
    tables = {
        Table("clamp", (8, 3, 0)): [(h, min(max(h, 0), 3)) for h in range(-8, 8)],
        Table("absclamp", (8, 3, -3)): [(h, abs(min(max(h, -3), 3))) for h in range(-8, 8)],
        Table("abs", (3, -3)): [(x, abs(x)) for x in range(-3, 4)],
        Table("abs", (3, 0)): [(x, x) for x in range(4)],
        Table("remainder", (1, 3)): [(1, 0), (1, 1), *((3, x) for x in range(8))],
        Table("digits", (2, 3)): [
            (a, b, c) for a in range(-2, 2) for b in range(-2, 2) for c in range(-2, 2)
        ],
    }
    for table, tuples in tables.items():
        assert list(zip(*(c.tolist() for c in table.columns()), strict=True)) == tuples
        assert table.size == len(tuples) and table.arity == len(tuples[0])
        for place, entry in enumerate(tuples):
            first = entry[0] if table.kind == "remainder" else np.array([entry[0]])
            given = (first, *(np.array([x]) for x in entry[1:]))
            assert table.index(given).tolist() == [place]


# products


def requests_of(case: Case) -> tuple[Setup, Any, dict[str, np.ndarray]]:
    setup = case.setup()
    bits = setup.layout.spaces[0].log_entries
    point = KS.list_from_array(np.random.default_rng(9).integers(0, P, (bits, 5)).astype(np.uint64))
    leaf = leaf_claims(setup.layout, setup.layout.spaces[0], point, ALPHA, BETA, Columns(setup.layout.w))
    return setup, leaf.requests, case.values


def named(setup: Setup, requests: Any) -> Columns:
    """Columns with the vector that requests name."""
    columns = Columns(setup.layout.w)
    request = next(iter(requests.values()))
    columns.add(request.name, eq_table(request.column_point))
    return columns


def holds(claim: Claim, case: Case, setup: Setup) -> bool:
    return direct(claim.functional, *matrices(case, setup)) == claim.value.const


@pytest.mark.parametrize("program", ["tall", "full", "joined"])
def test_inner_product_alone(program: str, request: pytest.FixtureRequest) -> None:
    """Its total is that of all requested accumulators of products and of all ratios' sums, its claims are true."""
    case: Case = request.getfixturevalue(program)
    setup, requests, values = requests_of(case)
    left, right = inner_vectors(setup.layout, requests, values)
    total = scalar(vectors.dot(left, right))
    expected = KS(0)
    for site in case.program.sites:
        if site.name in setup.layout.inner:
            asked = requests[site.name]
            acc = to_field(case.accumulator(site.name))
            expected += KS.from_array(kdot(asked.rows, kmatvec(acc, asked.columns(site.cols))))
    assert total == expected
    thetas = ratio_thetas(case.program, KS((3, 1, 4, 1, 5)))
    add_ratios(setup.layout, thetas, values, left, right)
    total += ratio_total(thetas, setup.public.ratios)
    assert total == scalar(vectors.dot(left, right))
    channel = ProverChannel(Transcript())
    prove_inner(channel, setup.layout.log_inner, ProductOracle(left, right))
    columns = named(setup, requests)
    given = (setup.layout, requests, thetas, Form.public(total), columns)
    claims = verify_inner(plain(channel.so_far()), *given)
    assert [holds(claim, case, setup) for claim in claims] == [True, True]
    wrong = Form.public(total + 1)
    with pytest.raises(Rejected) as caught:
        verify_inner(plain(channel.so_far()), setup.layout, requests, thetas, wrong, named(setup, requests))
    assert caught.value.path == "inner.final"


def test_inner_product_of_other_data_gives_false_claims(tall: Case) -> None:
    setup, requests, values = requests_of(tall)
    for name, expected in (("ys", [False, True]), ("b", [True, False])):
        other = values[name].copy()
        other[0, 0] += 1
        left, right = inner_vectors(setup.layout, requests, {**values, name: other})
        channel = ProverChannel(Transcript())
        prove_inner(channel, setup.layout.log_inner, ProductOracle(left, right))
        total = Form.public(scalar(vectors.dot(left, right)))
        claims = verify_inner(
            plain(channel.so_far()), setup.layout, requests, {}, total, Columns(setup.layout.w)
        )
        assert [holds(claim, tall, setup) for claim in claims] == expected


def test_gated_product_alone(full: Case) -> None:
    setup, requests, values = requests_of(full)
    oracles = gated_oracles(setup.layout, requests, values)
    total = oracles[0].total()
    site = full.program.site["ga"]
    acc = to_field(full.accumulator("ga"))
    asked = requests["ga"]
    assert total == KS.from_array(kdot(asked.rows, kmatvec(acc, asked.columns(site.cols))))
    channel = ProverChannel(Transcript())
    prove_gated(channel, setup.layout, oracles)
    for wrong, path in ((KS(0), ""), (KS(1), "gated.ga.final")):
        given = (setup.layout, requests, [Form.public(total + wrong)], Columns(setup.layout.w))
        if path:
            with pytest.raises(Rejected) as caught:
                verify_gated(plain(channel.so_far()), *given)
            assert caught.value.path == path
        else:
            claims = verify_gated(plain(channel.so_far()), *given)
            assert [holds(claim, full, setup) for claim in claims] == [True, True, True]


def test_gated_product_with_another_operand_copy(full: Case) -> None:
    setup, requests, values = requests_of(full)
    oracles = gated_oracles(setup.layout, requests, values)
    total = Form.public(oracles[0].total())
    channel = ProverChannel(Transcript())
    with edited_products({"gated.ga.weights": lambda x, y: (x + 1, y)}):
        prove_gated(channel, setup.layout, oracles)
    with pytest.raises(Rejected) as caught:
        verify_gated(plain(channel.so_far()), setup.layout, requests, [total], Columns(setup.layout.w))
    assert caught.value.path == "gated.ga.weights"


# claims without a sumcheck


def test_sketch_output_and_calibration_claims(full: Case) -> None:
    setup, requests, _ = requests_of(full)
    data = matrices(full, setup)
    columns = Columns(setup.layout.w)
    name = columns.add("lookup", eq_table(requests["ys"].column_point))
    functional = Functional(columns)
    add_linear(setup.layout, requests, {}, functional, name)
    expected = KS(0)
    for site in ("ys", "yt"):
        asked, acc = requests[site], to_field(full.accumulator(site))
        expected += KS.from_array(kdot(asked.rows, kmatvec(acc, asked.columns(acc.shape[1]))))
    assert direct(functional, *data) == expected
    point = KS.list_from_array(elements(log2_ceil(512)))
    v = list(setup.public.v)
    assert holds(output_claim(setup.layout, v, {}, point, columns), full, setup)
    v[511] -= 1
    assert not holds(output_claim(setup.layout, v, {}, point, columns), full, setup)
    sums = dict(setup.public.sums)
    assert all(holds(claim, full, setup) for claim in calibration_claims(setup.layout, sums, columns))
    sums["qa"] = (sums["qa"][0] + 1, sums["qa"][1])
    assert [
        c.label for c in calibration_claims(setup.layout, sums, columns) if not holds(c, full, setup)
    ] == ["calibration.qa.coarse"]


def test_deflation_output_and_influence_claims(joined: Case) -> None:
    """Deflations are linear by their ratio's weight, outputs have factors, counts are those of the multiplicities."""
    setup, requests, _ = requests_of(joined)
    data = matrices(joined, setup)
    columns, weights = Columns(setup.layout.w), setup.ratio_weights
    name = columns.add("lookup", eq_table(requests["ys1"].column_point))
    asked, acc = requests["ys1"], to_field(joined.accumulator("ys1"))
    expected = KS.from_array(kdot(asked.rows, kmatvec(acc, asked.columns(acc.shape[1]))))
    for change in (0, 1):
        functional = Functional(columns)
        add_linear(setup.layout, requests, {**weights, "ys1": weights["ys1"] + change}, functional, name)
        assert (direct(functional, *data) == expected) == (change == 0)
    point, v = KS.list_from_array(elements(log2_ceil(512))), list(setup.public.v)
    assert holds(output_claim(setup.layout, v, weights, point, columns), joined, setup)
    other = {**weights, "end": weights["end"] + 1}
    assert not holds(output_claim(setup.layout, v, other, point, columns), joined, setup)
    caps = dict(setup.public.caps)
    assert all(holds(claim, joined, setup) for claim in influence_claims(setup.layout, caps, columns))
    for row, cap in setup.public.caps.items():
        for kind in ("alive", "at", "above"):
            caps = {**setup.public.caps, row: replace(cap, **{kind: getattr(cap, kind) + 1})}
            found = [
                c.label for c in influence_claims(setup.layout, caps, columns) if not holds(c, joined, setup)
            ]
            assert found == [f"influence.{row}.{kind}"]


# everything with pads, opened directly


@pytest.mark.parametrize("program", ["tall", "full"])
def test_all_claims_and_constraints_of_a_proof_hold_one_by_one(
    program: str, request: pytest.FixtureRequest
) -> None:
    """The reduction with real pads; a direct evaluation stands in for the opening."""
    case: Case = request.getfixturevalue(program)
    setup, captured = case.setup(), list[Any]()
    segments, opening = (
        huref.prover.argument.prove.proof_segments,
        huref.verifier.argument.verify.verify_opening,
    )

    def keep(layout: Any, inputs: Any, counts: Any, pads: np.ndarray, masks: Any) -> Any:
        found = segments(layout, inputs, counts, pads, masks)
        captured.extend([pads, np.concatenate([to_field(part.astype(np.int64)) for part in found])])
        return found

    with mock.patch.object(huref.prover.argument.prove, "proof_segments", keep):
        proof = case.prove(setup)
    pads, data = captured
    weights = to_field(case.commit().data)

    def check(
        channel: VerifierChannel, layout: Any, geometry: Any, roots: Any, claims: Any, *rest: Any
    ) -> None:
        for claim in claims:
            assert direct(claim.functional, weights, data) == evaluate(claim.value, pads), claim.label
        assert not any(evaluate(form, pads) for form in channel.constraints)
        captured.append(len(claims))
        opening(channel, layout, geometry, roots, claims, *rest)

    with mock.patch.object(huref.verifier.argument.verify, "verify_opening", check):
        case.verify(proof, setup)
    assert len(captured) == 3


def test_combination_of_forms() -> None:
    one, two = Form(KS(2), {0: KS(1), 3: KS(5)}), Form(KS(7), {3: KS(2)})
    found = combine([(KS(3), one), (KS(-1), two)], KS(10))
    assert found.const == 9 and dict(found.pads) == {0: KS(3), 3: KS(13)}
    assert dataclasses.replace(found, const=KS(0)).pads == found.pads
    assert chain().setup().layout.pads.total > 0
