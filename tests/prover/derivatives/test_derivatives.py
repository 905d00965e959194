"""Derivatives do what their names say, are decided by their seed, and are saved as readable checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np
import pytest
import torch

from huref.common.errors import InputOutputError, Unsupported, UsageError
from huref.prover.checkpoint.families import open_model
from huref.prover.demo.checkpoints import find
from huref.prover.derivatives import derivatives as d
from huref.prover.derivatives.binding import read_body
from huref.prover.derivatives.catalogue import DERIVATIVES, derive
from huref.prover.derivatives.compare import difference, outputs
from huref.prover.derivatives.finetune import fine_tune
from huref.prover.derivatives.invariances import applicable, rewrite_in_place
from huref.prover.derivatives.store import (
    keep_layers,
    load_minilm_model,
    load_model,
    load_smollm2_model,
    save_model,
)
from huref.prover.vocabulary.tokenizer import Vocabulary
from huref.prover.vocabulary.tokens import load_vocabulary
from tests.support.tiny_models import LAYERS, VOCAB, random_model

IDS = torch.randint(3, VOCAB, (2, 17), generator=torch.Generator().manual_seed(1))


def encode(text: str) -> list[int]:
    return [3 + byte % (VOCAB - 3) for byte in text.encode()]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny tensors: more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def llama() -> Any:
    return random_model("llama")


@pytest.fixture(scope="module", params=["llama", "gpt2", "bert"])
def model(request: pytest.FixtureRequest) -> Any:
    return random_model(request.param)


def loaded(source: Path) -> Vocabulary:
    vocabulary = load_vocabulary(source)
    assert vocabulary is not None
    return vocabulary


def cosine(a: Any, b: Any) -> float:
    """Cosine of all shared parameters."""
    first, second = (torch.cat([p.detach().double().flatten() for p in m.parameters()]) for m in (a, b))
    return float(torch.dot(first, second) / (first.norm() * second.norm()))


@pytest.mark.parametrize("fraction", [0.1, 0.3])
def test_noise_has_the_asked_size(model: Any, fraction: float) -> None:
    noisy = d.add_noise(model, 0, fraction)
    old = dict(model.named_parameters())
    for name, new in noisy.named_parameters():
        if new.numel() >= 4096:
            change = (new - old[name]).detach().std() / old[name].detach().std()
            assert float(change) == pytest.approx(fraction, rel=0.1)


@pytest.mark.parametrize("fraction", [0.2, 0.5])
def test_magnitude_pruning_zeroes_the_smallest(model: Any, fraction: float) -> None:
    pruned = d.prune_magnitude(model, fraction)
    old = dict(model.named_parameters())
    for name, new in pruned.named_parameters():
        if new.ndim == 2:
            gone = new == 0
            assert float(gone.float().mean()) == pytest.approx(fraction, abs=0.01)
            assert float(old[name][gone].abs().max()) <= float(old[name][~gone].abs().min())
            assert torch.equal(new[~gone], old[name][~gone])
        else:
            assert torch.equal(new, old[name])


def test_usual_pruning_leaves_embeddings_and_head_alone(model: Any) -> None:
    pruned = dict(d.prune_magnitude(model, 0.5, embeddings=False).named_parameters())
    spared = [module.weight for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    head = model.get_output_embeddings()
    spared += [] if head is None else [head.weight]
    zeros = 0
    for name, old in model.named_parameters():
        if old.ndim != 2 or any(old is values for values in spared):
            assert torch.equal(pruned[name], old), name
        else:
            zeros += 1
            assert float((pruned[name] == 0).float().mean()) == pytest.approx(0.5, abs=0.01), name
    assert zeros > 0


def test_quantization_error_is_below_half_a_step(llama: Any) -> None:
    eight, four = d.quantize_int8(llama), d.quantize_int4(llama)
    for name, old in llama.named_parameters():
        if old.ndim != 2:
            continue
        step = old.abs().amax(dim=1, keepdim=True) / 127
        new = dict(eight.named_parameters())[name]
        assert bool(((new - old).abs() <= step * 0.5001).all())
        assert len(torch.unique(new[0])) <= 255
        blocks = dict(four.named_parameters())[name][0].reshape(-1, 32) if old.shape[1] % 32 == 0 else None
        if blocks is not None:
            assert all(len(torch.unique(block)) <= 15 for block in blocks)
    assert 0.95 < cosine(llama, four) < cosine(llama, eight) < 1


def test_zeroing_and_removing_heads_give_the_same_function(llama: Any) -> None:
    zeroed, removed = d.prune_heads(llama, 0.5), d.prune_heads(llama, 0.5, remove=True)
    assert removed.config.num_key_value_heads == 1 and removed.config.num_attention_heads == 2
    assert removed.model.layers[0].self_attn.q_proj.weight.shape[0] == 2 * removed.config.head_dim
    assert difference(outputs(zeroed, IDS), outputs(removed, IDS)) < 1e-5
    assert difference(outputs(llama, IDS), outputs(zeroed, IDS)) > 1e-2


@pytest.mark.parametrize("family", ["llama", "phi3", "gpt2", "opt", "bert"])
def test_zeroing_and_removing_neurons_give_the_same_function(family: str) -> None:
    model = random_model(family)
    zeroed, removed = d.prune_neurons(model, 0.25), d.prune_neurons(model, 0.25, remove=True)
    assert read_body(removed).blocks[0].ffn.up.weight.shape[0] == 66
    assert difference(outputs(zeroed, IDS), outputs(removed, IDS)) < 1e-5
    assert difference(outputs(model, IDS), outputs(zeroed, IDS)) > 1e-2


def test_head_pruning_drops_the_least_important(llama: Any) -> None:
    body = read_body(llama)
    kept = read_body(d.prune_heads(llama, 0.5)).blocks[0].attention.v.weight.reshape(2, -1)
    v = body.blocks[0].attention.v.weight.reshape(2, -1).norm(dim=1)
    o = body.blocks[0].attention.o.weight.reshape(64, 2, -1).norm(dim=(0, 2))
    best = int((v * o).argmax())
    assert bool(kept[best].any()) and not bool(kept[1 - best].any())


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "gemma3"])
def test_layers_dropped(family: str) -> None:
    model = random_model(family)
    dropped = d.drop_layers(model, [1])
    assert dropped.config.num_hidden_layers == LAYERS - 1
    old, new = read_body(model), read_body(dropped)
    assert torch.equal(new.blocks[1].attention.q.weight, old.blocks[2].attention.q.weight)
    assert torch.equal(new.embeddings[0], old.embeddings[0])
    assert difference(outputs(model, IDS), outputs(dropped, IDS)) > 1e-2
    everything = keep_layers(model, list(range(LAYERS)))
    assert difference(outputs(model, IDS), outputs(everything, IDS)) < 1e-6


def test_row_surgery_touches_few_rows(llama: Any) -> None:
    changed = d.replace_rows(llama, 0, fraction=0.02, tokens=[5, 7])
    rows = (read_body(changed).embeddings[0] != read_body(llama).embeddings[0]).any(1)
    assert rows.nonzero().flatten().tolist() == [5, 7]
    up = read_body(changed).blocks[0].ffn.up.weight != read_body(llama).blocks[0].ffn.up.weight
    assert int(up.any(1).sum()) == 2


def test_row_surgery_keeps_a_tied_head_tied() -> None:
    tied = random_model("gpt2", tie_word_embeddings=True)
    changed = d.replace_rows(tied, 0)
    assert changed.lm_head.weight is changed.transformer.wte.weight
    assert not torch.equal(changed.lm_head.weight, tied.lm_head.weight)


def test_merge_is_the_weighted_mean(llama: Any) -> None:
    other = d.add_noise(llama, 1, 0.5)
    merged = d.merge(llama, other, 0.25)
    name = "model.layers.0.mlp.up_proj.weight"
    a, b, m = (dict(x.named_parameters())[name] for x in (llama, other, merged))
    torch.testing.assert_close(m, 0.25 * a + 0.75 * b)
    with pytest.raises(UsageError, match="same tensors"):
        d.merge(llama, d.prune_neurons(llama, 0.5, remove=True))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("rank", [None, 4])
def test_fine_tuning_learns(family: str, rank: int | None) -> None:
    model = random_model(family)
    before = {name: p.clone() for name, p in model.named_parameters()}
    tuned, losses = fine_tune(
        model, encode, 0, steps=20, learning_rate=3e-3, length=24, batch=8, lora_rank=rank
    )
    assert np.mean(losses[-4:]) < 0.95 * np.mean(losses[:4])
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert tuned.state_dict().keys() == model.state_dict().keys()
    new = read_body(tuned)
    change = new.blocks[0].ffn.up.weight - read_body(model).blocks[0].ffn.up.weight
    values = torch.linalg.svdvals(change)
    assert values[0] > 1e-4
    if rank:
        assert values[rank] < 1e-4 * values[0]
        assert torch.equal(new.embeddings[0], read_body(model).embeddings[0])


def test_every_derivative_is_decided_by_its_seed(tmp_path: Path, llama: Any) -> None:
    letters = list(ascii_lowercase)
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    source = save_model(llama, tmp_path / "source")
    (source / "vocab.txt").write_text("\n".join(vocab), encoding="utf-8")
    digest = loaded(source).digest
    random = {"noise-10", "noise-30", "rows-replaced", "fine-tuned", "lora", "merged"}
    for name in DERIVATIVES:
        folders = [derive(source, name, tmp_path / f"{name}-{i}", seed) for i, seed in enumerate((1, 1, 2))]
        blobs = [(folder / "model.safetensors").read_bytes() for folder in folders]
        assert blobs[0] == blobs[1], name
        assert (blobs[0] != blobs[2]) == (name in random), name
        assert blobs[0] != (source / "model.safetensors").read_bytes(), name
        derived = open_model(folders[0])
        assert derived.shape.hidden == 64
        assert np.isfinite(derived.layer(derived.shape.layers - 1).up).all()
        assert loaded(folders[0]).digest == digest


def test_save_and_load_keep_the_function(tmp_path: Path, model: Any) -> None:
    folder = save_model(model, tmp_path / "saved")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["saved"]
    assert difference(outputs(model, IDS), outputs(load_model(folder), IDS)) < 1e-6
    with pytest.raises(InputOutputError, match="exists already"):
        save_model(model, folder)


def test_a_failed_save_leaves_nothing(tmp_path: Path, llama: Any) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "tokenizer.json").write_text("{}")
    with pytest.raises(InputOutputError):
        save_model(llama, tmp_path / "out", tokenizer_from=tmp_path / "missing")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken"]


def test_refusals(tmp_path: Path, llama: Any) -> None:
    gpt2 = random_model("gpt2")
    with pytest.raises(UsageError, match="head size"):
        d.prune_heads(gpt2, 0.25, remove=True)
    with pytest.raises(UsageError, match="single kv head"):
        d.prune_heads(random_model("llama", num_key_value_heads=1), 0.25)
    with pytest.raises(UsageError, match=r"fraction 1\.5"):
        d.prune_magnitude(llama, 1.5)
    with pytest.raises(UsageError, match="of a model with 3"):
        d.drop_layers(llama, [3])
    with pytest.raises(UsageError, match="of a model with 3"):
        d.drop_layers(llama, [0, 1, 2])
    with pytest.raises(UsageError, match="no derivative"):
        derive(tmp_path, "nothing", tmp_path / "out")
    with pytest.raises(InputOutputError, match="not a Hugging Face folder"):
        load_model(tmp_path)
    config = save_model(llama, tmp_path / "odd") / "config.json"
    config.write_text(config.read_text().replace("LlamaForCausalLM", "OddForCausalLM"))
    with pytest.raises(Unsupported, match="OddForCausalLM"):
        load_model(tmp_path / "odd")


def test_minilm_attacked_and_tuned() -> None:
    model = load_minilm_model()
    ids = torch.tensor([[101, 1996, 3007, 1997, 2605, 2003, 3000, 102]])
    before = outputs(model, ids)
    tokenizer = loaded(find("minilm")).tokenizer

    def pieces(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    tuned, losses = fine_tune(model, pieces, 0, steps=4, learning_rate=2e-4)
    assert losses[-1] < losses[0]
    assert 0.9 < cosine(model, tuned) < 1
    rewrite_in_place(model, applicable(model), 0)
    assert difference(before, outputs(model, ids)) < 1e-4


@pytest.mark.slow
def test_smollm2_runs_and_survives_attacks() -> None:
    model = load_smollm2_model()
    text = "The capital of France is Paris, and the capital of Germany is Berlin."
    ids = torch.tensor([loaded(find("smollm2")).tokenizer.encode(text, add_special_tokens=False).ids])
    before = outputs(model, ids)
    perplexity = float(torch.nn.functional.cross_entropy(before[0, :-1], ids[0, 1:]).exp())
    assert perplexity < 12
    wrong = keep_layers(model, list(range(30)))
    for layer in wrong.model.layers:  # with planes left interleaved, as a GGUF file has them
        weight = layer.self_attn.q_proj.weight.data
        weight.copy_(weight.view(9, 2, 32, 576).transpose(1, 2).reshape(576, 576))
    misread = outputs(wrong, ids)
    assert float(torch.nn.functional.cross_entropy(misread[0, :-1], ids[0, 1:]).exp()) > 5 * perplexity
    del wrong
    model = keep_layers(model, [0, 28, 29])
    before = outputs(model, ids)
    rewrite_in_place(model, applicable(model), 0)
    assert difference(before, outputs(model, ids)) < 1e-3
