"""What a proof shows does not depend on the weights (protocol §9), and builds without a mask are caught.

Challenges are fixed in the distribution tests: given its challenges, every message must be uniform. That is
stronger than testing real proofs, whose challenges are random and make constants look random too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.prover.argument.opening
import huref.prover.argument.prove
from huref.common.algebra.field import P, decode_f, decode_k, kmul
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table
from huref.common.argument.hidden import DUMMY_TRIPLES, PadSpace
from huref.common.argument.transcript import Transcript
from huref.common.errors import ProverError
from huref.common.params import Knobs, most_queries
from huref.prover.argument.channel import ProverChannel
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.commitment.weights import commit_weights
from huref.verifier.argument.verify import verify_program
from tests.proof.attacks_known_challenges import known_challenges
from tests.proof.programs import STATEMENT, Builder, Case, everything, secret, small_build

RUNS = 40
TINY = Knobs(security=12, grinding=1, proofs=1)
Messages = dict[str, np.ndarray]


def tiny(seed: int) -> Case:
    """A sketch, a product; one public program, weights by seed."""
    b = Builder(7)
    x, w = b.weight("x", 8, 20, 4), b.weight("a", 4, 20, 4)
    program = b.output(b.matmul("m", b.sketch("ys", x, 8), w))
    b.rng = np.random.default_rng(seed)
    return Case(program, b.values(), TINY)


# pads


def test_every_pad_hides_one_message(full: Case) -> None:
    """Singles and both factor lists are used once, in order; products T and the dummies never."""
    used: list[int] = []
    original = ProverChannel._pad

    def note(self: ProverChannel, index: int) -> KS:
        used.append(index)
        return original(self, index)

    with mock.patch.object(ProverChannel, "_pad", note):
        full.prove()
    space = full.setup().layout.pads
    assert len(set(used)) == len(used)
    assert [i for i in used if i < space.singles] == list(range(space.singles))
    factors = sorted(i for i in used if i >= space.singles)
    products = len(factors) // 2
    assert factors == [space.singles + part * space.triples + i for part in range(2) for i in range(products)]
    assert products + DUMMY_TRIPLES <= space.triples


def test_pads_run_out() -> None:
    space = PadSpace.for_counts(2, 3)
    pads = huref.prover.argument.prove.make_pads(space, secret(1))
    channel = ProverChannel(Transcript(), space, pads)
    channel.hidden("a", [KS(1)] * space.singles)
    with pytest.raises(ProverError, match="more hidden messages than pads"):
        channel.hidden("b", [KS(1)])
    channel = ProverChannel(Transcript(), space, pads)
    for _ in range(space.triples - DUMMY_TRIPLES):
        channel.hidden_product("c", KS(1), KS(2))
    with pytest.raises(ProverError, match="more products than triples"):
        channel.hidden_product("c", KS(1), KS(2))
    with pytest.raises(ProverError, match="pads used"):
        channel.finish()


# distributions


def collect(case: Case, runs: int, first_seed: int) -> tuple[Messages, Messages]:
    """Field elements (runs, count) and raw bytes (runs, count) of every message of proofs with fresh seeds."""
    words: dict[str, list[np.ndarray]] = {}
    raw: dict[str, list[np.ndarray]] = {}
    setup = case.setup()
    for run in range(runs):
        found: dict[str, int] = {}

        def record(kind: str, label: str, data: bytes, found: dict[str, int] = found) -> None:
            if kind != "absorb" or label in ("config", "statement", "root.weights") or not data:
                return
            name = f"{label}#{found.setdefault(label, 0)}"
            found[label] += 1
            size = case.knobs.digest_bytes
            if label.startswith("root.") or (label.endswith(".root") and label.startswith("opening.")):
                assert not any(data[size:])  # what is not kept of a digest
                raw.setdefault(name, []).append(np.frombuffer(data[:size], np.uint8))
            elif label.split(".")[-1] in ("salts", "path", "nonce"):
                raw.setdefault(name, []).append(np.frombuffer(data, np.uint8))
            else:
                words.setdefault(name, []).append(decode_f(data, len(data) // 4))

        with recorded(record):
            case.prove(setup, commitment=committed(case, first_seed + run), seed=first_seed + run)
    return ({k: np.stack(v) for k, v in words.items()}, {k: np.stack(v) for k, v in raw.items()})


def committed(case: Case, seed: int) -> Any:
    return commit_weights(case.program, case.weights, case.knobs, secret(seed))


def recorded(record: Callable[[str, str, bytes], None]) -> AbstractContextManager[Any]:
    """Challenges that depend on nothing absorbed; the prover's own messages are recorded, not the replay's."""
    send = ProverChannel.send

    def note(self: ProverChannel, label: str, data: bytes) -> None:
        record("absorb", label, data)
        send(self, label, data)

    return Both(known_challenges(), mock.patch.object(ProverChannel, "send", note))


class Both:
    def __init__(self, *contexts: AbstractContextManager[Any]) -> None:
        self.contexts = contexts

    def __enter__(self) -> None:
        for context in self.contexts:
            context.__enter__()

    def __exit__(self, *error: Any) -> None:
        for context in reversed(self.contexts):
            context.__exit__(*error)


def chi_square(values: np.ndarray, bins: np.ndarray, count: int) -> np.ndarray:
    """Per column, Σ (observed − expected)² / expected of equally likely bins."""
    observed = np.stack([(bins == b).sum(axis=0) for b in range(count)])
    expected = len(values) / count
    return ((observed - expected) ** 2 / expected).sum(axis=0)


LIMIT = 60.0
"""Of a chi-square with 7 degrees of freedom: exceeded with probability 10^−10 by uniform values."""


def leaks(samples: Messages) -> list[str]:
    """Messages with an element that is not uniform: high bits, low bits, or a value that comes back."""
    found = []
    for name, values in samples.items():
        high = chi_square(values, values * np.uint64(8) // np.uint64(P), 8)
        low = chi_square(values, values & np.uint64(7), 8)
        ordered = np.sort(values, axis=0)
        repeats = (ordered[1:] == ordered[:-1]).sum(axis=0)
        if max(high.max(), low.max()) > LIMIT or (repeats > 1).any():
            found.append(name)
    return found


def repeated(raw: Messages) -> list[str]:
    """Salts and digests that come back: 16 equal bytes where fresh ones were due, all of a short root."""
    found = []
    for name, values in raw.items():
        size = min(16, values.shape[1])
        if "nonce" in name or not size:
            continue
        parts = values[:, : values.shape[1] // size * size].reshape(len(values), -1, size)
        if any(len(np.unique(parts[:, i], axis=0)) < len(values) for i in range(parts.shape[1])):
            found.append(name)
    return found


@pytest.fixture(scope="module")
def samples(_small: None) -> list[tuple[Messages, Messages]]:
    one, two = tiny(1), tiny(2)
    assert one.setup().layout == two.setup().layout
    assert (one.weights["x"] != two.weights["x"]).any()
    return [collect(one, RUNS, 100), collect(two, RUNS, 1000)]


def test_every_message_is_uniform(samples: list[tuple[Messages, Messages]]) -> None:
    for words, raw in samples:
        assert len(words) > 100
        assert leaks(words) == []
        assert repeated(raw) == []


def test_messages_of_two_models_have_one_distribution(samples: list[tuple[Messages, Messages]]) -> None:
    """Two-sample chi-square on eight bins of every field element, all elements at once."""
    (one, _), (two, _) = samples
    assert one.keys() == two.keys()
    worst, total, count = 0.0, 0.0, 0
    for name in one:
        bins = [x[name] * np.uint64(8) // np.uint64(P) for x in (one, two)]
        counts = [np.stack([(b == i).sum(axis=0) for i in range(8)]).astype(float) for b in bins]
        both = counts[0] + counts[1]
        difference = np.where(both > 0, (counts[0] - counts[1]) ** 2 / np.maximum(both, 1), 0).sum(axis=0)
        worst, total, count = max(worst, difference.max()), total + difference.sum(), count + len(difference)
    assert worst < LIMIT
    assert abs(total / count - 7) < 0.5  # the mean of a chi-square with 7 degrees of freedom


def zero_pads(space: PadSpace, seed: SecretSeed) -> np.ndarray:
    return np.zeros((space.total, 5), np.uint64)


def zero_stream(label: str) -> AbstractContextManager[Any]:
    """Field elements of one of the prover's streams are zero."""
    original = SecretSeed.field_elements

    def zeros(self: SecretSeed, name: str, count: int) -> np.ndarray:
        found = original(self, name, count)
        return np.zeros_like(found) if name == label else found

    return mock.patch.object(SecretSeed, "field_elements", zeros)


