"""From layout, config and tensor shapes to the public `ModelShape`, with every layer's shapes checked."""

from __future__ import annotations

from dataclasses import replace

from huref.circuits.fingerprint.shape import BIASES, Block, ModelShape
from huref.common.errors import Malformed, Unsupported
from huref.prover.checkpoint.architectures.config import HEAD_DIM, HEADS, HIDDEN, KV_HEADS, LAYERS
from huref.prover.checkpoint.architectures.entry import Architecture
from huref.prover.checkpoint.architectures.layout import Layout, other_layout
from huref.prover.checkpoint.architectures.mixture import Mixture


def model_shape(layout: Layout) -> ModelShape:
    """Facts from the config where only it knows them, from the tensors otherwise.

    Of a mixture of experts, `ffn` is the width of the dense layers, or 1 where there are none; through latents,
    `head_dim` is a key's, positions included.
    """
    entry, config, checkpoint = layout.entry, layout.config, layout.checkpoint
    embedding = checkpoint.shape(layout.embedding)
    hidden = config.integer(*HIDDEN)
    if hidden is None and embedding and config.nested and entry.embedding_projection is None:
        hidden = embedding[-1]
    hidden = hidden or config.required(*HIDDEN)
    layers = config.integer(*LAYERS)
    if layers is None and config.nested:
        layers = len(layout.blocks)
    kinds = config.get("layers_block_type")
    if layers is None and isinstance(kinds, list) and kinds:
        layers = len(kinds)
    layers = layers or config.required(*LAYERS)
    if not layout.blocks:
        raise other_layout(layout, [], f"{layout.block(0)}{entry.o}.weight")
    if len(embedding) != 2 or (embedding[1] != hidden and entry.embedding_projection is None):
        raise Malformed(
            f"{checkpoint.path}: the embedding is {embedding}, the config says hidden size {hidden}"
        )
    last = layers - 1  # the layer that is read in any case
    layout.check(last)
    attending = next((index for index in reversed(range(layers)) if layout.attends(index)), None)
    if attending is None:
        raise Unsupported(
            f"{checkpoint.path}: no layer has attention ({config.model_type()})",
            hint="a fingerprint needs terms of attention and of FFNs",
        )
    heads, kv_heads, head_dim = _heads(layout, attending, hidden)
    rotary_dim = 0
    if entry.rotary is not None:
        fraction = config.rotary_fraction(entry.rotary_fraction)
        rotary_dim = config.integer("rotary_dim") or int(head_dim * fraction)
        if entry.latent is not None:
            rotary_dim = config.required("qk_rope_head_dim")
    try:
        shape = ModelShape(
            family=entry.family,
            hidden=hidden,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            ffn=_ffn(layout, layers),
            vocab=embedding[0],
            layers=layers,
            gated=entry.gated,
            norm=entry.norm,
            norm_position="pre" if entry.norm_position == "pre" else "post",
            parallel=entry.parallel,
            output_norm=entry.attn_output_norm is not None,
            qk_norm=entry.q_norm is not None or entry.qk_normed,
            rotary=entry.rotary,
            rotary_dim=rotary_dim,
            rotary_sections=entry.rotary_sections,
            head=layout.head is not None,
        )
        positions = _positions(layout, shape)
        return replace(shape, positions=positions, biases=_biases(layout, shape, positions))
    except Malformed as error:
        raise Malformed(f"{checkpoint.path}: {error.message}") from None


def _runs(layout: Layout, shape: ModelShape) -> bool:
    """Whether all layers are a kind of attention and FFN, one after the other, that a program may run."""
    return (
        shape.head
        and (shape.norm_position, shape.parallel, shape.output_norm) == ("pre", False, False)
        and layout.entry.latent is None
        and all(
            layout.attends(n)
            and layout.feeds(n)
            and not layout.is_sparse(n)
            and not layout.mixes_otherwise(n)
            for n in range(shape.layers)
        )
    )


