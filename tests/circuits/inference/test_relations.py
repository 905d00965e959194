"""The relations of the inference program: honest runs satisfy them, every change is seen by the check meant for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference.facts import LayerFacts
from huref.circuits.inference.relate_head import Claims
from huref.circuits.inference.relations import relate
from huref.circuits.relations.frame import Matrix
from huref.circuits.relations.program import Own
from huref.common.errors import UsageError
from tests.support.inference_forger import Deviation, forge, forger_logits
from tests.support.inference_runs import LAYOUTS, TINY, UNEVEN, Ints, Run, layout_run, make_run
from tests.support.relations import Checker


@pytest.fixture(scope="module")
def run() -> Run:
    return make_run()


@cache
def of_layout(name: str) -> Run:
    return layout_run(name)


@pytest.mark.parametrize(
    "shape,tokens,positions",
    [
        (TINY, 2, (0, 1)),
        (UNEVEN, 6, (5,)),
        (TINY, 37, (0, 20, 36)),
        (replace(TINY, hidden=208), 3, (2,)),  # the least tables of a norm
        (UNEVEN, (1, 1), (0, 1)),
        (TINY, (3, 34, 2), (2, 3, 36, 37)),
    ],
    ids=[
        "two tokens", "uneven heads", "more tokens than a block", "a full norm", "sequences of a token",
        "a sequence longer than a block",
    ],
)  # fmt: skip
def test_honest_runs(shape: Any, tokens: int | tuple[int, ...], positions: tuple[int, ...]) -> None:
    assert make_run(shape, tokens, positions, seed=4).wrong() == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_matrix_is_bounded_by_a_lookup(layout: str) -> None:
    """No free integers: each is an operand of its own in some table, over its whole frame."""
    run = of_layout(layout)
    looked = {
        operand.matrix.name
        for look in run.relations.looks
        for operand in look.operands
        if isinstance(operand, Own) and operand.matrix.frame == look.frame
    }
    assert looked == set(run.relations.matrix)
    for look in run.relations.looks:
        assert {operand.matrix.frame for operand in look.operands if isinstance(operand, Own)} == {look.frame}


def an_entry(matrix: Matrix, rng: np.random.Generator) -> int:
    """A random entry inside the constrained part."""
    f = matrix.frame
    row = int(rng.integers(f.rows))
    token = row // (f.inner * f.heads)
    return row * f.cols + int(rng.integers(f.positions[token] + 1 if f.causal else f.cols))


def single_changes(run: Run) -> list[str]:
    """Matrices of which an entry can be one more or less and nothing is wrong."""
    assert run.wrong() == []
    rng, free = np.random.default_rng(8), []
    for name, matrix in run.relations.matrix.items():
        for by in (1, -1):
            changed = run.found[name].astype(np.int32)
            changed.reshape(-1)[an_entry(matrix, rng)] += by
            if not run.wrong({name: changed}):
                free.append(f"{name} {by:+}")
    return free


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_single_change_is_seen(layout: str) -> None:
    assert single_changes(of_layout(layout)) == []


def test_scores_of_future_tokens_are_free(run: Run) -> None:
    """They are looked up, and nothing else asks for them."""
    found = run.found["scores.z"].astype(np.int32)
    frame = run.relations.matrix["scores.z"].frame
    z = found.reshape(frame.outer, -1, frame.cols)
    z[0, 0, 3] -= 100
    assert run.wrong({"scores.z": found}) == []
    z[0, 0, 3] = -(1 << 18) - 1
    assert run.wrong({"scores.z": found}) == ["scores.powers"]


OWN = {"head.gap", "odds.total"}
"""What is claimed of an honest run does not hold of another one."""


# deviations: the run is honest from the deviation on, so that one check has to find it


def other_program(run: Run, **facts: Any) -> Any:
    return compile_inference(run.shape, replace(run.facts, **facts), len(run.ids))


def turned(layers: tuple[LayerFacts, ...], theta: int) -> tuple[LayerFacts, ...]:
    return tuple(replace(layer, theta=theta) for layer in layers)


def other_weights(run: Run, **tensors: str) -> dict[str, Ints]:
    return {**run.weights, **{name: run.weights[other] for name, other in tensors.items()}}


def flipped(run: Run, name: str, row: int = 3) -> dict[str, Ints]:
    weights = {key: value.copy() for key, value in run.weights.items()}
    weights[name][row] *= -1
    return weights


def other_ids(run: Run) -> tuple[int, ...]:
    """Another token with the same step in the first place."""
    steps = run.weights["embed.step"][0]
    same = [i for i in range(run.shape.vocab) if i != run.ids[0] and steps[i] == steps[run.ids[0]]]
    return (same[0], *run.ids[1:])


DEVIATIONS: dict[str, tuple[Callable[[Run], dict[str, Ints]], set[str]]] = {
    "another model's q": (lambda r: forge(r, weights=flipped(r, "l1.q")), {"q"}),
    "another model's o": (lambda r: forge(r, weights=flipped(r, "l0.o")), {"o", "o.low"}),
    "another model's down": (lambda r: forge(r, weights=flipped(r, "l1.down")), {"down", "down.low"}),
    "another model's head": (lambda r: forge(r, weights=flipped(r, "head")), {"head"}),
    "a layer's v used twice": (lambda r: forge(r, weights=other_weights(r, **{"l1.v": "l0.v"})), {"v"}),
    "other ids": (lambda r: forge(r, ids=other_ids(r)), {"embed"}),
    "another rotary table": (
        lambda r: forge(r, program=other_program(r, layers=turned(r.facts.layers, 9000))),
        {"q_turned", "k_turned"},
    ),
    "another epsilon": (
        lambda r: forge(r, program=other_program(r, epsilon="0.5")),
        {"norm.low", "norm.mixed", "norm.high"},
    ),
    "a softmax with another M": (
        lambda r: forge(r, Deviation(octave=("l1.scores", 1))),
        {"scores.inverse"},
    ),
    "a norm with a larger exponent": (lambda r: forge(r, Deviation(norm=("l1.ffn_norm", 0, 1))), {"norm.root"}),
    "a secret shift off by one": (lambda r: forge(r, Deviation(shift=("l1.up", 1))), {"up.shift"}),
    "a secret shift of y off by one": (lambda r: forge(r, Deviation(shift=("l0.y", -1))), {"y.shift", "y.power"}),
    "a quotient off by one": (lambda r: forge(r, Deviation(quotient=("l0.q", -1))), {"q.rest"}),
    "a residual that skips attention": (
        lambda r: forge(r, Deviation(residual={"l0.down": "embedded"})),
        {"down"},
    ),
    "a residual that skips a layer": (
        lambda r: forge(r, Deviation(residual={"l1.o": "embedded"})),
        {"o"},
    ),
    "attention over future tokens": (lambda r: forge(r, Deviation(sees_all="l1.scores")), {"mix"}),
}  # fmt: skip


@pytest.mark.parametrize("name", DEVIATIONS)
def test_a_deviation_is_found_by_the_check_meant_for_it(name: str, run: Run) -> None:
    """Nothing else is wrong: a build without these checks would accept the run."""
    how, expected = DEVIATIONS[name]
    found = how(run)
    assert set(run.wrong(found)) - OWN == expected


OF_LAYOUTS: dict[str, tuple[str, Callable[[Run], dict[str, Ints]], set[str]]] = {
    "a bias of q": ("qwen2", lambda r: forge(r, weights=flipped(r, "l1.q_bias", 1)), {"q"}),
    "a bias of the gate": ("qwen2", lambda r: forge(r, weights=flipped(r, "l0.gate_bias", 0)), {"gate"}),
    "a bias that is written": ("gpt2", lambda r: forge(r, weights=flipped(r, "l1.down_bias", 1)), {"down.bias"}),
    "another layer's bias": (
        "gpt2",
        lambda r: forge(r, weights=other_weights(r, **{"l1.o_bias": "l0.o_bias"})),
        {"o.bias"},
    ),
    "a bias of the logits": ("gpt2", lambda r: forge(r, weights=flipped(r, "head_bias", 2)), {"head"}),
    "another position": (
        "gpt2",
        lambda r: forge(r, weights={**r.weights, "positions": np.roll(r.weights["positions"], 1, axis=0)}),
        {"embed"},
    ),
    "positions of other steps": (
        "gpt2",
        lambda r: forge(r, weights={**r.weights, "positions.step": r.weights["positions.step"] + 1}),
        {"positions.shift"},
    ),
    "another activation": (
        "gpt2",
        lambda r: forge(r, program=other_program(r, activation="gelu_tanh")),
        {"active"},
    ),
    "another gain": ("qwen3", lambda r: forge(r, weights=flipped(r, "l1.q_gain", 0)), {"q_gained"}),
    "a gain at another step": (
        "qwen3",
        lambda r: forge(r, program=other_program(r, layers=(moved(r.facts.layers[0]), *r.facts.layers[1:])),
                        weights={**r.weights, "l0.k_gain.step": r.weights["l0.k_gain.step"] + 1}),
        {"k_gained"},
    ),
    "a head's norm of another head": (
        "qwen3",
        lambda r: forge(r, weights=other_weights(r, **{"l1.k": "l0.k"})),
        {"k"},
    ),
    "another gain before attention": (
        "gemma3", lambda r: forge(r, weights=flipped(r, "l1.attn_gain", 0)), {"gained", "gained.small"},
    ),
    "another gain before the head": (
        "gemma3", lambda r: forge(r, weights=flipped(r, "head_gain", 0)), {"gained", "gained.small"},
    ),
    "another gain behind the FFN": (
        "gemma3", lambda r: forge(r, weights=flipped(r, "l0.down_gain", 0)), {"branch.gained"},
    ),
    "another layer's gain behind attention": (
        "gemma3",
        lambda r: forge(r, weights=other_weights(r, **{"l1.o_gain": "l0.o_gain"})),
        {"branch.gained"},
    ),
    "layers that turn alike": (
        "gemma3",
        lambda r: forge(r, program=other_program(r, layers=turned(r.facts.layers, 10000))),
        {"q_turned", "k_turned"},
    ),
    "positions that are not divided": (
        "gemma3",
        lambda r: forge(r, program=other_program(r, layers=tuple(replace(x, stretch=1) for x in r.facts.layers))),
        {"q_turned", "k_turned"},
    ),
    "scores divided by something else": (
        "gemma3", lambda r: forge(r, program=other_program(r, score_square=12)), {"q_turned"},
    ),
    "another factor of the embedding": (
        "gemma3", lambda r: forge(r, program=other_program(r, embedding_square=50)), {"embed.power"},
    ),
    "rows of another embedding": (
        "gemma3",
        lambda r: forge(r, weights={**r.weights, "embed": np.roll(r.weights["embed"], 1, axis=0)}),
        {"embed.rows"},
    ),
    "a residual that skips an FFN": (
        "gemma3", lambda r: forge(r, Deviation(residual={"l1.o_added": "l0.o_added"})), {"added"},
    ),
    "a norm behind attention with a larger exponent": (
        "gemma3", lambda r: forge(r, Deviation(norm=("l1.o_norm", 0, 1))), {"branch.norm.root"},
    ),
}  # fmt: skip


def moved(layer: Any) -> Any:
    """The step of a gain one larger, at a unit one coarser, so that no shift changes but what is multiplied does."""
    return replace(layer, key_gain=layer.key_gain + 1)


@pytest.mark.parametrize("name", OF_LAYOUTS)
def test_a_deviation_in_another_layout(name: str) -> None:
    layout, how, expected = OF_LAYOUTS[name]
    run = of_layout(layout)
    assert set(run.wrong(how(run))) - OWN == expected


def test_a_step_of_a_gain_that_is_not_among_the_facts() -> None:
    run = of_layout("qwen3")
    weights = {**run.weights, "l0.q_gain.step": run.weights["l0.q_gain.step"] + 1}
    assert Checker(run.relations, run.found, weights).wrong() == ["q_gain.step"]
    uneven = {**run.weights, "l1.k_gain.step": run.weights["l1.k_gain.step"] + np.array([[0, 1]], np.int8)}
    assert Checker(run.relations, run.found, uneven).wrong() == ["k_gain.step"]


@pytest.mark.parametrize("larger", [1, -1])
def test_a_head_normed_with_another_exponent(larger: int) -> None:
    """4 times the mantissa and a smaller exponent, or the reverse: no table has such a mantissa."""
    run = of_layout("qwen3")
    found = {name: values.astype(np.int64) for name, values in run.found.items()}
    square = found["q_norm.m"] * found["q_norm.power"] + found["q_norm.rest"]
    e = found["q_norm.e"] + larger
    m = square >> (2 * e)
    changed = {
        "q_norm.e": e, "q_norm.bits": 2 * e, "q_norm.power": 1 << (2 * e), "q_norm.m": m,
        "q_norm.rest": square - (m << (2 * e)),
    }  # fmt: skip
    assert set(run.wrong(changed)) == {"q_norm.scale"}


def test_a_mantissa_too_small(run: Run) -> None:
    """ρ would not be below 4^e: its digit has no room in the digit of 4^e."""
    found = forge(run, Deviation(norm=("l1.ffn_norm", -1, 0)))
    wrong = set(run.wrong(found)) - OWN
    assert wrong and wrong <= {
        f"norm.{part}{start}" for start in (0, 10, 18, 28) for part in ("rho", "digit", "kappa")
    }


def test_claims_of_what_is_not_so(run: Run) -> None:
    logits = forger_logits(run, None)[0]
    worse = int(np.argsort(logits)[-2])
    tokens, gap = (worse, *run.claims.tokens[1:]), int(logits.max() - logits[worse])
    assert gap > 3
    false = replace(run, claims=Claims(run.claims.positions, tokens, run.claims.gaps, run.claims.odds))
    true = replace(run, claims=run.claimed(tokens, (gap, *run.claims.gaps[1:])))
    assert true.wrong() == []
    assert Checker(false.relations, true.found, run.weights).wrong() == [
        "head.gap"
    ]  # the odds differ by less
    lowered = {name: values.astype(np.int32) for name, values in true.found.items()}
    for name in ("head.distance", "head.claimed"):
        lowered[name][0] -= gap - 3
    assert set(Checker(false.relations, lowered, run.weights).wrong()) == {"head.odds"}
    moved = Claims((2, *run.claims.positions[1:]), run.claims.tokens, run.claims.gaps, run.claims.odds)
    assert Checker(replace(run, claims=moved).relations, run.found, run.weights).wrong() == ["head"]


def test_how_likely_tokens_are_is_claimed_too(run: Run) -> None:
    """One quarter less in all, or in one claim, or in a digit of one token, is seen."""
    claims = run.claims
    less = Claims(claims.positions, claims.tokens, claims.gaps, (claims.odds[0] - 1,))
    relations = replace(run, claims=less).relations
    assert Checker(relations, run.found, run.weights).wrong() == ["odds.total"]
    found = {name: run.found[name].astype(np.int64) for name in ("odds", "odds.high", "head.odds1")}
    found["odds"][0] -= 1
    assert Checker(relations, {**run.found, **found}, run.weights).wrong() == ["odds.high"]
    found["odds.high"][0] -= 1 << 10  # what the rounding of the sum would have to be
    assert Checker(relations, {**run.found, **found}, run.weights).wrong() == ["odds.high"]
    found["odds.high"][0] += 1 << 10
    found["head.odds1"].reshape(len(claims.tokens), -1)[0, claims.tokens[0]] -= 1 << 10
    assert Checker(relations, {**run.found, **found}, run.weights).wrong() == ["head.odds"]


@pytest.mark.parametrize("odds", [0, -1, 2 << 18])
def test_odds_that_there_are_not(odds: int, run: Run) -> None:
    claims = replace(run.claims, odds=(odds,))
    with pytest.raises(UsageError, match="odds"):
        relate(run.program, run.ids, claims, run.stack)


def test_odds_are_the_inverse_probability(run: Run) -> None:
    logits = forger_logits(run, None) * 2.0**-run.facts.logits
    shifted = logits - logits[np.arange(len(logits)), list(run.claims.tokens)][:, None]
    inverse = np.exp(shifted - np.array(run.claims.gaps)[:, None] * 2.0**-run.facts.logits).sum(axis=1)
    assert run.claims.odds == (int(np.ceil(inverse * 4).sum()),)


def test_digits_of_a_norm_and_their_carries(run: Run) -> None:
    found = {name: values.astype(np.int64) for name, values in run.found.items() if name.startswith("norm.")}
    found["norm.q0"][1, 0] += 1024
    found["norm.carry0.0"][1, 0] -= 1
    found["norm.q10"][1, 0] -= 1
    found["norm.kappa0"][1, 0] -= 1
    assert set(run.wrong(found)) <= {"norm.q0", "norm.kappa0", "norm.carry0.0", "norm.q10"}
    assert "norm.q0" in run.wrong(found)
    found = {name: values.astype(np.int64) for name, values in run.found.items() if name.startswith("norm.")}
    found["norm.carry0.0"][1, 0] += pow(1024, -1, 15 * 2**27 + 1)  # one more in the sum, mod p
    found["norm.q0"][1, 0] -= 1
    assert "norm.carry0.0" in run.wrong(found)


# statements that no relations are made for


@pytest.mark.parametrize(
    "positions,tokens,gaps",
    [
        ((), (), ()),
        ((1,), (2, 3), (0,)),
        ((4, 1), (2, 3), (0, 0)),
        ((1, 1), (2, 3), (0, 0)),
        ((-1,), (2,), (0,)),
        ((5,), (2,), (0,)),
        ((1,), (70,), (0,)),
        ((1,), (-1,), (0,)),
        ((1,), (2,), (-1,)),
        ((1,), (2,), (1 << 17,)),
    ],
)
def test_claims_about_what_is_not_there(positions: Any, tokens: Any, gaps: Any, run: Run) -> None:
    with pytest.raises(UsageError):
        relate(run.program, run.ids, Claims(positions, tokens, gaps, (5,)), run.stack)


@pytest.mark.parametrize("ids", [(1, 2, 3), (1, 2, 3, 4, 70), (1, 2, 3, 4, -2)])
def test_ids_that_are_not_there(ids: tuple[int, ...], run: Run) -> None:
    with pytest.raises(UsageError, match="token ids below"):
        relate(run.program, ids, run.claims, run.stack)
