"""Checkpoints as people have them: wrapped, moved, half downloaded, with files and configs left over.

"Same" means that the shape, X and every tensor are those of the plain folder, bit for bit.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from huref.common.errors import HurefError, InputOutputError, Malformed, Unsupported, UsageError
from huref.prover.checkpoint.checkpoint import open_checkpoint
from huref.prover.checkpoint.families import open_model
from tests.support import tiny_models
from tests.support.same_model import assert_same

Tensors = dict[str, torch.Tensor]
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
POINTER = b"version https://git-lfs.example/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.build("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.build("llama", tmp_path_factory.mktemp("sharded"), max_shard_size="30KB")


@pytest.fixture
def copy(llama: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(llama, tmp_path / "copy"))


def rename(folder: Path, change: Callable[[str], str]) -> None:
    save_file({change(n): t for n, t in load_file(folder / WEIGHTS).items()}, folder / WEIGHTS)


def edit(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    config = {key: value for key, value in (config | changes).items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "change",
    [
        lambda name: f"_orig_mod.{name}",
        lambda name: f"module.{name}",
        lambda name: f"module._orig_mod.{name}",
        lambda name: f"base_model.model.{name}",
        lambda name: name.replace("model.layers", "model._orig_mod.layers"),
        lambda name: name.replace(".mlp.", "._checkpoint_wrapped_module.mlp."),
        lambda name: name.replace("model.", "model.text_model.", 1),
        lambda name: name.replace("model.", "language_model.", 1),
        lambda name: name.replace("model.", "model.language_model.", 1),
        lambda name: name.replace("model.", "llm.model.", 1),
        lambda name: name.removeprefix("model."),
    ],
)
def test_wrapped_names(change: Callable[[str], str], llama: Path, copy: Path) -> None:
    rename(copy, change)
    assert_same(open_model(copy), open_model(llama))


def test_a_name_twice_after_unwrapping_is_refused(copy: Path) -> None:
    tensors = load_file(copy / WEIGHTS)
    name = "model.layers.2.mlp.up_proj.weight"
    save_file({**tensors, f"module.{name}": tensors[name] + 1}, copy / WEIGHTS)
    with pytest.raises(Malformed, match="are the same tensor"):
        open_model(copy)


def test_a_vision_tower_beside_the_language_model(llama: Path, copy: Path) -> None:
    tensors = {
        f"model.text_model.{n.removeprefix('model.')}": t for n, t in load_file(copy / WEIGHTS).items()
    }
    tower = {
        f"model.vision_model.encoder.layers.{i}.self_attn.q_proj.weight": torch.ones(8, 8) for i in range(9)
    }
    save_file(tensors | tower, copy / WEIGHTS)
    assert_same(open_model(copy), open_model(llama))


def test_two_language_models_in_one_file(copy: Path) -> None:
    tensors = load_file(copy / WEIGHTS)
    inner = {n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")}
    both = {f"{side}.{n}": t.clone() for side in ("teacher", "student") for n, t in inner.items()}
    save_file(both, copy / WEIGHTS)
    with pytest.raises(Unsupported, match=r"2 language models in one file, under student\., teacher\."):
        open_model(copy)


@pytest.mark.parametrize("stated", [True, None])
def test_only_the_head_of_tied_embeddings(stated: bool | None, tmp_path: Path) -> None:
    """Some savers keep lm_head and drop the embedding; Gemma ties by default and may not say so."""
    folder = tiny_models.build("gemma" if stated is None else "llama", tmp_path, tie_word_embeddings=True)
    expected = open_model(shutil.copytree(folder, tmp_path / "plain"))
    rename(folder, lambda n: "lm_head.weight" if "embed_tokens" in n else n)
    edit(folder, tie_word_embeddings=True if stated else ...)
    assert_same(open_model(folder), expected)


def test_a_head_that_is_not_tied_is_no_embedding(copy: Path) -> None:
    tensors = {n: t for n, t in load_file(copy / WEIGHTS).items() if "embed_tokens" not in n}
    save_file(tensors, copy / WEIGHTS)
    with pytest.raises(Malformed, match=r"embed_tokens\.weight is missing"):
        open_model(copy)


def test_consolidated_weights(llama: Path, copy: Path) -> None:
    """Mistral's own form: other names, and rotary planes of neighbours."""
    names = {"q_proj": "wq", "k_proj": "wk", "v_proj": "wv", "o_proj": "wo"}
    names |= {"self_attn": "attention", "mlp": "feed_forward", "input_layernorm": "attention_norm"}
    names |= {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3", "post_attention_layernorm": "ffn_norm"}
    names |= {"embed_tokens": "tok_embeddings", "lm_head": "output"}
    stored = {}
    for name, tensor in load_file(copy / WEIGHTS).items():
        heads = 4 if "q_proj" in name else 2
        if "q_proj" in name or "k_proj" in name:
            tensor = tensor.view(heads, 2, 8, 64).transpose(1, 2).reshape(tensor.shape)
        stored[".".join(names.get(part, part) for part in name.removeprefix("model.").split("."))] = tensor
    save_file({n: t.contiguous() for n, t in stored.items()}, copy / "consolidated.safetensors")
    expected = open_model(llama)
    assert_same(open_model(copy), expected)  # model.safetensors is there too
    (copy / WEIGHTS).rename(copy / "other.safetensors")
    assert_same(open_model(copy), expected)
    (copy / "other.safetensors").unlink()
    edit(copy, model_type="mistral")
    assert_same(open_model(copy), expected)


@pytest.mark.parametrize("method", ["gptq", "bitsandbytes", "fp8", "compressed-tensors"])
def test_a_quantization_config_that_was_left_behind(method: str, llama: Path, copy: Path) -> None:
    edit(copy, quantization_config={"quant_method": method, "bits": 4, "load_in_4bit": True})
    assert_same(open_model(copy), open_model(llama))


def nested(folder: Path, text: dict[str, Any], **outer: Any) -> None:
    (folder / "config.json").write_text(json.dumps({"text_config": text, **outer}))


def test_a_text_config_without_the_defaults_of_its_class(tmp_path: Path) -> None:
    """llava-1.5 stores only what differs from LlamaConfig: hidden size, layers and heads come from elsewhere."""
    folder = tiny_models.build("llama", tmp_path, num_attention_heads=32, num_key_value_heads=32, head_dim=2)
    expected = open_model(folder).shape
    nested(folder, {"model_type": "llama", "vocab_size": 320}, model_type="llava")
    assert open_model(folder).shape == expected
    nested(folder, {"vocab_size": 320}, model_type="llava", tie_word_embeddings=False)
    assert open_model(folder).shape == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"num_attention_heads": 8},
        {"num_attention_heads": 8, "head_dim": ...},
        {"num_attention_heads": 8, "num_key_value_heads": ..., "head_dim": ...},
        {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": ...},
        {"num_key_value_heads": 4},
        {"head_dim": 32},
    ],
)
def test_heads_that_the_tensors_contradict(changes: dict[str, Any], copy: Path) -> None:
    edit(copy, **changes)
    with pytest.raises(Malformed, match=r"expected .* the config says"):
        open_model(copy)


