"""The inference program on tiny models: both executors, the real class's logits, causality, refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference.evaluate import Weights, run_inference
from huref.circuits.inference.facts import Facts
from huref.circuits.inference.sites import InferenceProgram
from huref.circuits.inference.trace import InferenceTrace
from huref.common.errors import ProverError, UsageError
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import Model, open_model
from huref.prover.run.inference.calibrate import calibrate
from huref.prover.run.inference.executor import execute_inference
from huref.prover.run.inference.products import OwnProducts
from huref.prover.run.inference.settings import Settings, read_settings
from huref.prover.run.inference.weights import integer_weights
from tests.support import tiny_models
from tests.support.shapes import all_shifts
from tests.support.whole_models import load_integers

TOKENS = 29


@dataclass
class Ready:
    """A tiny model with its integers, units, program and a run."""

    real: Any
    model: Model
    weights: Weights
    facts: Facts
    program: InferenceProgram
    ids: list[int]
    trace: InferenceTrace


def make(
    folder: Path, family: str = "llama", change: Callable[[Any], None] = lambda _: None, **overrides: Any
) -> Ready:
    real = tiny_models.random_model(family, **overrides)
    with torch.no_grad():
        change(real)
    real.save_pretrained(folder)
    model = open_model(folder)
    weights = integer_weights(whole_model(model))
    rng = np.random.default_rng(5)
    texts = [rng.integers(0, model.vocab, 40).tolist() for _ in range(3)]
    facts = calibrate(model.shape, read_settings(model), weights, texts)
    program = compile_inference(model.shape, facts, TOKENS)
    ids = rng.integers(0, model.vocab, TOKENS).tolist()
    return Ready(real, model, weights, facts, program, ids, execute_inference(program, weights, ids))


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    return make(tmp_path_factory.mktemp("inference"))


def same(one: InferenceTrace, other: InferenceTrace) -> None:
    for part in ("values", "octaves", "totals", "scalars"):
        a, b = getattr(one, part), getattr(other, part)
        assert list(a) == list(b)
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_both_executors_agree_bit_for_bit(ready: Ready) -> None:
    same(run_inference(ready.program, ready.weights, ready.ids), ready.trace)


@pytest.mark.parametrize(
    "overrides",
    [
        {"tie_word_embeddings": True, "num_key_value_heads": 4},
        {"head_dim": 24, "num_key_value_heads": 1, "intermediate_size": 200},
        {"hidden_size": 80, "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
    ],
)
def test_other_sizes(overrides: dict[str, Any], tmp_path: Path) -> None:
    made = make(tmp_path, **overrides)
    same(run_inference(made.program, made.weights, made.ids), made.trace)
    close_to_float(made)


def close_to_float(made: Ready) -> None:
    """The program's logits are those of its own integers in float, to a hundredth of their spread."""
    integers = {rounded.name: rounded for rounded in whole_model(made.model)}
    with torch.no_grad():
        expected = load_integers(made.real, integers)(torch.tensor([made.ids])).logits[0].numpy()
    found = made.trace.values["head"] / 2.0**made.facts.logits
    assert np.std(found - expected) < 0.01 * np.std(expected)
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.95


def test_logits_are_those_of_the_integers_in_float(ready: Ready) -> None:
    close_to_float(ready)


_TWO_KINDS = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama with biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "a window": ("mistral", {"sliding_window": 32}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {}),
    "qwen3 with biases": ("qwen3", {"attention_bias": True, "head_dim": 16}),
    "phi3": ("phi3", {}),
    "part of a head turned": (
        "phi3",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}},
    ),
    "positions divided": (
        "llama",
        {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}},
    ),
    "gemma": ("gemma", {}),
    "gemma2 without caps": ("gemma2", {"final_logit_softcapping": None, "sliding_window": 48}),
    "gemma2": (
        "gemma2",
        {"attn_logit_softcapping": 1.0, "final_logit_softcapping": 2.0, "query_pre_attn_scalar": 4},
    ),
    "vaultgemma": (
        "vaultgemma",
        {"attn_logit_softcapping": 1.0, "final_logit_softcapping": 2.0, "query_pre_attn_scalar": 4},
    ),
    "gemma3 with capped logits": ("gemma3", {"final_logit_softcapping": 2.0}),
    "gemma3": (
        "gemma3",
        {
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "sliding_window": 48,
            "rope_parameters": _TWO_KINDS,
        },
    ),
    "gemma3, another width and divisor": ("gemma3", {"hidden_size": 88, "query_pre_attn_scalar": 40}),
    "gpt2": ("gpt2", {}),
    "gpt2 with another activation": ("gpt2", {"activation_function": "gelu", "tie_word_embeddings": False}),
}


@pytest.mark.parametrize("case", FAMILIES)
def test_logits_of_other_layouts_are_those_of_the_real_class(case: str, tmp_path: Path) -> None:
    """To what eight bits leave of random weights; parts that are left out would show at once."""
    family, overrides = FAMILIES[case]
    made = make(tmp_path, family, **overrides)
    same(run_inference(made.program, made.weights, made.ids), made.trace)
    found = made.trace.values[made.program.logits] / 2.0**made.facts.logits
    expected = logits_of(made.real, made.ids)
    assert np.std(found - expected) < 0.06 * np.std(expected)
    for cap in ("score_cap", "logit_cap"):  # both bite
        if getattr(made.facts, cap):
            program = compile_inference(made.model.shape, replace(made.facts, **{cap: 0}), TOKENS)
            trace = execute_inference(program, made.weights, made.ids)
            other = trace.values[program.logits] / 2.0**made.facts.logits
            assert np.std(other - expected) > 0.2 * np.std(expected)


