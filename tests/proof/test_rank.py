"""The opening leaks nothing: an exact rank computation on a small instance (protocol §9).

For fixed challenges everything that the opening shows is a linear function of the secrets. Its columns that
belong to randomness (random rows and R, R' of every level, g) must span every change of the view that a change of the
data (pads included) with the same public claims can make. Then each view is equally likely for all such data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.prover.argument.opening
from huref.circuits.argument.functional import Claim, Columns, Functional
from huref.circuits.argument.opening import pad_coefficients, vandermonde
from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import DEGREE, P, decode_f, fdot, fmul, kouter
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import Form, PadSpace
from huref.common.params import CodeGeometry, Knobs, LevelGeometry, OpeningGeometry
from huref.prover.argument.opening import OpenedMatrix, prove_opening
from huref.prover.commitment.committed import Opening
from huref.prover.devices.compiled import COMPILED
from tests.proof.programs import secret

W = 4
PADS = PadSpace(2, 2)
DATA = {"W": 2, "A": 2}
PAD_START, MASK_START = DATA["A"], DATA["A"] + 10  # 8 pads are 40 limbs, 10 rows of 4


def rank(matrix: np.ndarray) -> int:
    """Rank over F, by elimination."""
    rows = matrix.astype(np.uint64).copy()
    found = 0
    for column in range(rows.shape[1]):
        pivots = np.flatnonzero(rows[found:, column])
        if not len(pivots):
            continue
        pivot = found + int(pivots[0])
        rows[[found, pivot]] = rows[[pivot, found]]
        rows[found] = fmul(rows[found], np.uint64(pow(int(rows[found, column]), -1, P)))
        below = rows[found + 1 :]
        below[:] = (below + fmul(rows[found][None], (np.uint64(P) - below[:, column])[:, None])) % np.uint64(
            P
        )
        found += 1
        if found == len(rows):
            break
    return found


def kernel(matrix: np.ndarray) -> np.ndarray:
    """A basis, in columns, of the vectors that `matrix` (m, n) maps to zero."""
    count = matrix.shape[1]
    work = np.concatenate([matrix.T, np.eye(count, dtype=np.uint64)], axis=1)
    found = 0
    for column in range(matrix.shape[0]):
        pivots = np.flatnonzero(work[found:, column])
        if not len(pivots):
            continue
        pivot = found + int(pivots[0])
        work[[found, pivot]] = work[[pivot, found]]
        work[found] = fmul(work[found], np.uint64(pow(int(work[found, column]), -1, P)))
        below = work[found + 1 :]
        below[:] = (below + fmul(work[found][None], (np.uint64(P) - below[:, column])[:, None])) % np.uint64(
            P
        )
        found += 1
    return work[found:, matrix.shape[0] :].T


@dataclass
class Listener:
    """A prover's channel with fixed challenges that keeps the field elements it is given."""

    seen: list[np.ndarray] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(11)
        self.transcript = self

    def challenge(self, label: str) -> KS:
        return self.point(label, 1)[0]

    def point(self, label: str, count: int) -> list[KS]:
        return KS.list_from_array(self.rng.integers(0, P, (count, DEGREE)).astype(np.uint64))

    def challenge_positions(self, label: str, count: int, bound: int) -> np.ndarray:
        return np.sort(self.rng.choice(bound, count, replace=False))

    def public(self, label: str, values: list[KS]) -> None:
        self.array(label, np.array([tuple(value) for value in values], np.uint64))

    def array(self, label: str, values: np.ndarray) -> None:
        self._note(label, values.reshape(-1))

    def send(self, label: str, data: bytes) -> None:
        if label.endswith(".leaves"):
            self._note(label, decode_f(data, len(data) // 4))

    def grind(self, label: str, bits: int) -> None:
        pass

    def _note(self, label: str, values: np.ndarray) -> None:
        self.seen.append(values)
        self.labels.append(label)


class Code:
    """Opens positions of a matrix's code, without a tree."""

    root, device = bytes(32), COMPILED

    def __init__(self, matrix: np.ndarray, domain: CodeDomain) -> None:
        self.matrix, self.domain = matrix, domain

    def open(self, at: list[int]) -> Opening:
        powers = vandermonde(self.domain.points(np.array(at)), len(self.matrix))
        return Opening(fdot(powers, self.matrix), np.zeros((len(at), 16), np.uint8), [])


@dataclass(frozen=True)
class Instance:
    """Sizes of the small opening: queries t and random rows z of both matrices and of the levels, their widths."""

    queries: int = 2
    random: int = 2
    level_queries: int = 3
    level_random: int = 3
    widths: tuple[int, ...] = (4,)

    @property
    def rows(self) -> dict[str, int]:
        w, a, align = DATA["W"] + self.random, MASK_START + 10 + self.random, self.widths[0]
        return {"W": -(-w // align) * align, "A": -(-a // align) * align}

    @property
    def geometry(self) -> OpeningGeometry:
        def code(k: int, data: int, width: int, queries: int) -> CodeGeometry:
            return CodeGeometry(data, k - data, width, CodeDomain.for_length(k), queries)

        levels, length = [], sum(self.rows.values())
        for i, w in enumerate(self.widths):
            last = i + 1 == len(self.widths)
            align = 1 if last else self.widths[i + 1]
            data = length // w + 2
            length = -(-(data + self.level_random) // align) * align
            width = DEGREE * (w + last)
            levels.append(LevelGeometry(w, code(length, data, width, self.level_queries)))
        w, a = (code(self.rows[name], self.rows[name], W, self.queries) for name in "WA")
        return OpeningGeometry(W, w, a, tuple(levels))

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Shapes of the unknowns: U_W, U_A, what every level adds to y, and the last one's mask."""
        found = {name: (rows, W) for name, rows in self.rows.items()}
        for number, level in enumerate(self.geometry.levels, 2):
            added = level.code.random + 2
            found[f"opening.level{number}.rows"] = (added, DEGREE * level.w)
        found[f"opening.level{number}.mask"] = (level.code.k_prime, DEGREE)
        return found


class Randomness:
    """In place of the opening's seed: its streams of field elements are unknowns."""

    def __init__(self, parts: dict[str, np.ndarray]) -> None:
        self.parts = parts

    def field_elements(self, label: str, count: int) -> np.ndarray:
        found = self.parts[label].reshape(-1).astype(np.uint32)
        assert len(found) == count
        return found

    def derive(self, label: str) -> Any:
        return secret(1)


LAYOUT: Any = SimpleNamespace(w=W, pads=PADS, pad_start=PAD_START, mask_start=MASK_START)


def claims() -> tuple[list[Claim], Columns]:
    """Two claims on data with pads in their values, and one on pads alone."""
    rng, columns = np.random.default_rng(2), Columns(W)

    def element(*shape: int) -> np.ndarray:
        return rng.integers(0, P, (*shape, DEGREE)).astype(np.uint64)

    found = []
    for name in ("one", "two", "pads"):
        functional = Functional(columns)
        if name != "pads":
            column = columns.add(name, element(W))
            functional.rows("W", 0, element(DATA["W"]), column)
            functional.rows("A", 0, element(DATA["A"]), column)
        pads = {i: KS.from_array(element()) for i in range(PADS.total)}
        found.append(Claim(name, functional, Form(KS(1), pads)))
    return found, columns


def listen(instance: Instance, unknown: np.ndarray) -> Listener:
    """What the real prover's opening shows, for secrets given as one vector."""
    parts, at = {}, 0
    for name, shape in instance.sizes.items():
        parts[name] = unknown[at : at + shape[0] * shape[1]].reshape(shape).astype(np.uint64)
        at += shape[0] * shape[1]
    geometry = instance.geometry
    weights, own = (
        OpenedMatrix((parts[name].astype(np.uint32),), Code(parts[name], code.domain))  # type: ignore[arg-type]
        for name, code in (("W", geometry.weights), ("A", geometry.proof))
    )
    listener: Any = Listener()
    given, columns = claims()

    def commit(matrix: Any, domain: CodeDomain, *_: Any) -> Code:
        rows = [*matrix.segments, *([] if matrix.beside is None else [matrix.beside])]
        return Code(np.concatenate(rows, axis=1).astype(np.uint64), domain)

    with mock.patch.object(huref.prover.argument.opening, "commit", commit):
        seed: Any = Randomness(parts)
        prove_opening(listener, LAYOUT, geometry, given, columns, weights, own, seed, Knobs(grinding=0))
    heard: Listener = listener
    return heard


def view(instance: Instance, unknown: np.ndarray) -> np.ndarray:
    """All of it in one vector."""
    return np.concatenate(listen(instance, unknown).seen)


def view_labels(instance: Instance) -> list[int]:
    """For every entry of the view the level that shows it; the last vector and its sum belong to the last level."""
    count = sum(rows * columns for rows, columns in instance.sizes.values())
    listener, found = listen(instance, np.zeros(count, np.uint64)), []
    for label, part in zip(listener.labels, listener.seen, strict=True):
        own = re.match(r"opening\.level(\d)", label)
        of_last = label in ("opening.mask_sum", "opening.y")
        level = int(own[1]) if own else 1 + len(instance.widths) if of_last else 1
        found += [level] * len(part)
    return found


def linear_map(instance: Instance) -> np.ndarray:
    """The matrix of `view`, one column per unknown."""
    count = sum(rows * columns for rows, columns in instance.sizes.values())
    found = []
    for i in range(count):
        unit = np.zeros(count, np.uint64)
        unit[i] = 1
        found.append(view(instance, unit))
    return np.stack(found, axis=1)


def places(instance: Instance) -> dict[str, np.ndarray]:
    """Indices of the unknowns by what they are."""
    index, at = {}, 0
    for name, shape in instance.sizes.items():
        index[name] = np.arange(at, at + shape[0] * shape[1]).reshape(shape)
        at += shape[0] * shape[1]
    found = {
        "data": np.concatenate([index["W"][: DATA["W"]].ravel(), index["A"][:MASK_START].ravel()]),
        "R": index["A"][MASK_START : MASK_START + 5].ravel(),
        "R'": index["A"][MASK_START + 5 : MASK_START + 10].ravel(),
        "rows W": index["W"][DATA["W"] :].ravel(),
        "rows A": index["A"][MASK_START + 10 :].ravel(),
    }
    for number in range(2, 2 + len(instance.widths)):
        own = index[f"opening.level{number}.rows"]
        found |= {f"R {number}": own[0], f"R' {number}": own[1], f"rows {number}": own[2:].ravel()}
    found["g"] = index[f"opening.level{number}.mask"].ravel()
    return found


def claim_map() -> np.ndarray:
    """The claims as base-field equations on the data: 5 per claim, columns as `places()["data"]`."""
    given, columns = claims()
    equations = []
    for claim in given:
        data = {
            "W": np.zeros((DATA["W"], W, DEGREE), np.uint64),
            "A": np.zeros((MASK_START, W, DEGREE), np.uint64),
        }
        for term in claim.functional.terms:
            data[term.matrix][term.start : term.start + len(term.a)] += kouter(
                term.a, columns.vectors[term.columns]
            )
        pads = pad_coefficients(LAYOUT, [claim], [KS(1)])
        data["A"][PAD_START:MASK_START] += pads.values[pads.choice]
        equations.append(np.concatenate([data["W"].reshape(-1, DEGREE), data["A"].reshape(-1, DEGREE)]).T % P)
    return np.concatenate(equations)


def leaked(matrix: np.ndarray, instance: Instance, without: tuple[str, ...] = ()) -> int:
    """Dimension of view changes that claim-preserving data changes make and randomness does not."""
    where = places(instance)
    random = [where[name] for name in where if name != "data" and name not in without]
    masks = matrix[:, np.concatenate(random)]
    changes = fdot(np.ascontiguousarray(matrix[:, where["data"]]), kernel(claim_map()))
    return rank(np.concatenate([masks, changes], axis=1)) - rank(masks)


@pytest.fixture(scope="module", params=[(4,), (4, 2)], ids=["one level", "two levels"])
def opening(request: pytest.FixtureRequest) -> tuple[Instance, np.ndarray]:
    instance = Instance(widths=request.param)
    return instance, linear_map(instance)


def test_view_is_linear(opening: tuple[Instance, np.ndarray]) -> None:
    instance, matrix = opening
    rng = np.random.default_rng(1)
    unknown = rng.integers(0, P, matrix.shape[1]).astype(np.uint64)
    assert np.array_equal(fdot(matrix, unknown[:, None])[:, 0], view(instance, unknown))


def test_claims_are_what_the_kernel_keeps() -> None:
    kept = kernel(claim_map())
    assert kept.shape[1] == places(Instance())["data"].size - 15
    assert not fdot(claim_map(), kept).any() and rank(kept) == kept.shape[1]


def test_randomness_covers_every_view(opening: tuple[Instance, np.ndarray]) -> None:
    assert leaked(opening[1], opening[0]) == 0


def test_the_view_has_no_freedom_but_the_verifiers_equations(opening: tuple[Instance, np.ndarray]) -> None:
    """All that is shown is uniform but for what the verifier checks: the simulator of §9 draws exactly this."""
    instance, matrix = opening
    where, geometry = places(instance), instance.geometry
    random = matrix[:, np.concatenate([where[name] for name in where if name != "data"])]
    levels = geometry.levels
    equations = 1 + levels[-1].code.queries  # of K: the last equation, and the last code at every query
    assert rank(random) == matrix.shape[0] - DEGREE * equations


@pytest.mark.parametrize("without", ["R", "R'", "rows W", "g"])
def test_every_kind_of_randomness_is_needed(without: str, opening: tuple[Instance, np.ndarray]) -> None:
    """A build whose stream of this kind is zero leaks: its columns are gone from the randomness."""
    assert leaked(opening[1], opening[0], (without,)) > 0


def test_random_rows_of_the_proof_are_needed() -> None:
    """R and R' are ten random rows themselves, so it takes more positions than that to tell."""
    instance = Instance(queries=9, random=10)
    matrix = linear_map(instance)
    assert leaked(matrix, instance) == 0
    assert leaked(matrix, instance, ("rows A",)) > 0


def test_every_level_hides_itself(opening: tuple[Instance, np.ndarray]) -> None:
    """Whatever the vector before is, a level's own rows and masks make what it shows uniform, and each is needed.

    This is the step of §9 from level to level. The last level's g answers for the equations that the verifier checks.
    """
    instance, matrix = opening
    where, labels = places(instance), np.array(view_labels(instance))
    last = 1 + len(instance.widths)
    for level in range(1, last + 1):
        names = (
            ["R", "R'", "rows W", "rows A"] if level == 1 else [f"R {level}", f"R' {level}", f"rows {level}"]
        )
        equations = 0
        if level == last:
            names, equations = [*names, "g"], 1 + instance.level_queries
        shown = matrix[labels == level]

        def reached(kept: list[str], shown: np.ndarray = shown) -> int:
            return rank(shown[:, np.concatenate([where[name] for name in kept])])

        assert reached(names) == len(shown) - DEGREE * equations
        for name in names:
            if name != "rows A":  # R and R' are ten random rows themselves
                assert reached([other for other in names if other != name]) < reached(names), name


@pytest.mark.parametrize(
    "changed", [{"queries": 3, "random": 2}, {"level_queries": 6, "level_random": 1}], ids=str
)
def test_fewer_random_rows_than_opened_positions_leak(changed: dict[str, int]) -> None:
    instance = Instance(**changed)  # type: ignore[arg-type]
    assert leaked(linear_map(instance), instance) > 0


def test_the_mask_claims_carry_zero_knowledge_only() -> None:
    """Without them R and R' never enter the reduction: its messages leak (and no false claim gets easier)."""
    instance = Instance()
    with mock.patch.object(huref.prover.argument.opening, "_mask_claims", lambda *_: []):
        matrix = linear_map(instance)
    assert leaked(matrix, instance) > 0