EXTRA = [
    "model.layers.2.self_attn.q_norm.weight",
    "model.layers.0.self_attn.sinks",
    "model.layers.1.mlp.inner_norm.weight",
    "model.layers.2.mlp.router.weight",
]


@pytest.mark.parametrize("name", EXTRA)
def test_an_unknown_tensor_of_a_block_is_refused_by_name(name: str, copy: Path) -> None:
    save_file({**load_file(copy / WEIGHTS), name: torch.ones(16)}, copy / WEIGHTS)
    with pytest.raises(Unsupported) as caught:
        open_model(copy)
    assert name.split(".", 3)[3] in caught.value.message and caught.value.hint


def test_masks_and_tables_of_a_block_are_no_terms(llama: Path, copy: Path) -> None:
    extra = {
        f"model.layers.{i}.self_attn.{n}": torch.ones(16)
        for i in range(3)
        for n in ("masked_bias", "rotary_emb.inv_freq")
    }
    save_file({**load_file(copy / WEIGHTS), **extra}, copy / WEIGHTS)
    assert_same(open_model(copy), open_model(llama))


OTHER_LAYOUTS: dict[str, tuple[str, list[str], str]] = {
    "jina v2": (
        "bert",
        [
            f"encoder.layer.{{i}}.{n}.weight"
            for n in ("mlp.gated_layers", "mlp.wo", "mlp.layernorm", "attention.self.query")
        ],
        "mlp.gated_layers.weight",
    ),
    "jina v3": (
        "xlm-roberta",
        [
            f"roberta.encoder.layers.{{i}}.{n}.weight"
            for n in ("mixer.Wqkv", "mixer.out_proj", "mlp.fc1", "norm1")
        ],
        "mixer.Wqkv",
    ),
    "SantaCoder": (
        "gpt2",
        [
            f"transformer.h.{{i}}.{n}.weight"
            for n in ("attn.q_attn", "attn.kv_attn", "attn.c_proj", "mlp.c_fc", "ln_1")
        ],
        "attn.kv_attn.weight",
    ),
}


