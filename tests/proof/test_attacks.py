"""Attacks of protocol §11 on the proof of a program's run, against the verifier as it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest

import circuits.security
import prover.opening
import prover.prove
import prover.weights
import prover.witness
import verifier.channel
import verifier.opening
import verifier.reduce
from circuits.evaluate import Trace
from circuits.functional import Columns, Term
from circuits.layout import Layout
from circuits.opening import mask_claim
from common.errors import Malformed, Rejected
from common.field import P, fadd, kdot, kouter
from common.kscalar import KS
from common.multilinear import eq_table, log2_ceil
from common.transcript import Transcript, grinding_holds
from prover.channel import ProverChannel
from prover.kernels.grind import grind
from prover.weights import WeightsCommitment, commit_weights
from tests.proof import attacks
from tests.proof.attacks import below_calibration, forge, setup_for
from tests.proof.cheating import Altered, altered_code, lenient, lenient_multiplicities, rerun
from tests.proof.programs import STATEMENT, Case, chain, everything, secret, small_build
from verifier.channel import VerifierChannel
from verifier.core import verify_program

Alter = Callable[[np.ndarray], None]


def rejected(case: Case, setup: Any = None, path: str = "opening.final", **changed: Any) -> None:
    with pytest.raises(Rejected) as caught:
        forge(case, setup or case.setup(), **changed)
    assert caught.value.path == path


# statements


def test_another_statement_root_or_level(tall: Case) -> None:
    setup, proof, root = tall.setup(), tall.prove(), tall.commit().root
    verify_program(setup, STATEMENT, root, proof, tall.knobs.security)
    other = commit_weights(tall.program, tall.weights, tall.knobs, secret(9)).root
    for statement, given in ((b"another statement", root), (STATEMENT, other), (STATEMENT, bytes(32))):
        with pytest.raises((Rejected, Malformed)):
            verify_program(setup, statement, given, proof, tall.knobs.security)
    with pytest.raises(Rejected) as caught:
        verify_program(setup, STATEMENT, root, proof, tall.knobs.security + 1)
    assert caught.value.path == "security"
    with pytest.raises(Rejected, match="demanded level"):
        verify_program(setup, STATEMENT, root, proof)  # the default asks for 100 bits


def test_public_inputs_of_another_valid_proof() -> None:
    one, two = chain(seed=1), chain(seed=2)
    assert one.trace.shifts == two.trace.shifts
    mixed = [{"v": two.public.v}, {"sums": two.public.sums}, {"v": two.public.v, "sums": two.public.sums}]
    proof = one.prove()
    for changed in mixed:
        setup = one.setup(**changed)
        with pytest.raises((Rejected, Malformed)):
            one.verify(proof, setup)
        rejected(one, setup)


@pytest.mark.parametrize("by", [-1, 1])
def test_a_shift_off_by_one_with_honest_recomputation(by: int, tall: Case) -> None:
    _, public = attacks.other_shift(tall, by, lambda _, coarse, fine: (coarse, fine))
    with pytest.raises(Malformed, match="shift"):
        tall.setup(**vars(public))


# witnesses


def out_of_range(case: Case, value: int) -> tuple[dict[str, np.ndarray], WeightsCommitment]:
    weights = {name: x.astype(np.int32) for name, x in case.weights.items()}
    weights["a"][1, 2] = value
    return weights, commit_weights(case.program, weights, case.knobs, secret(1))


@pytest.mark.parametrize("value", [8, -9, 127, 123456789])
def test_weight_outside_its_width(value: int, tall: Case) -> None:
    """Four bits hold −8 … 7. The huge element is the one that could steer v mod p to any target."""
    weights, commitment = out_of_range(tall, value)
    trace = tall.trace if abs(value) > 127 else rerun(tall, weights)
    with lenient(), pytest.raises(Rejected) as caught:
        setup = setup_for(tall, trace)
        proof = tall.prove(setup, trace=trace, weights=weights, commitment=commitment)
        tall.verify(proof, setup, commitment.root)
    assert caught.value.path == "opening.final"


def edited_site(case: Case, **edits: Callable[[np.ndarray, tuple[int, int]], None]) -> Trace:
    site = case.program.site["m"]
    cell = below_calibration(site, case.program.output.sign[0])
    fields = {name: getattr(case.trace.sites["m"], name).copy() for name in ("out", "quotient", "remainder")}
    for name, edit in edits.items():
        edit(fields[name], cell)
    trace = rerun(case, {"m": fields["out"]})
    return Trace({**trace.sites, "m": dataclasses.replace(trace.sites["m"], **fields)}, trace.v)


def add(amount: int) -> Callable[[np.ndarray, tuple[int, int]], None]:
    def edit(array: np.ndarray, cell: tuple[int, int]) -> None:
        array[cell] += amount

    return edit


def test_intermediate_off_by_one(tall: Case) -> None:
    step = 1 << tall.trace.sites["m"].shift
    for edits in (
        {"out": add(1)},
        {"out": add(1), "quotient": add(1)},
        {"out": add(1), "quotient": add(1), "remainder": add(-step)},
        {"out": add(-1), "quotient": add(-1), "remainder": add(step)},
        {"remainder": add(1)},
    ):
        trace = edited_site(tall, **edits)
        with lenient():
            rejected(tall, setup_for(tall, trace), trace=trace)


def test_wrong_clamp(tall: Case) -> None:
    """A result beyond the clamp, and one clamped too early."""
    site = tall.trace.sites["m"]
    counted = np.argwhere(tall.program.output.sign[0] != 0)
    high = next(tuple(c) for c in counted if c[0] >= 16 and site.quotient[tuple(c)] > 40)

    def beyond(array: np.ndarray, _: tuple[int, int]) -> None:
        array[high] = 100

    def early(array: np.ndarray, _: tuple[int, int]) -> None:
        array[high] = 31

    for edit in (beyond, early):
        trace = edited_site(tall, out=edit)
        with lenient():
            rejected(tall, setup_for(tall, trace), trace=trace)


def test_relu_that_passes_a_negative_value(full: Case) -> None:
    honest = full.trace.sites["c1"]
    assert full.program.site["c1"].low == 0 and (honest.quotient < 0).any()
    cell = tuple(np.argwhere(honest.quotient < 0)[0])
    out = honest.out.copy()
    out[cell] = honest.quotient[cell]
    trace = rerun(full, {"c1": out})
    with lenient():
        rejected(full, setup_for(full, trace), trace=trace)


def test_wrong_multiplicities(tall: Case) -> None:
    """One entry's count moved to another: the total still fits."""

    def moved(inputs: Any) -> Any:
        counts = prover.witness.multiplicities(inputs)
        for column in counts.values():
            column[np.argmax(column)] -= 1
            column[0] += 1
        return counts

    with mock.patch.object(prover.prove, "multiplicities", moved):
        rejected(tall)