def _positions(layout: Layout, shape: ModelShape) -> int:
    """Rows of a learned position embedding, 0 without one."""
    name = f"{layout.prefix}{layout.entry.positions}.weight"
    if layout.entry.positions is None or not _runs(layout, shape) or name not in layout.checkpoint:
        return 0
    return layout.checkpoint.shape(name)[0]


def _biases(layout: Layout, shape: ModelShape, positions: int) -> tuple[str, ...]:
    """What has biases of its own, or reads a norm that adds one, in some layer.

    Empty where no program runs the model. A bias of k without a rotary embedding moves all scores of a query alike.
    """
    if not _runs(layout, shape) or (shape.rotary is None and not positions):
        return ()
    entry, found = layout.entry, {name for names in layout.blocks.values() for name in names}
    of = {
        "q": (entry.q, entry.qkv, entry.attn_norm),
        "k": (entry.k, entry.qkv, entry.attn_norm),
        "o": (entry.o, entry.v, entry.qkv, entry.attn_norm),
        "gate": (entry.gate, entry.gate_up, entry.ffn_norm),
        "up": (entry.up, entry.gate_up, entry.ffn_norm),
        "down": (entry.down,),
    }
    there = {name for name, stored in of.items() if any(f"{part}.bias" in found for part in stored)}
    of_head = ((layout.head or "").removesuffix(".weight"), f"{layout.prefix}{entry.final_norm}")
    if any(f"{name}.bias" in layout.checkpoint for name in of_head):
        there.add("head")
    there -= {name for name, has in (("k", shape.rotary is not None), ("gate", shape.gated)) if not has}
    return tuple(name for name in BIASES if name in there)


def whole_shape(layout: Layout, shape: ModelShape) -> ModelShape:
    """The shape with what every layer has, where layers are not all one attention and one FFN.

    Raises `Unsupported` where no layer has an FFN.
    """
    blocks = tuple(_block(layout, shape, index) for index in range(shape.layers))
    if not any(block.neurons for block in blocks):
        raise Unsupported(
            f"{layout.checkpoint.path}: no layer has an FFN ({layout.config.model_type()})",
            hint="a fingerprint needs terms of attention and of FFNs",
        )
    others = any(layout.mixes_otherwise(index) for index in range(shape.layers))
    if set(blocks) == {Block(True, shape.ffn)}:
        return replace(shape, other_mixers=others)
    return replace(shape, ffn=max(block.neurons for block in blocks), blocks=blocks, other_mixers=others)


def _block(layout: Layout, shape: ModelShape, index: int) -> Block:
    attention = layout.attends(index)
    if layout.is_sparse(index):
        mixture = Mixture(layout, shape.hidden, index)
        return Block(attention, mixture.neurons(), mixture.count)
    return Block(attention, shape.ffn if layout.feeds(index) else 0)


def layer_shape(layout: Layout, shape: ModelShape, index: int) -> ModelShape:
    """The shape of one layer: some layers have no rotary embedding."""
    if layout.entry.unrotated is None or not layout.entry.unrotated(layout.config, index):
        return shape
    return replace(shape, rotary=None, rotary_dim=0, rotary_sections=1)


def _ffn(layout: Layout, layers: int) -> int:
    entry = layout.entry
    dense = next(
        (n for n in reversed(range(layers)) if layout.feeds(n) and not layout.is_sparse(n)),
        None,
    )
    if dense is None:
        return 1
    up = layout.checkpoint.shape(f"{layout.block(dense)}{entry.up or entry.gate_up}.weight")
    rows = up[1 if entry.transposed else 0] if len(up) == 2 else 0
    return rows // 2 if entry.gate_up else rows