def same_salts() -> AbstractContextManager[Any]:
    original = SecretSeed.derive

    def fixed(self: SecretSeed, label: str) -> SecretSeed:
        return secret(0) if "salts" in label else original(self, label)

    return mock.patch.object(SecretSeed, "derive", fixed)


# U_A's rows and R, R' mask each other's absence here, through the pads in U_A: `test_rank` covers them.
MUTATED: dict[str, tuple[Callable[[], AbstractContextManager[Any]], str]] = {
    "honest": (nullcontext, ""),
    "pads": (
        lambda: mock.patch.object(huref.prover.argument.prove, "make_pads", zero_pads),
        "lookup.layer1.round",
    ),
    "weights' random rows": (lambda: zero_stream("weights.random"), "opening.weights.leaves"),
    "mask": (lambda: zero_stream("opening.level2.mask"), "opening.y"),
    "random rows, R and R' of a level": (lambda: zero_stream("opening.level2.rows"), "opening.level2.sigma"),
    "salts": (same_salts, "opening.weights.salts"),
}


@pytest.mark.parametrize("name", MUTATED)
def test_a_build_without_this_randomness_is_noticed(name: str) -> None:
    mutation, where = MUTATED[name]
    with mutation():
        words, raw = collect(tiny(1), 9, 100)
    found = [label.split("#")[0] for label in leaks(words) + repeated(raw)]
    assert where in found if where else found == []