def test_tuple_of_another_table() -> None:
    """(−h, h) is in the table of absolute values, not in the clamp table. Without tags it would pass."""
    case = chain(p=32, k=40)
    site = case.trace.sites["m"]
    counted = np.argwhere(case.program.output.sign[0] != 0)
    cell = next(tuple(c) for c in counted if c[0] >= 16 and -60 < site.quotient[tuple(c)] < 0)

    def mirrored(array: np.ndarray, _: tuple[int, int]) -> None:
        array[cell] = -array[cell]

    trace = edited_site(case, out=mirrored)
    setup = setup_for(case, trace)

    def counts(inputs: Any) -> Any:
        found = lenient_multiplicities(inputs)
        absolute = next(table for table in found if table.kind == "abs")
        found[absolute][int(site.quotient[cell]) + 63] += 1
        return found

    with mock.patch.object(prover.prove, "multiplicities", counts):
        rejected(case, setup, trace=trace)
        with mock.patch.object(Layout, "tag", lambda *_: 1):
            forge(case, setup, trace=trace)


# padding


def padded_weights(case: Case, value: int) -> WeightsCommitment:
    """Weights whose row tails hold `value`."""
    original = prover.weights.stack_weights

    def stacked(placed: Any, rows: int, weights: Any, w: int) -> np.ndarray:
        out = original(placed, rows, weights, w).astype(np.int16)
        for place in placed.values():
            part = out[place.start : place.start + place.count].reshape(place.rows, -1)
            part[:, place.cols :] = value
        return out

    with mock.patch.object(prover.weights, "stack_weights", stacked):
        return commit_weights(case.program, case.weights, case.knobs, secret(1))