def test_the_epsilon_of_a_norm_behind_what_is_brought_to_one_size(tmp_path: Path) -> None:
    """Writers so small that ε counts; how small they were is known from the checkpoint alone."""
    real = tiny_models.random_model("gemma3")
    with torch.no_grad():
        for layer in real.model.layers:
            layer.self_attn.o_proj.weight *= 2e-4
            layer.mlp.down_proj.weight *= 3e-5
    real.save_pretrained(tmp_path)
    model = open_model(tmp_path)
    weights, rng = integer_weights(whole_model(model)), np.random.default_rng(5)
    texts = [rng.integers(0, model.vocab, 40).tolist() for _ in range(3)]
    ids, errors = texts[0][:TOKENS], []
    expected = logits_of(real, ids)
    for own in (OwnProducts(model), None):
        facts = calibrate(model.shape, read_settings(model), weights, texts, own=own)
        trace = execute_inference(compile_inference(model.shape, facts, TOKENS), weights, ids)
        errors.append(np.std(trace.values["head"] / 2.0**facts.logits - expected) / np.std(expected))
    assert errors[0] < 0.06 < 0.3 < errors[1]


def logits_of(real: Any, ids: list[int]) -> Any:
    with torch.no_grad():
        return real(torch.tensor([ids])).logits[0].numpy()


def test_more_tokens_than_a_window_or_than_positions(tmp_path: Path) -> None:
    seen = make(tmp_path / "window", "mistral", sliding_window=32)
    assert seen.facts.window == 32
    with pytest.raises(UsageError, match="at most the model's 32 tokens that attention sees, not 33"):
        compile_inference(seen.model.shape, seen.facts, 33)
    learned = make(tmp_path / "positions", "gpt2")
    compile_inference(learned.model.shape, learned.facts, 64)
    with pytest.raises(UsageError, match="at most the model's 64 positions, not 65"):
        compile_inference(learned.model.shape, learned.facts, 65)


def test_a_token_sees_only_what_came_before(ready: Ready) -> None:
    other = list(ready.ids)
    other[20] = (other[20] + 1) % ready.model.vocab
    changed = execute_inference(ready.program, ready.weights, other)
    same_rows = (changed.values["head"] == ready.trace.values["head"]).all(axis=1)
    assert same_rows[:20].all() and not same_rows[20]
    short = execute_inference(replace(ready.program, lengths=(7,)), ready.weights, ready.ids[:7])
    np.testing.assert_array_equal(short.values["head"], ready.trace.values["head"][:7])


def test_what_the_trace_notes_is_what_the_sites_say(ready: Ready) -> None:
    trace = ready.trace
    for name, total in trace.totals.items():
        assert (total < 1 << 17).all() and (total >= (1 << 16) - TOKENS).all()
        np.testing.assert_array_equal(trace.values[name].sum(axis=2), total)
        assert not np.triu(trace.values[name], 1).any()
    for site in ready.program.sites:
        if site.name in trace.scalars:
            m, e = trace.scalars[site.name].T
            r = trace.values[site.source]  # type: ignore[union-attr]
            squares = (r * r).sum(axis=1) + site.constant  # type: ignore[union-attr]
            assert ((m >> 12 == 1) | (m >> 13 == 1)).all()
            assert (m << (2 * e) <= squares).all() and (squares < (m + 1) << (2 * e)).all()
            n = trace.values[site.name].astype(float)
            assert np.sqrt((n * n).sum(axis=1)).max() <= 514 * np.sqrt(ready.model.shape.hidden)


def test_a_value_outside_its_range_has_no_proof(ready: Ready) -> None:
    layer = replace(ready.facts.layers[1], mixed=ready.facts.layers[1].mixed + 6)
    facts = replace(
        ready.facts, layers=(ready.facts.layers[0], layer, *ready.facts.layers[2:]), shifts=all_shifts(0, 20)
    )
    program = compile_inference(ready.model.shape, facts, TOKENS)
    for run in (run_inference, execute_inference):
        with pytest.raises(ProverError, match=r"l1\.y: a value does not fit its limbs") as refused:
            run(program, ready.weights, ready.ids)
        assert "has no proof under this commitment" in str(refused.value.hint)
    narrow = compile_inference(ready.model.shape, replace(ready.facts, shifts=all_shifts(8, 9)), TOKENS)
    with pytest.raises(ProverError, match=r"a secret shift is outside 8\.\.9"):
        execute_inference(narrow, ready.weights, ready.ids)


def test_ids_must_fit(ready: Ready) -> None:
    for ids in (ready.ids[:-1], [*ready.ids[:-1], ready.model.vocab], [*ready.ids[:-1], -1]):
        with pytest.raises(UsageError, match="token ids"):
            execute_inference(ready.program, ready.weights, ids)


def test_scores_too_large_for_a_cap_have_no_proof(tmp_path: Path) -> None:
    """Beyond 2^10 octaves; the class caps them all alike."""
    with pytest.raises(ProverError, match=r"l1\.scores: scores too large to be capped"):
        make(
            tmp_path,
            "gemma2",
            lambda real: real.model.layers[1].self_attn.q_proj.weight.mul_(2000),
            attn_logit_softcapping=1.0,
        )


def test_settings_of_a_checkpoint(ready: Ready) -> None:
    assert read_settings(ready.model) == Settings.alike(ready.model.shape, "silu", "1e-06")