def test_a_repeated_seed_is_noticed() -> None:
    with mock.patch(f"{__name__}.secret", lambda _: SecretSeed(bytes(32))):
        words, raw = collect_with_one_seed(tiny(1), 4)
    assert len(leaks(words)) == len(words) and repeated(raw)


def collect_with_one_seed(case: Case, runs: int) -> tuple[Messages, Messages]:
    original = Case.prove

    def same(self: Case, *given: Any, **named: Any) -> bytes:
        return original(self, *given, **{**named, "seed": 5})

    with mock.patch.object(Case, "prove", same):
        return collect(case, runs, 100)


# triples


def folded_factors(case: Case, runs: int) -> list[KS]:
    """a + Σ eq(ζ', i)·x̂_i for every run: the folded factors of all products, plus the dummies' share.

    x̂_i = x_i − A_i, so without dummies the sum is Σ eq(ζ', i)·x_i, a function of the weights alone.
    """
    setup, sums = case.setup(), []
    product, public, challenge = ProverChannel.hidden_product, ProverChannel.public, ProverChannel.challenge
    for run in range(runs):
        factors: list[KS] = []
        final: list[KS] = []
        point: list[KS] = []

        def hidden_product(
            self: ProverChannel, label: str, x: KS, y: KS, factors: list[KS] = factors
        ) -> None:
            a = self.space.triple(self._triples)[0]  # type: ignore[union-attr]
            factors.append(x - self._pad(a))
            product(self, label, x, y)

        def note(self: ProverChannel, label: str, values: Any, final: list[KS] = final) -> None:
            if label == "triples.final":
                final[:] = values
            public(self, label, values)

        def draw(self: ProverChannel, label: str, point: list[KS] = point) -> KS:
            value = challenge(self, label)
            if label == "triples.challenge":
                point.append(value)
            return value

        with (
            known_challenges(),
            mock.patch.object(ProverChannel, "hidden_product", hidden_product),
            mock.patch.object(ProverChannel, "public", note),
            mock.patch.object(ProverChannel, "challenge", draw),
        ):
            case.prove(setup, seed=200 + run)
        weights = KS.list_from_array(eq_table(point))
        total = final[0]
        for weight, factor in zip(weights, factors, strict=False):
            total += weight * factor
        sums.append(total)
    return sums


