"""Find the entry for a checkpoint, or say clearly why there is none."""

from __future__ import annotations

import difflib

from huref.common.errors import Unsupported
from huref.common.text import shorten
from huref.prover.checkpoint.architectures import (
    encoders,
    experts,
    gguf_experts,
    gguf_names,
    gpt_like,
    hybrid,
    llama_like,
    recent,
)
from huref.prover.checkpoint.architectures.config import Config
from huref.prover.checkpoint.architectures.entry import Architecture
from huref.prover.checkpoint.architectures.layout import Layout, find_layout, refuse_adapters
from huref.prover.checkpoint.architectures.refused import REFUSED, REFUSED_GGUF
from huref.prover.checkpoint.architectures.stacked import stacked_form
from huref.prover.checkpoint.formats.base import Checkpoint


def _by_type(entries: tuple[Architecture, ...]) -> dict[str, list[Architecture]]:
    table: dict[str, list[Architecture]] = {}
    for entry in entries:
        for name in entry.model_types:
            table.setdefault(name, []).append(entry)
    return table


HUGGING_FACE = _by_type(
    llama_like.ARCHITECTURES
    + recent.ARCHITECTURES
    + experts.ARCHITECTURES
    + hybrid.ARCHITECTURES
    + gpt_like.ARCHITECTURES
    + encoders.ARCHITECTURES
)
GGUF = _by_type(gguf_names.ARCHITECTURES + gguf_experts.ARCHITECTURES)

_EXPERT_KEYS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


def find_architecture(checkpoint: Checkpoint) -> Layout:
    """How this checkpoint is laid out, with an entry adapted to its config. Raises `Unsupported`, `Malformed`."""
    source = str(checkpoint.path)
    config = Config(checkpoint.config, source)
    model_type = config.model_type()
    table = GGUF if checkpoint.naming == "gguf" else HUGGING_FACE
    refused = REFUSED | REFUSED_GGUF if checkpoint.naming == "gguf" else REFUSED
    if model_type not in table and model_type in refused:
        raise Unsupported(f"{source}: {model_type} models are not read: {refused[model_type]}")
    if model_type not in table:
        raise _unknown(config, model_type, table)
    refuse_adapters(checkpoint)
    entries = [entry.adapt(entry, config) if entry.adapt else entry for entry in table[model_type]]
    if checkpoint.naming == "hf":
        entries += [form for entry in entries if (form := stacked_form(entry)) is not None]
    experts = config.get(*_EXPERT_KEYS)
    mixture = isinstance(experts, int) and experts > 1
    if all(entry.experts is None for entry in entries) and (
        mixture or any(".experts." in name for name in checkpoint.names())
    ):
        raise Unsupported(f"{source}: mixture-of-experts models of type {model_type} are not read")
    return find_layout(checkpoint, entries, config)


def _unknown(config: Config, model_type: str, table: dict[str, list[Architecture]]) -> Unsupported:
    """A refusal of a type that is in no list, with the known types that are spelled most alike."""
    if config.get("is_encoder_decoder") is True:
        return Unsupported(
            f"{config.source}: {model_type} models are not read: of those with an encoder and a decoder only T5's "
            "encoder is"
        )
    alike = difflib.get_close_matches(model_type, table, n=4, cutoff=0.5)
    return Unsupported(
        f"{config.source}: unknown architecture {shorten(repr(model_type), 64)}",
        hint=f"docs/checkpoints.md lists the {len(table)} types that are read"
        + (f"; alike are {', '.join(alike)}" if alike else ""),
    )