@pytest.mark.parametrize("name", OTHER_LAYOUTS)
def test_a_known_type_with_another_layout(name: str, tmp_path: Path) -> None:
    model_type, names, found = OTHER_LAYOUTS[name]
    embedding = {"bert": "embeddings.word_embeddings", "gpt2": "transformer.wte"}.get(
        model_type, "roberta.embeddings.word_embeddings"
    )
    tensors = {n.format(i=i): torch.ones(8, 8) for n in names for i in range(2)}
    save_file({f"{embedding}.weight": torch.ones(20, 8), **tensors}, tmp_path / WEIGHTS)
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type, **sizes}))
    with pytest.raises(Unsupported, match=r"has another layout: found .*; expected ") as caught:
        open_model(tmp_path)
    assert found in caught.value.message and repr(model_type) in caught.value.message


def test_refused_types_say_what_differs(copy: Path) -> None:
    edit(copy, model_type="mamba2")
    with pytest.raises(Unsupported, match="mamba2 models are not read: its layers are state-space blocks"):
        open_model(copy)


def test_a_shard_stands_for_all_that_its_index_names(llama: Path, sharded: Path) -> None:
    shard = sorted(sharded.glob("model-*.safetensors"))[2]
    assert_same(open_model(shard), open_model(llama))
    assert_same(open_model(sharded / INDEX), open_model(llama))


def test_a_missing_shard_matters_only_to_those_who_read_it(sharded: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sharded, tmp_path / "copy"))
    homes = json.loads((folder / INDEX).read_text())["weight_map"]
    name = "model.layers.0.mlp.up_proj.weight"
    (folder / homes[name]).unlink()
    model, whole = open_model(folder), open_model(sharded)
    np.testing.assert_array_equal(model.layer(2).q, whole.layer(2).q)
    with pytest.raises(
        InputOutputError, match=f"the shard is missing, though the index names it for tensor {name}"
    ):
        model.layer(0)
    needed = "model.embed_tokens.weight"
    (folder / homes[needed]).unlink()
    with pytest.raises(InputOutputError, match=f"the shard is missing.*{needed}"):
        open_model(folder)


def test_an_index_may_name_tensors_that_nobody_needs(sharded: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sharded, tmp_path / "copy"))
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"] |= {"vision.x": "gone.safetensors", "y": min(index["weight_map"].values())}
    (folder / INDEX).write_text(json.dumps(index))
    assert_same(open_model(folder), open_model(sharded))