def test_padding_of_the_weights_is_in_range_and_means_nothing(full: Case) -> None:
    setup = full.setup()
    for value in (7, -8):
        commitment = padded_weights(full, value)
        with lenient():  # four bits hold it, the three of gate and up do not
            proof = full.prove(setup, commitment=commitment)
            with pytest.raises(Rejected):
                full.verify(proof, setup, commitment.root)
    for value in (3, -4):
        commitment = padded_weights(full, value)
        full.verify(full.prove(setup, commitment=commitment), setup, commitment.root)


def test_padding_of_the_intermediates_means_nothing(full: Case) -> None:
    """Row tails, multiplicities past the table and unused pad cells hold garbage."""
    setup = full.setup()
    stack, segments = prover.witness.stack_activation, prover.prove.proof_segments
    layout = setup.layout

    def tails(values: np.ndarray, w: int) -> np.ndarray:
        rows, cols = values.shape
        blocks = -(-cols // w)
        wide = np.full((rows, blocks * w), 12345, np.int32)
        wide[:, :cols] = values
        return stack(wide, w)

    def garbage(*given: Any) -> list[np.ndarray]:
        found = segments(*given)
        first = len(found) - 2 - len(layout.tables)
        for block, rows in zip(layout.tables, found[first:], strict=False):
            rows.reshape(-1)[block.table.size :] = 999
        found[-2].reshape(-1)[5 * layout.pads.total :] = 777
        return found

    with (
        mock.patch.object(prover.witness, "stack_activation", tails),
        mock.patch.object(prover.prove, "proof_segments", garbage),
    ):
        forge(full, setup)


def claims_of(case: Case) -> tuple[Layout, list[Any]]:
    """The verifier's claims on an honest proof."""
    setup = case.setup()
    channel = VerifierChannel(Transcript(), case.prove(setup), setup.layout.pads)
    return setup.layout, verifier.reduce.reduce_to_claims(
        channel, setup, STATEMENT, case.commit().root
    ).claims


def outside(layout: Layout) -> dict[str, np.ndarray]:
    """True for every cell of W's and A's data rows that belongs to no tensor, multiplicity, pad or mask."""
    masks = {"W": np.ones((layout.weight_rows, layout.w), bool), "A": np.ones((layout.rows, layout.w), bool)}
    placed = list(layout.weights.values())
    for site in layout.sites.values():
        columns = (site.out, site.remainder, site.magnitude, site.finer_magnitude, site.finer_remainder)
        placed += [place for place in columns if place]
    for place in placed:
        tail = place.cols - (place.blocks - 1) * layout.w
        rows = np.arange(place.start, place.start + place.count)
        last = (rows - place.start) % place.blocks == place.blocks - 1
        if place.matrix == "A":
            last = (rows - place.start) // place.rows == place.blocks - 1
        masks[place.matrix][rows[~last]] = False
        masks[place.matrix][rows[last], :tail] = False
    for block in layout.tables:
        flat = masks["A"][block.multiplicity : block.multiplicity + block.rows].reshape(-1)
        flat[: block.table.size] = False
    masks["A"][layout.pad_start : layout.mask_start].reshape(-1)[: 5 * layout.pads.total] = False
    masks["A"][layout.mask_start :] = False
    return masks


def coefficients(layout: Layout, claim: Any) -> dict[str, np.ndarray]:
    """All coefficients of a claim's functional, dense: (rows, w, 5) for W and A."""
    dense = {
        "W": np.zeros((layout.weight_rows, layout.w, 5), np.uint64),
        "A": np.zeros((layout.rows, layout.w, 5), np.uint64),
    }
    for term in claim.functional.terms:
        if isinstance(term, Term):
            part = kouter(term.a, claim.functional.columns.vectors[term.columns])
        else:
            part = term.values[term.choice]
        target = dense[term.matrix][term.start : term.start + len(part)]
        target[:] = fadd(target, part)
    return dense


def test_claims_vanish_outside_the_declared_shapes() -> None:
    """Only the range check of the weights reads padding, and only W's."""
    for case in (everything(), chain(d=35, f=33)):
        layout, claims = claims_of(case)
        masks = outside(layout)
        assert masks["W"].any() and masks["A"].any()
        for claim in claims:
            dense = coefficients(layout, claim)
            assert not dense["A"][masks["A"]].any(), claim.label
            assert claim.label == "lookup.denominator" or not dense["W"][masks["W"]].any(), claim.label


def test_unmasked_columns_would_be_noticed() -> None:
    with mock.patch.object(Columns, "masked", lambda self, name, tail: name), pytest.raises(AssertionError):
        test_claims_vanish_outside_the_declared_shapes()


# codes


def column(rows: slice | list[int]) -> Alter:
    """Noise on column 1 at the given positions."""

    def alter(values: np.ndarray) -> None:
        noise = np.random.default_rng(5).integers(1, P, len(values)).astype(np.uint64)
        values[rows, 1] = fadd(values[rows, 1], noise[rows])

    return alter


def with_weights(case: Case, alter: Alter) -> WeightsCommitment:
    honest = case.commit()
    return dataclasses.replace(honest, committed=Altered(honest.committed, alter))  # type: ignore[arg-type]


def try_code(case: Case, tree: str, alter: Alter) -> None:
    if tree == "weights":
        commitment = with_weights(case, alter)
        case.verify(case.prove(commitment=commitment), root=commitment.root)
    else:
        with altered_code(tree, alter):
            forge(case, case.setup())


TREES = [("weights", "opening.final"), ("mask", "opening.final"), ("proof", "opening.final"),
         ("second", "opening.second.code")]  # fmt: skip


@pytest.mark.parametrize(("tree", "path"), TREES)
def test_column_that_is_no_codeword(tree: str, path: str) -> None:
    with small_build(clear_rows=16):
        case = chain(d=8, k=16, f=4)
        for rows in (slice(None), slice(0, None, 3)):
            with pytest.raises(Rejected) as caught:
                try_code(case, tree, column(rows))
            assert caught.value.path == path


@pytest.mark.parametrize(("tree", "path"), TREES)
def test_few_wrong_leaves_matter_only_when_opened(tree: str, path: str) -> None:
    """One wrong leaf is within the decoding radius: the proof stands unless a query hits it."""
    with small_build(clear_rows=16):
        case = chain(d=8, k=16, f=4)
        opened: list[int] = []
        label = {"mask": "opening.weights"}.get(tree, f"opening.{tree}")
        original = Transcript.challenge_positions

        def note(self: Transcript, name: str, count: int, bound: int) -> np.ndarray:
            found = original(self, name, count, bound)
            if name == label:
                opened[:] = found.tolist()
            return found

        outcomes = set()
        with mock.patch.object(Transcript, "challenge_positions", note):
            for position in range(4):
                try:
                    try_code(case, tree, column([position]))
                    assert position not in opened
                    outcomes.add("accepted")
                except Rejected as error:
                    assert position in opened and error.path == path
                    outcomes.add("rejected")
        assert "accepted" in outcomes


def test_leaves_of_other_positions(tall: Case) -> None:
    original = prover.opening._open

    for label in ("opening.weights", "opening.mask", "opening.proof"):

        def shifted(channel: Any, name: str, committed: Any, at: np.ndarray, label: str = label) -> None:
            if name == label:
                at = (at + 1) % committed.n
                at.sort()
            original(channel, name, committed, at)

        with (
            mock.patch.object(prover.opening, "_open", shifted),
            pytest.raises((Rejected, Malformed)) as caught,
        ):
            forge(tall, tall.setup())
        assert isinstance(caught.value, Malformed) or caught.value.path == f"{label}.root"


# the order of messages


def test_gamma_before_sigma_would_be_a_total_break(tall: Case) -> None:
    """If γ came first, σ could absorb any error; in the real order the same prover fails."""
    v = list(tall.public.v)
    v[3] += 1
    setup = tall.setup(v=v)
    early: dict[int, KS] = {}
    draw = Transcript.challenge

    def challenge(self: Transcript, label: str) -> KS:
        return (
            early.pop(id(self), None) or draw(self, label) if label == "opening.gamma" else draw(self, label)
        )

    def masks(
        channel: Any, layout: Layout, columns: Columns, gamma_first: bool, sums: Callable[..., Any]
    ) -> Any:
        points = [channel.point(f"opening.z{i}", log2_ceil(layout.w)) for i in range(2)]
        if gamma_first:
            early[id(channel.transcript)] = draw(channel.transcript, "opening.gamma")
        values = sums(points, early.get(id(channel.transcript)))
        return [mask_claim(layout, columns, i, points[i], values[i]) for i in range(2)]

    claims: list[Any] = []
    opening = prover.opening.prove_opening

    def note(channel: Any, layout: Any, geometry: Any, found: Any, *rest: Any) -> None:
        claims[:] = found
        opening(channel, layout, geometry, found, *rest)

    for gamma_first in (True, False):

        def cheat(
            channel: ProverChannel, layout: Layout, columns: Columns, proof: Any, first: bool = gamma_first
        ) -> Any:
            def sums(points: list[list[KS]], gamma: KS | None) -> list[KS]:
                rows = proof.rows(layout.mask_start, 10).reshape(2, 5, layout.w)
                found = [KS.from_array(kdot(rows[i].T, eq_table(points[i]))) for i in range(2)]
                at = next(i for i, c in enumerate(claims) if c.label == "output")
                point = output_point(channel, setup, tall)
                error = KS.from_array(eq_table(point)[3])  # v~ is too large by eq(point, 3)
                factor = gamma if gamma is not None else KS(2)
                found[0] -= factor**at * error / factor ** len(claims)
                channel.public("opening.sigma", found)
                return found

            return masks(channel, layout, columns, first, sums)

        def check(
            channel: VerifierChannel, layout: Layout, columns: Columns, first: bool = gamma_first
        ) -> Any:
            return masks(channel, layout, columns, first, lambda *_: channel.public("opening.sigma", 2))

        with (
            mock.patch.object(Transcript, "challenge", challenge),
            mock.patch.object(prover.prove, "prove_opening", note),
            mock.patch.object(prover.opening, "_mask_claims", cheat),
            mock.patch.object(verifier.opening, "_mask_claims", check),
        ):
            if gamma_first:
                forge(tall, setup)
            else:
                rejected(tall, setup)


def output_point(channel: ProverChannel, setup: Any, case: Case) -> list[KS]:
    """Replays the messages so far to learn the output claim's point."""
    points: list[list[KS]] = []
    original = VerifierChannel.point

    def note(self: VerifierChannel, label: str, count: int) -> list[KS]:
        found = original(self, label, count)
        if label == "output.point":
            points.append(found)
        return found

    with mock.patch.object(VerifierChannel, "point", note):
        replay = VerifierChannel(Transcript(), channel.so_far(), setup.layout.pads)
        verifier.reduce.reduce_to_claims(replay, setup, STATEMENT, case.commit().root)
    return points[0]


LATE = [
    "config", "statement", "root.weights", "root.proof", "root.mask", "lookup.root", "lookup.layer3.round",
    "lookup.layer3.outer", "lookup.layer3.inner", "products.totals", "inner.round", "inner.final", "triples.round",
    "triples.final", "opening.sigma", "opening.reduction.round", "opening.mask_sum", "opening.root",
    "opening.grind.nonce", "opening.weights.leaves", "opening.mask.salts", "opening.proof.path",
    "opening.second.round", "opening.y", "opening.second.grind.nonce",
]  # fmt: skip


@pytest.mark.parametrize("label", LATE)
def test_a_challenge_computed_before_its_message(label: str) -> None:
    """A build that draws the challenge first agrees with itself, and not with the real verifier."""
    absorb, squeeze = Transcript.absorb, Transcript._squeeze
    late: dict[int, tuple[str, bytes]] = {}

    def delayed(self: Transcript, name: str, data: bytes) -> None:
        if name == label and id(self) not in late:
            late[id(self)] = (name, data)
        else:
            absorb(self, name, data)

    def first(self: Transcript, name: str) -> Any:
        found = squeeze(self, name)
        if late.get(id(self), ("", b""))[0]:
            absorb(self, *late[id(self)])
            late[id(self)] = ("", b"")
        return found

    with small_build(clear_rows=16):
        case = chain(d=8, k=16, f=4)
        with (
            mock.patch.object(Transcript, "absorb", delayed),
            mock.patch.object(Transcript, "_squeeze", first),
        ):
            transcripts: list[Transcript] = []
            create = Transcript.__init__

            def keep(self: Transcript, *given: Any) -> None:
                transcripts.append(self)  # so that no id is used twice
                create(self, *given)

            with mock.patch.object(Transcript, "__init__", keep):
                proof = case.prove()
                case.verify(proof)
        assert late
        with pytest.raises((Rejected, Malformed)):
            case.verify(proof)


# bytes


@pytest.fixture(scope="module")
def small_proof(_small: None) -> tuple[Case, bytes, list[tuple[str, int]]]:
    """A case, its proof, and (label, start) of every message; level two included."""
    with small_build(clear_rows=16):
        case = chain(d=8, k=16, f=4)
        proof, at, messages = case.prove(), [0], []

        def record(kind: str, label: str, data: bytes) -> None:
            if kind == "absorb" and label not in ("config", "statement", "root.weights"):
                messages.append((label, at[0]))
                at[0] += len(data)

        verify_program(case.setup(), STATEMENT, case.commit().root, proof, case.knobs.security, record)
        assert at[0] == len(proof)
    return case, proof, messages


Recorded = tuple[Case, bytes, list[tuple[str, int]]]


def refuse(case: Case, setup: Any, root: bytes, proof: bytes) -> None:
    with pytest.raises((Rejected, Malformed)):
        verify_program(setup, STATEMENT, root, proof, case.knobs.security)


def flip_bytes(recorded: Recorded, positions: list[int]) -> None:
    case, proof, _ = recorded
    with small_build(clear_rows=16):
        setup, root = case.setup(), case.commit().root
        for position in positions:
            changed = bytearray(proof)
            changed[position] ^= 1 << position % 8
            refuse(case, setup, root, bytes(changed))


def test_a_flipped_byte_of_every_kind_of_message(small_proof: Recorded) -> None:
    kinds: dict[str, int] = {}
    for label, start in small_proof[2]:
        kinds.setdefault("".join(c for c in label if not c.isdigit()), start)
    flip_bytes(small_proof, [start + 1 for start in kinds.values()])


@pytest.mark.slow
def test_flipped_bytes_everywhere(small_proof: Recorded) -> None:
    picked = np.random.default_rng(0).choice(len(small_proof[1]), 250, replace=False)
    flip_bytes(small_proof, [int(x) for x in picked])


def test_truncated_extended_reordered(small_proof: Recorded) -> None:
    case, proof, messages = small_proof
    with small_build(clear_rows=16):
        setup, root = case.setup(), case.commit().root
        for changed in (b"", proof[:-1], proof[: len(proof) // 2], proof[:31], proof[4:]):
            refuse(case, setup, root, changed)
        with pytest.raises(Malformed, match="1 trailing bytes"):
            verify_program(setup, STATEMENT, root, proof + b"\0", case.knobs.security)
        with pytest.raises(Malformed, match=r"truncated in opening\.second\.path"):
            verify_program(setup, STATEMENT, root, proof[:-1], case.knobs.security)
        at = messages[len(messages) // 3][1]
        swapped = proof[at + 20 : at + 40] + proof[at : at + 20]
        refuse(case, setup, root, proof[:at] + swapped + proof[at + 40 :])
        refuse(case, setup, root, proof[32:64] + proof[:32] + proof[64:])  # the two roots swapped


def test_non_canonical_field_elements(small_proof: Recorded) -> None:
    """x + p instead of x, in one message of every kind that holds field elements."""
    case, proof, messages = small_proof
    plain = ("root", "nonce", "salts", "path", "grind")
    kinds = {"".join(c for c in label if not c.isdigit()): start for label, start in messages}
    with small_build(clear_rows=16):
        setup, root = case.setup(), case.commit().root
        done = 0
        for label, start in kinds.items():
            if label.startswith("root.") or (label.split(".")[-1] in plain and label != "lookup.root"):
                continue
            value = int.from_bytes(proof[start : start + 4], "little") + P
            changed = proof[:start] + value.to_bytes(4, "little") + proof[start + 4 :]
            with pytest.raises(Malformed, match="non-canonical"):
                verify_program(setup, STATEMENT, root, changed, case.knobs.security)
            done += 1
        assert done >= 15


def test_random_bytes_never_crash_the_verifier(small_proof: Recorded) -> None:
    case, proof, _ = small_proof
    rng = np.random.default_rng(3)
    with small_build(clear_rows=16):
        setup, root = case.setup(), case.commit().root
        for _ in range(4):
            words = rng.integers(0, P, len(proof) // 4).astype("<u4").tobytes()
            refuse(case, setup, root, words)
            refuse(case, setup, root, proof[:64] + words[64:])
        refuse(case, setup, root, bytes(len(proof)))


# proof of work, degenerate values


@pytest.mark.parametrize("label", ["lookup.grind", "opening.grind", "opening.second.grind"])
def test_a_nonce_that_did_no_work(label: str) -> None:
    def lazy(seed: bytes, bits: int) -> int:
        at_fault = order.pop(0) == label
        return (
            next(n for n in range(1000) if not grinding_holds(seed, n, bits))
            if at_fault
            else grind(seed, bits)
        )

    with (
        small_build(clear_rows=16),
        mock.patch.object(prover.prove, "grind", lazy),
        mock.patch.object(prover.prove, "lookup_grinding", lambda *_: 4),
        mock.patch.object(verifier.reduce, "lookup_grinding", lambda *_: 4),
        mock.patch.object(circuits.security, "lookup_grinding", lambda *_: 4),
    ):
        case = chain(d=8, k=16, f=4)
        order = ["lookup.grind", "opening.grind", "opening.second.grind"]
        with pytest.raises(Rejected) as caught:
            forge(case, case.setup())
        assert caught.value.path == f"{label}.nonce"
        order = ["lookup.grind", "opening.grind", "opening.second.grind"]
        with mock.patch.object(verifier.channel, "grinding_holds", lambda *_: True):
            forge(case, case.setup())


def test_a_zero_challenge_is_refused_not_divided_by() -> None:
    """Rounds divide by coordinates of earlier points; probability 2^−154 for honest provers."""
    case = chain(d=8, k=16, f=4)
    setup, proof, root = case.setup(), case.prove(), case.commit().root
    drawn = Transcript.challenge

    def zero(self: Transcript, label: str) -> KS:
        value = drawn(self, label)
        return KS(0) if label == "lookup.layer0.tau" else value

    with mock.patch.object(Transcript, "challenge", zero), pytest.raises(Rejected) as caught:
        verify_program(setup, STATEMENT, root, proof, case.knobs.security)
    assert caught.value.path == "lookup.layer1.challenge"