def test_dummy_triples_hide_the_final_evaluations() -> None:
    case = tiny(1)
    assert len(set(folded_factors(case, 4))) == 4
    original = huref.prover.argument.prove.make_pads

    def no_dummies(space: PadSpace, seed: SecretSeed) -> np.ndarray:
        pads = original(space, seed)
        products = 2 + 2 * case.setup().layout.spaces[0].log_entries
        for part in range(3):
            first = space.singles + part * space.triples
            pads[first + products : first + space.triples] = 0
        return pads

    with mock.patch.object(huref.prover.argument.prove, "make_pads", no_dummies):
        assert len(set(folded_factors(case, 4))) == 1


# positions


def test_opened_positions_never_exceed_the_random_rows() -> None:
    """Per matrix and proof; the weights' rows last for the number of proofs that the knobs ask for."""
    for case in (tiny(1), everything()):
        for knobs in (TINY, Knobs(security=24, grinding=3, proofs=3), Knobs(proofs=2)):
            setup = Case(case.program, case.weights, knobs).setup()
            weights, proof = setup.geometry.weights, setup.geometry.proof
            assert weights.queries * knobs.proofs < weights.random
            assert proof.queries < proof.random
            assert max(weights.queries, proof.queries) <= most_queries(knobs.rate_inv, knobs)
            for level in setup.geometry.levels:
                assert level.code.queries < level.code.random


def test_the_verifier_reads_each_position_once() -> None:
    drawn: dict[str, np.ndarray] = {}
    with small_build(levels=3):
        case = tiny(1)

        def record(kind: str, label: str, data: bytes) -> None:
            if kind == "challenge" and re.fullmatch(r"opening\.(weights|proof|level\d)", label):
                drawn[label] = np.frombuffer(data, "<i8")

        verify_program(case.setup(), STATEMENT, case.commit().root, case.prove(), TINY.security, record)
    assert len(drawn) == 5
    for positions in drawn.values():
        assert (np.diff(positions) > 0).all()


@pytest.mark.parametrize(("count", "bound"), [(1, 1), (5, 5), (50, 64), (118, 2560)])
def test_positions_are_distinct_sorted_and_uniform(count: int, bound: int) -> None:
    seen = np.zeros(bound, np.int64)
    for i in range(60):
        transcript = Transcript()
        transcript.absorb("run", bytes([i]))
        at = transcript.challenge_positions("at", count, bound)
        assert len(at) == count and (np.diff(at) > 0).all() and at[0] >= 0 and at[-1] < bound
        seen[at] += 1
    expected = 60 * count / bound
    assert ((seen - expected) ** 2).sum() / expected < 2 * bound + 60
    with pytest.raises(ValueError, match="more positions"):
        Transcript().challenge_positions("at", bound + 1, bound)


def test_products_of_pads_are_triples() -> None:
    space = PadSpace.for_counts(10, 9)
    pads = huref.prover.argument.prove.make_pads(space, secret(3))
    a, b, t = (pads[space.singles + part * space.triples :][: space.triples] for part in range(3))
    assert np.array_equal(kmul(a, b), t)
    assert len(np.unique(pads, axis=0)) == space.total
    assert decode_k(pads.astype("<u4").tobytes(), space.total).shape == (space.total, 5)