def hub_cache(folder: Path, source: Path) -> tuple[Path, Path]:
    """A hub client's cache, blobs under their hashes and links to them: snapshot and repository."""
    repository = folder / "models--owner--name"
    snapshot = repository / "snapshots" / "0123abcd"
    (repository / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(source.iterdir())):
        shutil.copy(file, repository / "blobs" / f"{number:064x}")
        (snapshot / file.name).symlink_to(f"../../blobs/{number:064x}")
    return snapshot, repository


def test_hub_caches(llama: Path, tmp_path: Path) -> None:
    snapshot, repository = hub_cache(tmp_path, llama)
    assert_same(open_model(snapshot), open_model(llama))
    assert_same(open_model(snapshot / WEIGHTS), open_model(llama))
    with pytest.raises(InputOutputError, match="no checkpoint here") as caught:
        open_model(repository)
    assert caught.value.hint == f"did you mean {snapshot}?"
    for above in (snapshot.parent, tmp_path):
        with pytest.raises(InputOutputError, match="no checkpoint here") as caught:
            open_model(above)
        assert caught.value.hint == f"did you mean {snapshot}?"
    blob = (snapshot / WEIGHTS).resolve()
    with pytest.raises(InputOutputError, match=r"no config\.json") as caught:
        open_model(blob)
    assert caught.value.hint is not None and "snapshots/" in caught.value.hint
    blob.unlink()
    with pytest.raises(InputOutputError, match="a link to a file that is not there"):
        open_checkpoint(snapshot / WEIGHTS)


def test_the_image_side_of_a_gguf_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "mmproj-model-f16.gguf").write_bytes(b"GGUF")
    (tmp_path / "model-Q4.gguf").write_bytes(b"GGUF")
    with pytest.raises(Malformed, match="model-Q4"):
        open_checkpoint(tmp_path)


def test_a_name_on_a_hub_is_no_path() -> None:
    with pytest.raises(InputOutputError, match="no such file") as caught:
        open_checkpoint("owner/model")
    assert caught.value.hint is not None and "hf://owner/model" in caught.value.hint


def test_magic_bytes_tell_the_format(llama: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(llama, tmp_path / "copy"))
    (folder / WEIGHTS).rename(folder / "weights.bin")
    assert_same(open_model(folder / "weights.bin"), open_model(llama))
    (folder / "model.gguf").write_bytes(b"PK\x03\x04" + bytes(60))
    with pytest.raises(Unsupported, match="pickled"):
        open_checkpoint(folder / "model.gguf")


@pytest.mark.parametrize("file", [WEIGHTS, "config.json", "model.gguf", "blob", INDEX])
def test_git_lfs_pointers(file: str, copy: Path) -> None:
    given = copy / file if file in ("model.gguf", "blob") else copy
    if file == INDEX:
        (copy / WEIGHTS).rename(copy / "model-00001-of-00002.safetensors")
        shutil.copy(copy / "model-00001-of-00002.safetensors", copy / "model-00002-of-00002.safetensors")
    (copy / file).write_bytes(POINTER)
    with pytest.raises(Malformed, match="a Git LFS pointer") as caught:
        open_model(given)
    assert caught.value.hint is not None and "git lfs pull" in caught.value.hint
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("other", ["model-a.safetensors", "model-b.safetensors"])
def test_nameless_shards_are_still_refused(other: str, copy: Path) -> None:
    (copy / WEIGHTS).rename(copy / "x.safetensors")
    shutil.copy(copy / "x.safetensors", copy / other)
    with pytest.raises(UsageError, match="2 safetensors files"):
        open_model(copy)


def test_errors_are_one_line(copy: Path) -> None:
    rename(copy, lambda name: name.replace("mlp", "ffn"))
    with pytest.raises(HurefError) as caught:
        open_model(copy)
    assert "\n" not in caught.value.message
