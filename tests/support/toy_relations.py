"""A small program of relations with every kind of term, product, operand and matrix, and integers that satisfy it. Its
hidden prompts are rows of any integers: that they choose tokens is for equations to say.

Every equation has a matrix `<name>.slack` of its own that takes what its other terms give, so that any integers satisfy
it. All matrices but the slacks are looked up in small tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.program.program import Weight
from huref.circuits.program.tables import Table
from huref.circuits.relations import products, terms
from huref.circuits.relations.frame import Frame, Matrix
from huref.circuits.relations.program import Look, Number, Own, Prompts, Relations, Repeated, Spread
from huref.circuits.relations.setup import RelationSetup, prepare_relations
from huref.common.algebra.field import DEGREE
from huref.common.params import Knobs
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.commitment.weights import WeightsCommitment, commit_weights
from huref.prover.relations.prove import prove_relations
from huref.verifier.relations.verify import verify_relations
from tests.support.relations import Checker

Ints = NDArray[Any]
STATEMENT = b"any canonical bytes"
KNOBS = Knobs(security=12, grinding=1, proofs=1)
BITS = Table("remainder", (3, 5))
CLAMP = Table("clamp", (64, 9, -9))


@dataclass(frozen=True)
class Toy:
    """Relations, weights and integers."""

    relations: Relations
    weights: dict[str, Ints]
    found: dict[str, Ints]
    knobs: Knobs = KNOBS

    @cached_property
    def setup(self) -> RelationSetup:
        return prepare_relations(self.relations, self.knobs)

    @cached_property
    def commitment(self) -> WeightsCommitment:
        return self.commit(self.weights)

    def commit(self, weights: Mapping[str, Ints], seed: int = 1) -> WeightsCommitment:
        stack: Any = SimpleNamespace(committed=self.relations.stack)
        return commit_weights(stack, weights, self.knobs, SecretSeed(seed.to_bytes(32, "little")))

    def wrong(self, changed: Mapping[str, Ints] | None = None) -> list[str]:
        return Checker(self.relations, {**self.found, **(changed or {})}, self.weights).wrong()

    def prove(self, seed: int = 2, **given: Any) -> bytes:
        """A proof; `setup`, `found`, `weights`, `statement`, `commitment` replace the honest ones."""
        return prove_relations(
            given.get("setup", self.setup),
            given.get("statement", STATEMENT),
            given.get("weights", self.weights),
            given.get("found", self.found),
            given.get("commitment", self.commitment),
            SecretSeed(seed.to_bytes(32, "little")),
        )

    def verify(self, proof: bytes, **given: Any) -> Any:
        return verify_relations(
            given.get("setup", self.setup),
            given.get("statement", STATEMENT),
            given.get("root", self.commitment.root),
            proof,
            given.get("min_security", self.knobs.security),
        )


def toy(
    tokens: int | tuple[int, ...] = 5,
    cols: int = 40,
    layers: int = 2,
    heads: int = 4,
    group: int = 2,
    seed: int = 0,
) -> Toy:
    """All kinds, on one sequence or several of so many tokens; with w = 32, `cols` and more than 32 tokens take several
    column blocks, the last one cut.
    """
    rng, lengths = np.random.default_rng(seed), (tokens,) if isinstance(tokens, int) else tokens
    tokens, longest = sum(lengths), max(lengths)
    size, kv = 6, heads // group
    m: dict[str, Matrix] = {}

    def matrix(name: str, frame: Frame, flat: bool = False) -> Matrix:
        m[name] = Matrix(name, frame, 7, flat)
        return m[name]

    rows = Frame(tokens, layers, 1, cols)
    x, y, z = (matrix(name, rows) for name in "xyz")
    once = matrix("once", Frame(1, layers, 1, cols))
    scalar, other = (matrix(name, Frame(tokens, layers), flat=True) for name in ("scalar", "other"))
    per_head = matrix("per head", Frame(tokens, layers, heads), flat=True)
    top = matrix("top", Frame(1, 1, 1, cols))
    wide = matrix("wide", Frame(tokens, layers, 1, heads * size))
    query = matrix("query", Frame(tokens, layers, 1, heads * size))
    key, value = (matrix(name, Frame(tokens, layers, 1, kv * size)) for name in ("key", "value"))
    share = matrix("share", Frame(tokens, layers, heads, longest, lengths))
    logits = matrix("logits", Frame(4, 1, 1, cols))
    side = matrix("side", Frame(4, 1), flat=True)
    mask = matrix("mask", Frame(2, 1, DEGREE), flat=True)
    scale = matrix("scale", Frame(tokens, 1), flat=True)
    stack: list[Weight] = []
    for n in range(layers):
        stack += [Weight(f"read{n}", cols, cols), Weight(f"row{n}", 1, cols), Weight(f"write{n}", cols, 24)]
        stack.append(Weight(f"rows{n}", 3, cols))
    stack.append(Weight("embed", 11, cols))
    names = ("read", "row", "write", "rows")
    read, row, write, more = ([f"{name}{n}" for n in range(layers)] for name in names)
    ids = tuple(int(i) for i in rng.integers(0, 11, tokens))
    shown = tuple(-1 if t == 1 else i for t, i in enumerate(ids))
    steps = tuple((cols - 1 - i * 3) % cols if i >= 0 else i for i in shown)  # in the last block too
    picked = tuple(-1 if t == 1 else (t + 1) % tokens for t in range(tokens))
    claimed, columns = (0, tokens - 1, -1, tokens - 1), (cols - 1, 0, 3, cols // 2)
    by_layer = tuple(3 - 2 * n for n in range(layers))
    turned = tuple(reversed(range(layers)))
    maps = rng.integers(-9, 10, (longest, 4, 4))
    index = None if len(lengths) == 1 else tuple(share.frame.positions.tolist())
    counts = (3, scalar.frame.rows - 3)
    t, p = terms, products
    made: list[tuple[str, Frame, tuple[Any, ...], tuple[Any, ...]]] = [
        ("cells", rows, (t.Cells(x, by_layer), t.Cells(y, 2, turned), t.Public(by_layer)), ()),
        ("along", rows, (t.Along(once, by_layer), t.Sparse(((0, cols - 1, 5), (1, 2, -3)))), ()),
        ("beside", rows, (t.Beside(scalar, 3, turned), t.Public(4)), ()),
        ("stored", Frame(1, layers, 1, cols), (t.Stored(tuple(row), by_layer), t.Sparse(((1, 0, 4),))), ()),
        ("stored row", rows, (t.Stored(tuple(more), by_layer, 2), t.Stored(tuple(more), -1, 0)), ()),
        ("stored at", Frame(tokens, 1), (t.StoredAt("row0", steps, -2),), ()),
        ("at", Frame(4, 1), (t.At(logits, columns, 5), t.PublicTokens((1, -2, 3, 7))), ()),
        ("sum", Frame(tokens, layers), (t.RowSum(x, by_layer), t.Beside(other, -1), t.Public(-1)), ()),
        ("causal sum", Frame(tokens, layers, heads), (t.RowSum(share, by_layer), t.Beside(per_head)), ()),
        (
            "causal",
            share.frame,
            (t.Cells(share, by_layer), t.Beside(per_head, by_layer), t.Public(by_layer)),
            (p.CausalScores("causal", query, key, size, group, by_layer),),
        ),
        ("total", Frame(2, 1), (t.Total(scalar, counts, -3), t.Public(2)), ()),
        ("mapped", rows, (t.Mapped(x, maps, by_layer, index),), ()),
        ("rotated", rows, (t.Rotated(x, 9, False), t.Rotated(x, 4, True)), ()),
        ("projection", rows, (), (p.Projection("projection", x, tuple(read), by_layer, turned),)),
        (
            "positions",
            logits.frame,
            (),
            (p.Projection("positions", x, ("read1",), -2, (layers - 1,), claimed), p.Outer("positions", side, top, 3)),
        ),
        (
            "transposed",
            Frame(tokens, layers, 1, 24),
            (),
            (p.Transposed("transposed", x, tuple(write), by_layer, ((0, cols - 1, 3), (1, 1, 1))),),
        ),
        ("picked", Frame(tokens, layers, 1, 24), (), (p.Transposed("picked", y, tuple(write), -1, (), picked),)),
        ("column", rows, (), (p.ColumnScale("column", ((x, 4), (y, -1)), once, by_layer),)),
        ("vector", rows, (), (p.StoredScale("vector", x, tuple(more), (5, -2, 1), by_layer),)),
        ("row", rows, (), (p.RowScale("row", ((x, 4), (y, -1)), scalar, by_layer),)),
        ("heads", wide.frame, (t.Cells(wide),), (p.RowScale("heads", ((wide, 2),), per_head, by_layer),)),
        ("gathered", Frame(tokens, 1, 1, cols), (), (p.Gathered("gathered", "embed", shown, scale, -3),)),
        ("hadamard", rows, (), (p.Hadamard("hadamard", x, z, by_layer),)),
        ("squares", Frame(tokens, layers), (), (p.Squares("squares", "mixed", "low", x, y),)),
        ("mixed", Frame(tokens, layers), (), ()),
        ("low", Frame(tokens, layers), (), ()),
        ("lengths", Frame(tokens, layers, heads), (), (p.HeadSquares("lengths", query, size, by_layer),)),
        ("flat", Frame(tokens, layers), (), (p.FlatProduct("flat", scalar, other, by_layer),)),
        ("mix", Frame(tokens, layers, 1, heads * size), (), (p.CausalMix("mix", share, value, size, group, by_layer),)),
    ]  # fmt: skip
    clipped, shift = matrix("clipped", rows), matrix("shift", Frame(1, layers, 1, cols))
    rest, spread = matrix("rest", rows), matrix("spread", Frame(tokens, layers), flat=True)
    rest2 = matrix("rest2", rows)
    looks = [
        Look("clip", CLAMP, rows, False, (Own(x, 2), Own(clipped))),
        Look("repeated", BITS, rows, False, (Repeated(shift), Own(rest))),
        Look("spread", BITS, rows, False, (Spread(spread), Own(rest2))),
    ]
    tied = {"x", "clipped", "shift", "rest", "spread", "rest2"}
    looks += [
        Look(f"{name} range", BITS, own.frame, own.flat, (Number(3), Own(own, 4)))
        for name, own in m.items()
        if name not in tied
    ]
    looks.append(Look("by layer", BITS, rows, False, (Number((3, 5, *(5,) * (layers - 2))), Own(x, 4))))
    found = {name: rng.integers(-4, 4, (own.frame.rows, own.frame.cols)) for name, own in m.items()}
    found["clipped"] = np.clip(found["x"] + 2, -9, 9)
    for name, of, shape in (("shift", "rest", (1, layers, cols)), ("spread", "rest2", (tokens, layers, 1))):
        bits = 3 + 2 * rng.integers(0, 2, shape)
        found[name] = bits.reshape(found[name].shape)
        entries = rng.integers(0, 1 << np.broadcast_to(bits, (tokens, layers, cols)))
        found[of] = entries.reshape(found[of].shape)
    slacks = [
        Matrix(f"{name}.slack", frame, 1 << 20, flat=frame.cols == 1 and not frame.causal)
        for name, frame, _, _ in made
    ]
    weights = {w.name: rng.integers(-9, 10, (w.rows, w.cols)).astype(np.int8) for w in stack}
    equations = tuple(
        t.Equation(name, frame, (*linear, t.Cells(slack, -1)))
        for (name, frame, linear, _), slack in zip(made, slacks, strict=True)
    )
    relations = Relations(
        tuple(stack),
        (*m.values(), *slacks),
        tuple(looks),
        equations,
        tuple(product for *_, own in made for product in own),
        Prompts(logits, mask, (1, 3)),
    )
    return satisfied(relations, weights, found, slacks)


def satisfied(
    relations: Relations, weights: dict[str, Ints], found: dict[str, Ints], slacks: Sequence[Matrix]
) -> Toy:
    """The toy whose slacks are what is left."""
    zeros = {slack.name: np.zeros((slack.frame.rows, slack.frame.cols), np.int64) for slack in slacks}
    left = Checker(relations, {**found, **zeros}, weights).sums()
    full = {
        **found,
        **{f"{name}.slack": values.reshape(-1, values.shape[-1]) for name, values in left.items()},
    }
    kept = {
        name: values.astype(np.int16 if np.abs(values).max() < 1 << 15 else np.int32)
        for name, values in full.items()
    }
    return Toy(relations, weights, kept)


def without(toy_: Toy, *names: str) -> Toy:
    """The build that lacks these equations, with their products, or lookups."""
    relations = toy_.relations
    kept = replace(
        relations,
        equations=tuple(e for e in relations.equations if e.name not in names),
        products=tuple(p for p in relations.products if p.equation not in names),
        looks=tuple(look for look in relations.looks if look.label not in names),
    )
    return replace(toy_, relations=kept)
