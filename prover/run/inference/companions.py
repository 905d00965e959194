"""What a served checkpoint needs beside its weights, from the committed one: tokenizer, ids of special tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huref.prover.checkpoint.formats.base import Checkpoint
from huref.prover.checkpoint.formats.gguf_reader import GgufCheckpoint
from huref.prover.checkpoint.formats.partial import ready_whole
from huref.prover.vocabulary.gguf_tokenizer import gguf_vocabulary

_FILES = (
    *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json", "merges.txt", "generation_config.json"),
    *("chat_template.jinja", "chat_template.json"),
)
_MARKS = ("bos_token_id", "eos_token_id", "pad_token_id")
_KEPT = ("max_position_embeddings", *_MARKS)


def kept_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """The longest text and the ids of special tokens, as the checkpoint's config has them."""
    if isinstance(checkpoint, GgufCheckpoint):
        metadata = checkpoint.metadata
        places = {"max_position_embeddings": f"{metadata['general.architecture']}.context_length"}
        places |= {name: f"tokenizer.ggml.{name.replace('pad_', 'padding_')}" for name in _MARKS}
        found = {name: metadata.get(place) for name, place in places.items()}
    else:
        found = {name: checkpoint.config.get(name) for name in _KEPT}
    return {name: value for name, value in found.items() if _is_id(value)}


def _is_id(value: Any) -> bool:
    """An integer, or the several ids that some models end a text with."""
    return type(value) is int or (isinstance(value, list) and all(type(i) is int for i in value))


def copy_companions(checkpoint: Checkpoint, folder: Path) -> list[str]:
    """Copy tokenizer and generation files; names of what was written. A GGUF file's tokenizer becomes a tokenizer.json.

    Raises:
        OSError: a file cannot be read or written. Malformed, Unsupported: the tokenizer inside a GGUF file is not
            understood.
    """
    vocabulary = gguf_vocabulary(checkpoint.tokenizer_metadata())
    if vocabulary is not None:
        vocabulary.tokenizer.save(str(folder / "tokenizer.json"))
        config = {"tokenizer_class": "PreTrainedTokenizerFast", **_told(checkpoint.tokenizer_metadata())}
        (folder / "tokenizer_config.json").write_text(json.dumps(config) + "\n", encoding="utf-8")
        return ["tokenizer.json", "tokenizer_config.json"]
    beside = checkpoint.path if checkpoint.path.is_dir() else checkpoint.path.parent
    names = [name for name in _FILES if (beside / name).is_file()]
    for name in names:
        (folder / name).write_bytes(ready_whole(beside / name).read_bytes())
    return names


def _told(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Special tokens and the chat template, as a GGUF file's metadata has them."""
    tokens = metadata["tokenizer.ggml.tokens"]
    found = {}
    for theirs, ours in (("bos", "bos"), ("eos", "eos"), ("unknown", "unk"), ("padding", "pad")):
        place = metadata.get(f"tokenizer.ggml.{theirs}_token_id")
        if type(place) is int and 0 <= place < len(tokens):
            found[f"{ours}_token"] = tokens[place]
    template = metadata.get("tokenizer.chat_template")
    return {**found, "chat_template": template} if isinstance(template, str) else found