def _heads(layout: Layout, index: int, hidden: int) -> tuple[int, int, int]:
    """Heads, kv heads, head size: from the config, else from the tensors, else as the class has them by default."""
    entry, config, defaults = layout.entry, layout.config, layout.config.defaults
    stated = config.integer(*HEADS)
    if entry.latent is not None:
        heads = stated or defaults.heads or config.required(*HEADS)
        return heads, heads, config.required("qk_nope_head_dim") + config.required("qk_rope_head_dim")
    size = config.integer(*HEAD_DIM)
    if size is None and entry.q_norm is not None and "{h}" not in entry.q_norm and not entry.whole_norm:
        size = _first(layout, index, entry.q_norm, axis=-1)
    size = size or defaults.head_dim
    if stated is None and size and entry.q is not None:
        stated = _first(layout, index, entry.q) // size
    heads = stated or defaults.heads or config.required(*HEADS)
    kv_heads = entry.kv_heads or config.integer(*KV_HEADS)
    if kv_heads is None and size and entry.k is not None and not entry.transposed:
        kv_heads = _first(layout, index, entry.k) // size
    return heads, kv_heads or defaults.kv_heads or heads, size or hidden // heads


def _first(layout: Layout, index: int, name: str, axis: int = 0) -> int:
    """Size of one axis of a layer's tensor."""
    full = f"{layout.block(index)}{name}.weight"
    shape = layout.checkpoint.shape(full)
    if not shape or not all(shape):
        raise Malformed(f"{layout.checkpoint.path}: tensor {full} has shape {shape}")
    return shape[axis]


def _check_head(layout: Layout, shape: ModelShape) -> None:
    name, want = layout.head, (shape.vocab, shape.hidden)
    if name is not None and name in layout.checkpoint and layout.checkpoint.shape(name) != want:
        got = layout.checkpoint.shape(name)
        raise Malformed(f"{layout.checkpoint.path}: tensor {name} has shape {got}, expected {want}")


def linear_shapes(entry: Architecture, shape: ModelShape) -> dict[str, tuple[int, int]]:
    """Expected (out, in) of every linear weight of a block, by its relative name."""
    d, q, kv = shape.hidden, shape.q_rows, shape.kv_rows
    expected = {
        entry.qkv: (q + 2 * kv, d),
        entry.up: (shape.ffn, d),
        entry.gate: (shape.ffn, d),
        entry.gate_up: (2 * shape.ffn, d),
        entry.down: (d, shape.ffn),
    }
    if entry.latent is None:
        expected |= {
            entry.q: (2 * q if entry.q_gate else q, d),
            entry.k: (kv, d),
            entry.v: (kv, d),
            entry.o: (d, q),
        }
    return {name: size for name, size in expected.items() if name is not None}


def check_layers(layout: Layout, shape: ModelShape) -> None:
    """Every layer has all its tensors and no others, linear ones in the expected shape, and no further layer follows.

    Tensors in a shard that is not there are left for the reader to miss.
    """
    entry, checkpoint = layout.entry, layout.checkpoint
    _check_head(layout, shape)
    expected = linear_shapes(entry, shape)
    for index in layout.distinct(shape.layers):
        layout.check(index)
        if layout.is_sparse(index):
            Mixture(layout, shape.hidden, index).check()
        block = layout.block(index)
        for name in layout.names(index):
            full = f"{block}{name}.weight"
            if name not in expected or full not in checkpoint:
                continue
            out, inner = expected[name]
            want = (inner, out) if entry.transposed else (out, inner)
            got = checkpoint.shape(full)
            if got != want:
                raise Malformed(
                    f"{checkpoint.path}: tensor {full} has shape {got}, expected {want}: the config says "
                    f"{shape.heads} heads of {shape.head_dim}, {shape.kv_heads} for keys, hidden size {shape.hidden}"
                )
    stated = layout.config.get("num_nextn_predict_layers")  # layers for the tokens after the next
    extra = layout.config.required("num_nextn_predict_layers") if stated else 0
    beyond = [index for index in layout.blocks if index > layout.block_index(shape.layers - 1) + extra]
    if beyond:
        raise Malformed(
            f"{checkpoint.path}: has {layout.block(min(beyond))}{entry.down}.weight, though the config says "
            f"{shape.layers} layers"
        )
