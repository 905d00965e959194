"""Find the entry for a checkpoint, or say clearly why there is none."""

from __future__ import annotations

from huref.common.errors import Malformed, Unsupported
from huref.prover.checkpoint.architectures import encoders, gguf_names, gpt_like, llama_like
from huref.prover.checkpoint.architectures.config import Config
from huref.prover.checkpoint.architectures.entry import Architecture
from huref.prover.checkpoint.architectures.facts import stored_name
from huref.prover.checkpoint.formats.base import Checkpoint


def _by_type(entries: tuple[Architecture, ...]) -> dict[str, list[Architecture]]:
    table: dict[str, list[Architecture]] = {}
    for entry in entries:
        for name in entry.model_types:
            table.setdefault(name, []).append(entry)
    return table


HUGGING_FACE = _by_type(llama_like.ARCHITECTURES + gpt_like.ARCHITECTURES + encoders.ARCHITECTURES)
GGUF = _by_type(gguf_names.ARCHITECTURES)

_EXPERT_KEYS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


def find_architecture(checkpoint: Checkpoint) -> tuple[Architecture, Config]:
    """The entry for this checkpoint, adapted to its config. Raises `Unsupported`, `Malformed`."""
    source = str(checkpoint.path)
    config = Config(checkpoint.config, source)
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise Malformed(f"{source}: config has no model_type")
    experts = config.get(*_EXPERT_KEYS)
    if (isinstance(experts, int) and experts > 1) or any(".experts." in name for name in checkpoint.names()):
        raise Unsupported(f"{source}: mixture-of-experts models ({model_type}) are not supported yet")
    quantization = config.outer.get("quantization_config")
    if isinstance(quantization, dict):
        raise Unsupported(
            f"{source}: a quantized checkpoint ({quantization.get('quant_method', 'unknown method')})",
            hint="load it with transformers, dequantized, and save it in bfloat16",
        )
    table = GGUF if checkpoint.naming == "gguf" else HUGGING_FACE
    if model_type not in table:
        raise Unsupported(
            f"{source}: unknown architecture {model_type!r}", hint="known: " + ", ".join(sorted(table))
        )
    entries = [entry.adapt(entry, config) if entry.adapt else entry for entry in table[model_type]]
    fitting = (entry for entry in entries if _fits(checkpoint, entry))
    return next(fitting, entries[-1]), config


def _fits(checkpoint: Checkpoint, entry: Architecture) -> bool:
    blocks = [prefix + entry.block.format(i=0) for prefix in entry.prefixes]
    return any(
        all(stored_name(checkpoint, block + name) in checkpoint for name in entry.block_names())
        for block in blocks
    )
