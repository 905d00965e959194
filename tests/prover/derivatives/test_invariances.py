"""Every function-preserving rewrite keeps the outputs of a real forward pass, in float64, and is not idle."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
import transformers

from huref.common.errors import Unsupported, UsageError
from huref.prover.derivatives.binding import read_body, write_body
from huref.prover.derivatives.body import random_invertible, random_scales
from huref.prover.derivatives.compare import difference, outputs
from huref.prover.derivatives.invariances import ATTACKS, applicable, attack
from tests.support.tiny_models import FFN, HEADS, HIDDEN, LAYERS, VOCAB, random_model

EXACT = 1e-9
LLAMA_LIKE = ("llama", "qwen2", "gemma", "phi3")
NORMED = ("qwen3", "gemma2", "gemma3")
LAYER_NORM = ("gpt2", "gpt_neox", "gpt_neox-sequential", "opt", "bloom")
FAMILIES = (*LLAMA_LIKE, *NORMED, *LAYER_NORM, "bert", "bert-pooler")
EVERYWHERE = {"permute_hidden", "permute_neurons", "mix_values", "mix_queries"}
EXPECTED = {
    **dict.fromkeys(
        LLAMA_LIKE,
        EVERYWHERE | {"permute_heads", "rescale_neurons", "move_gains", "rotate_hidden", "scale_stream"},
    ),
    **dict.fromkeys(
        LAYER_NORM,
        EVERYWHERE
        | {"permute_heads", "move_gains", "rotate_hidden", "shift_writers", "shift_readers", "scale_stream"},
    ),
    **dict.fromkeys(
        NORMED,
        EVERYWHERE | {"permute_heads", "rescale_neurons", "move_gains", "scale_stream", "scale_normed"},
    ),
    "bert": EVERYWHERE | {"permute_heads", "shift_writers", "shift_readers"},
    "bert-pooler": EVERYWHERE | {"permute_heads", "shift_writers", "shift_readers", "scale_stream"},
}
EXPECTED["qwen3"] = EXPECTED["qwen3"] | {"rotate_hidden"}
EXPECTED["opt"] = EXPECTED["opt"] - {"scale_stream"} | {"rescale_neurons"}
EXPECTED["bloom"] = EXPECTED["bloom"] - {"permute_heads", "rotate_hidden"}
CASES = [(family, name) for family in FAMILIES for name in sorted(EXPECTED[family])]
IDS = torch.randint(3, VOCAB, (2, 17), generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny tensors: more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def model_of(family: str) -> Any:
    """A float64 model; eps is small where a rewrite is exact only up to it."""
    if family == "bert-pooler":
        config = transformers.BertConfig(
            vocab_size=VOCAB,
            hidden_size=HIDDEN,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            intermediate_size=FFN,
            layer_norm_eps=1e-3,
        )
        torch.manual_seed(0)
        model = transformers.BertModel(config)
        for parameter in model.parameters():
            parameter.data += 0.2 * torch.randn(parameter.shape)
        return model.eval().double()
    overrides = {"rms_norm_eps": 1e-12} if family in NORMED else {}
    return random_model(family, **overrides).double()


@cache
def outputs_of(family: str) -> torch.Tensor:
    return outputs(model_of(family), IDS)


def weights_moved(before: Any, after: Any) -> float:
    """Largest relative change among the tensors of the two state dicts."""
    old, new = before.state_dict(), after.state_dict()
    assert old.keys() == new.keys()
    return max(float((new[name] - old[name]).norm() / old[name].norm()) for name in old)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_list_of_attacks_is_complete(family: str) -> None:
    assert set(applicable(model_of(family))) == EXPECTED[family]


@pytest.mark.parametrize(("family", "name"), CASES)
def test_attack_keeps_outputs(family: str, name: str) -> None:
    model = model_of(family)
    attacked = attack(model, name, seed=3)
    assert weights_moved(model, attacked) > 0.1
    assert difference(outputs_of(family), outputs(attacked, IDS)) < EXACT


@pytest.mark.parametrize("family", FAMILIES)
def test_all_attacks_together_keep_outputs(family: str) -> None:
    attacked = attack(model_of(family), applicable(model_of(family)), seed=4)
    assert difference(outputs_of(family), outputs(attacked, IDS)) < EXACT


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "bloom", "opt"])
def test_badly_scaled_maps_keep_outputs(family: str) -> None:
    model = model_of(family)
    for name, strength in (
        ("mix_values", {"condition": 1e3}),
        ("mix_queries", {"condition": 1e3}),
        ("rescale_neurons", {"factor": 1e3}),
        ("move_gains", {"factor": 1e2}),
        ("shift_writers", {"strength": 30.0}),
    ):
        if name in applicable(model):
            attacked = attack(model, name, 5, **strength)
            assert weights_moved(model, attacked) > 1
            assert difference(outputs_of(family), outputs(attacked, IDS)) < 1e-8


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "gemma3"])
def test_outputs_depend_on_every_rewritten_part(family: str) -> None:
    """The comparison would notice a rewrite of only one side: here each part is disturbed alone."""
    model = model_of(family)
    for part in ("q", "v", "o", "up", "norm", "embedding"):
        body = read_body(model)
        block = body.blocks[0]
        if part == "norm":
            block.ffn_norm.gain = block.ffn_norm.gain * torch.linspace(0.9, 1.1, body.hidden)
        elif part == "embedding":
            body.embeddings[0] = body.embeddings[0] * torch.linspace(0.9, 1.1, body.hidden)
        else:
            linear = block.ffn.up if part == "up" else getattr(block.attention, part)
            linear.weight = linear.weight * torch.linspace(0.9, 1.1, linear.weight.shape[1])
        changed = attack(model, "permute_neurons", 0)
        write_body(changed, body)
        assert difference(outputs_of(family), outputs(changed, IDS)) > 1e-4, part


@pytest.mark.parametrize("family", FAMILIES)
def test_write_back_of_an_unchanged_body_is_exact(family: str) -> None:
    model = model_of(family)
    copy = attack(model, "permute_hidden", 0)
    write_body(copy, read_body(model))
    for name, tensor in model.state_dict().items():
        # Gemma's gain passes through 1+γ
        torch.testing.assert_close(copy.state_dict()[name], tensor, rtol=1e-12, atol=1e-12)


def test_tied_head_is_untied_only_when_needed(tmp_path: Any) -> None:
    tied = random_model("gpt2", tie_word_embeddings=True).double()
    assert tied.lm_head.weight is tied.transformer.wte.weight
    kept = attack(tied, "permute_hidden", 0)
    assert kept.lm_head.weight is kept.transformer.wte.weight
    untied = attack(tied, "move_gains", 0)
    assert untied.lm_head.weight is not untied.transformer.wte.weight
    assert tied.config.tie_word_embeddings and not untied.config.tie_word_embeddings
    untied.save_pretrained(tmp_path)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float64)
    again.config._attn_implementation = "eager"
    assert difference(outputs(tied, IDS), outputs(again, IDS)) < EXACT


def test_seeds_decide() -> None:
    model = model_of("llama")
    first, same, other = (attack(model, "mix_values", seed) for seed in (1, 1, 2))
    assert weights_moved(first, same) == 0
    assert weights_moved(first, other) > 0.1


def test_random_maps_have_the_asked_condition() -> None:
    generator = torch.Generator().manual_seed(0)
    assert float(torch.linalg.cond(random_invertible(16, 1e3, generator))) == pytest.approx(1e3)
    scales = random_scales(1000, 8.0, generator, signed=True)
    assert scales.abs().max() <= 8 and scales.abs().min() >= 1 / 8
    assert 400 < int((scales < 0).sum()) < 600


def test_refusals() -> None:
    with pytest.raises(UsageError, match="would change"):
        attack(model_of("gpt2"), "rescale_neurons", 0)
    with pytest.raises(UsageError, match="would change"):
        attack(model_of("llama"), "shift_writers", 0)
    with pytest.raises(UsageError, match="no attack"):
        attack(model_of("llama"), "nothing", 0)
    with pytest.raises(UsageError, match="single attack"):
        attack(model_of("llama"), ("mix_values", "mix_queries"), 0, condition=2.0)
    with pytest.raises(Unsupported, match="mpt"):
        applicable(random_model("mpt"))
    assert set(ATTACKS) == set().union(*EXPECTED.values())
