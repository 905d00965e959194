"""From entry, config and tensor shapes to the public `ModelShape`, with every layer's shapes checked."""

from __future__ import annotations

from huref.circuits.fingerprint.shape import ModelShape
from huref.common.errors import Malformed
from huref.prover.checkpoint.architectures.config import HEAD_DIM, HEADS, HIDDEN, KV_HEADS, LAYERS, Config
from huref.prover.checkpoint.architectures.entry import Architecture
from huref.prover.checkpoint.formats.base import Checkpoint


def stored_name(checkpoint: Checkpoint, name: str) -> str:
    """`name`.weight, or `name`.gamma as the oldest BERT files call the gain of a LayerNorm."""
    gamma = f"{name}.gamma"
    return gamma if gamma in checkpoint else f"{name}.weight"


def find_prefix(checkpoint: Checkpoint, entry: Architecture) -> str:
    """The prefix under which this file stores the model (it depends on the class that saved it)."""
    for prefix in entry.prefixes:
        if f"{prefix}{entry.embedding}.weight" in checkpoint:
            return prefix
    raise checkpoint.missing(f"{entry.prefixes[0]}{entry.embedding}.weight")


def model_shape(checkpoint: Checkpoint, entry: Architecture, config: Config, prefix: str) -> ModelShape:
    """Facts from the config where only it knows them, from the tensors otherwise."""
    hidden = config.required(*HIDDEN)
    block = prefix + entry.block.format(i=0)
    heads, kv_heads, head_dim = _heads(checkpoint, entry, config, block, hidden)
    embedding = checkpoint.shape(f"{prefix}{entry.embedding}.weight")
    if len(embedding) != 2 or (embedding[1] != hidden and entry.embedding_projection is None):
        raise Malformed(
            f"{checkpoint.path}: the embedding is {embedding}, the config says hidden size {hidden}"
        )
    up_name = entry.up or entry.gate_up
    up = checkpoint.shape(f"{block}{up_name}.weight")
    ffn = up[1 if entry.transposed else 0] if len(up) == 2 else 0
    rotary_dim = 0
    if entry.rotary is not None:
        fraction = config.rotary_fraction(entry.rotary_fraction)
        rotary_dim = config.integer("rotary_dim") or int(head_dim * fraction)
    try:
        return ModelShape(
            family=entry.family,
            hidden=hidden,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            ffn=ffn // 2 if entry.gate_up else ffn,
            vocab=embedding[0],
            layers=config.required(*LAYERS),
            gated=entry.gated,
            norm=entry.norm,
            norm_position="pre" if entry.norm_position == "pre" else "post",
            parallel=entry.parallel,
            output_norm=entry.attn_output_norm is not None,
            qk_norm=entry.q_norm is not None,
            rotary=entry.rotary,
            rotary_dim=rotary_dim,
            rotary_sections=entry.rotary_sections,
        )
    except Malformed as error:
        raise Malformed(f"{checkpoint.path}: {error.message}") from None


def _heads(
    checkpoint: Checkpoint, entry: Architecture, config: Config, block: str, hidden: int
) -> tuple[int, int, int]:
    """Heads, kv heads, head size. Published Gemma 3 configs leave them out: then the tensors tell."""
    head_dim = config.integer(*HEAD_DIM)
    if head_dim is None and entry.q_norm is not None and "{h}" not in entry.q_norm:
        head_dim = checkpoint.shape(f"{block}{entry.q_norm}.weight")[-1]
    heads = config.integer(*HEADS)
    if heads is None and head_dim and entry.q is not None:
        heads = checkpoint.shape(f"{block}{entry.q}.weight")[0] // head_dim
    heads = heads or config.required(*HEADS)
    head_dim = head_dim or hidden // heads
    kv_heads = entry.kv_heads or config.integer(*KV_HEADS)
    if kv_heads is None and head_dim and entry.k is not None and not entry.transposed:
        kv_heads = checkpoint.shape(f"{block}{entry.k}.weight")[0] // head_dim
    return heads, kv_heads or heads, head_dim


def linear_shapes(entry: Architecture, shape: ModelShape) -> dict[str, tuple[int, int]]:
    """Expected (out, in) of every linear weight of a block, by its relative name."""
    d, q, kv = shape.hidden, shape.q_rows, shape.kv_rows
    expected = {
        entry.q: (q, d),
        entry.k: (kv, d),
        entry.v: (kv, d),
        entry.qkv: (q + 2 * kv, d),
        entry.o: (d, q),
        entry.up: (shape.ffn, d),
        entry.gate: (shape.ffn, d),
        entry.gate_up: (2 * shape.ffn, d),
        entry.down: (d, shape.ffn),
    }
    return {name: size for name, size in expected.items() if name is not None}


def check_layers(checkpoint: Checkpoint, entry: Architecture, shape: ModelShape, prefix: str) -> None:
    """Every layer has all its tensors, linear ones in the expected shape, and there is no further layer."""
    expected = linear_shapes(entry, shape)
    for layer in range(shape.layers):
        block = prefix + entry.block.format(i=layer)
        for name in entry.block_names():
            if stored_name(checkpoint, block + name) not in checkpoint:
                raise checkpoint.missing(f"{block}{name}.weight")
        for name, (out, inner) in expected.items():
            full = f"{block}{name}.weight"
            want = (inner, out) if entry.transposed else (out, inner)
            got = checkpoint.shape(full)
            if got != want:
                raise Malformed(f"{checkpoint.path}: tensor {full} has shape {got}, expected {want}")
    beyond = f"{prefix}{entry.block.format(i=shape.layers)}{entry.down}.weight"
    if beyond in checkpoint:
        raise Malformed(f"{checkpoint.path}: has {beyond}, though the config says {shape.layers} layers")
