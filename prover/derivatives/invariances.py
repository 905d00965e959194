"""Rewrites that leave a model's function exactly as it is (fingerprint §6), one function each.

Each takes a body and a generator and changes the body in place. `ATTACKS` lists them with the condition
under which they apply; `attack` runs some on a copy of a real model. Biases are carried along.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from huref.common.errors import UsageError
from huref.prover.derivatives.binding import read_body, write_body
from huref.prover.derivatives.body import Body, Linear, random_invertible, random_orthogonal, random_scales

Generator = torch.Generator


def permute_hidden(body: Body, generator: Generator) -> None:
    """Reorder the hidden dimensions everywhere."""
    order = torch.randperm(body.hidden, generator=generator)
    body.embeddings = [table[:, order] for table in body.embeddings]
    for norm in body.hidden_norms():
        norm.take(order)
    for _, readers in body.readings():
        for reader in readers:
            reader.weight = reader.weight[:, order]
    for writer in body.writers():
        writer.take_rows(order)


def permute_neurons(body: Body, generator: Generator) -> None:
    """Reorder the FFN neurons of each layer."""
    for block in body.blocks:
        ffn = block.ffn
        order = torch.randperm(ffn.up.weight.shape[0], generator=generator)
        ffn.up.take_rows(order)
        if ffn.gate is not None:
            ffn.gate.take_rows(order)
        ffn.down.weight = ffn.down.weight[:, order]


def permute_heads(body: Body, generator: Generator) -> None:
    """Reorder the kv heads of each layer with their query heads, and the query heads inside each group.

    (ALiBi gives each head a slope of its own, so its heads stay.)
    """
    t = body.traits
    entries = torch.arange(t.head_dim)
    for block in body.blocks:
        kv = torch.randperm(t.kv_heads, generator=generator)
        inside = torch.argsort(torch.rand(t.kv_heads, t.group, generator=generator), dim=1)
        query = (kv[:, None] * t.group + inside).reshape(-1)
        q_order = (query[:, None] * t.head_dim + entries).reshape(-1)
        kv_order = (kv[:, None] * t.head_dim + entries).reshape(-1)
        a = block.attention
        a.q.take_rows(q_order)
        a.k.take_rows(kv_order)
        a.v.take_rows(kv_order)
        a.o.weight = a.o.weight[:, q_order]


def mix_values(body: Body, generator: Generator, condition: float = 10.0) -> None:
    """An invertible map of that condition number between v and o, for each kv head."""
    t = body.traits
    for block in body.blocks:
        maps = [random_invertible(t.head_dim, condition, generator) for _ in range(t.kv_heads)]
        undo = [torch.linalg.inv(m) for m in maps for _ in range(t.group)]
        block.attention.v.map_rows(torch.block_diag(*maps))
        block.attention.o.weight = block.attention.o.weight @ torch.block_diag(*undo)


def mix_queries(body: Body, generator: Generator, condition: float = 10.0) -> None:
    """Maps on q, undone on k, for each kv head.

    With rotary embeddings: rotate and scale inside each rotary plane, which commutes with them. Entries
    that are not rotated: any invertible map. With norms on q and k: signed scales between the two gains,
    constant in each rotary plane.
    """
    t = body.traits
    for block in body.blocks:
        a = block.attention
        if a.q_norm is not None and a.k_norm is not None:
            scale = random_scales(t.head_dim // 2, condition**0.5, generator, signed=True).repeat(2)
            a.q_norm.scale(scale)
            a.k_norm.scale(1 / scale)
            continue
        maps = [_query_map(t.head_dim, t.rotary_dim, condition, generator) for _ in range(t.kv_heads)]
        a.q.map_rows(torch.block_diag(*[m for m in maps for _ in range(t.group)]))
        a.k.map_rows(torch.block_diag(*[torch.linalg.inv(m).T for m in maps]))


def _query_map(head_dim: int, rotary_dim: int, condition: float, generator: Generator) -> Tensor:
    """A map (e, e) that commutes with rotary embeddings on planes (i, i + rotary_dim/2)."""
    half = rotary_dim // 2
    angle = 2 * torch.pi * torch.rand(half, generator=generator, dtype=torch.float64)
    radius = random_scales(half, condition**0.5, generator, signed=False)
    cos, sin = torch.diag(radius * angle.cos()), torch.diag(radius * angle.sin())
    turned = torch.cat([torch.cat([cos, -sin], 1), torch.cat([sin, cos], 1)])
    if rotary_dim == head_dim:
        return turned
    return torch.block_diag(turned, random_invertible(head_dim - rotary_dim, condition, generator))


def rescale_neurons(body: Body, generator: Generator, factor: float = 8.0) -> None:
    """Scale each neuron's up row by a number in [1/factor, factor] and its down column by the inverse.

    Signs flip as well where the neuron is gated (up is then linear); a ReLU allows positive scales only.
    """
    for block in body.blocks:
        ffn = block.ffn
        signed = ffn.gate is not None
        scale = random_scales(ffn.up.weight.shape[0], factor, generator, signed=signed)
        ffn.up.scale_rows(scale)
        ffn.down.weight = ffn.down.weight / scale


def move_gains(body: Body, generator: Generator, factor: float = 4.0) -> None:
    """Multiply every norm's output by random signs and magnitudes and undo it in the maps that read it."""
    for norm, readers in body.readings():
        scale = random_scales(body.hidden, factor, generator, signed=True)
        norm.scale(scale)
        for reader in readers:
            reader.weight = reader.weight / scale


def rotate_hidden(body: Body, generator: Generator) -> None:
    """Fold all gains into the readers, then rotate the residual stream.

    LayerNorm allows the rotations that fix the all-ones vector, for they commute with centring.
    """
    for norm, readers in body.readings():
        gain = norm.gain
        norm.scale(1 / gain)
        for reader in readers:
            reader.weight = reader.weight * gain
    rotation = random_orthogonal(body.hidden, generator)
    if body.traits.layer_norm:
        rotation = _fixing_ones(body.hidden, generator)
    body.embeddings = [table @ rotation.T for table in body.embeddings]
    for norm, readers in body.readings():
        if norm.bias is not None:
            norm.bias = rotation @ norm.bias
        for reader in readers:
            reader.weight = reader.weight @ rotation.T
    for writer in body.writers():
        writer.map_rows(rotation)


def _fixing_ones(size: int, generator: Generator) -> Tensor:
    """A random orthogonal matrix (size, size) that maps the all-ones vector to itself."""
    start = torch.eye(size, dtype=torch.float64)
    start[:, 0] = 1.0
    basis, _ = torch.linalg.qr(start)  # first column is ±ones/√size
    one = torch.ones(1, 1, dtype=torch.float64)
    return basis @ torch.block_diag(one, random_orthogonal(size - 1, generator)) @ basis.T


def shift_writers(body: Body, generator: Generator, strength: float = 1.0) -> None:
    """Add multiples of the all-ones vector to whatever writes the stream; LayerNorm subtracts them.

    Every embedding row, every column of o and down and their biases get a multiple of their own, of
    `strength` times the typical entry.
    """

    def multiples(like: Tensor, count: int) -> Tensor:
        draws = torch.randn(count, generator=generator, dtype=torch.float64)
        return strength * like.square().mean().sqrt() * draws

    body.embeddings = [table + multiples(table, table.shape[0])[:, None] for table in body.embeddings]
    for writer in body.writers():
        writer.weight = writer.weight + multiples(writer.weight, writer.weight.shape[1])
        if writer.bias is not None:
            writer.bias = writer.bias + multiples(writer.weight, 1)


def shift_readers(body: Body, generator: Generator, strength: float = 1.0) -> None:
    """Add to each row of a reader a multiple of 1/gain, which meets only the mean that LayerNorm removed.

    The constant that the norm's own bias then contributes is taken out of the reader's bias; a reader
    that would need a bias it does not have is left alone.
    """
    for norm, readers in body.readings():
        for reader in readers:
            if norm.bias is not None and reader.bias is None:
                continue
            inverse = 1 / norm.gain
            size = strength * reader.weight.square().mean().sqrt() / inverse.square().mean().sqrt()
            multiple = size * torch.randn(reader.weight.shape[0], generator=generator, dtype=torch.float64)
            reader.weight = reader.weight + multiple[:, None] * inverse
            if norm.bias is not None and reader.bias is not None:
                reader.bias = reader.bias - multiple * (inverse @ norm.bias)


def scale_stream(body: Body, generator: Generator, factor: float = 4.0) -> None:
    """Scale the whole residual stream by one number, which the norms absorb (with eps scaled to match)."""
    assert body.eps is not None
    scale = float(factor * (1 + torch.rand(1, generator=generator, dtype=torch.float64)))
    body.eps *= scale**2
    body.embeddings = [table * scale for table in body.embeddings]
    for writer in body.writers():
        writer.scale_rows(scale)
    for block in body.blocks:
        for norm in (block.attn_output_norm, block.ffn_output_norm):
            if norm is not None:
                norm.scale(scale)
        if block.attention.q_norm is not None:  # these norms share eps
            block.attention.q.scale_rows(scale)
            block.attention.k.scale_rows(scale)
    if body.embedding_norm is not None:
        body.embedding_norm.scale(scale)
    if body.traits.post_norm:
        for norm, readers in body.readings():
            if norm is not body.embedding_norm:
                norm.scale(scale)
            for reader in readers:
                reader.weight = reader.weight / scale


def scale_normed(body: Body, generator: Generator, factor: float = 4.0) -> None:
    """Scale what only a norm reads: each head of q and k before its norm, o and down before theirs.

    Exact up to the norms' eps, which is far below the mean square of what they see.
    """
    t = body.traits

    def per_head(linear: Linear, heads: int) -> None:
        scale = random_scales(heads, factor, generator, signed=False)
        linear.scale_rows(scale.repeat_interleave(t.head_dim))

    for block in body.blocks:
        if block.attention.q_norm is not None:
            per_head(block.attention.q, t.heads)
            per_head(block.attention.k, t.kv_heads)
        if block.attn_output_norm is not None:
            block.attention.o.scale_rows(float(random_scales(1, factor, generator, signed=False)))
            block.ffn.down.scale_rows(float(random_scales(1, factor, generator, signed=False)))


@dataclass(frozen=True)
class Attack:
    """A rewrite and the bodies it applies to."""

    rewrite: Callable[..., None]
    applies: Callable[[Body], bool]


def _always(body: Body) -> bool:
    return True


def _rotates(body: Body) -> bool:
    """Nothing but norms that fold away stands between the stream and its readers and writers."""
    return not body.traits.post_norm and body.embedding_norm is None and not body.has_output_norms


def _rescales(body: Body) -> bool:
    return body.blocks[0].ffn.gate is not None or body.traits.activation == "relu"


def _layer_norm(body: Body) -> bool:
    return body.traits.layer_norm


ATTACKS: dict[str, Attack] = {
    "permute_hidden": Attack(permute_hidden, _always),
    "permute_neurons": Attack(permute_neurons, _always),
    "permute_heads": Attack(permute_heads, lambda body: not body.traits.alibi),
    "mix_values": Attack(mix_values, _always),
    "mix_queries": Attack(mix_queries, _always),
    "rescale_neurons": Attack(rescale_neurons, _rescales),
    "move_gains": Attack(move_gains, lambda body: not body.traits.post_norm),
    "rotate_hidden": Attack(rotate_hidden, _rotates),
    "shift_writers": Attack(shift_writers, _layer_norm),
    "shift_readers": Attack(shift_readers, _layer_norm),
    "scale_stream": Attack(scale_stream, lambda body: body.eps is not None),
    "scale_normed": Attack(scale_normed, lambda body: body.has_qk_norms or body.has_output_norms),
}


def applicable(model: nn.Module) -> tuple[str, ...]:
    """Names of the attacks that leave this model's function unchanged."""
    body = read_body(model)
    return tuple(name for name, entry in ATTACKS.items() if entry.applies(body))


def attack(model: nn.Module, names: str | tuple[str, ...], seed: int, **strength: Any) -> nn.Module:
    """A copy of the model, rewritten by `rewrite_in_place`."""
    rewritten = copy.deepcopy(model)
    rewrite_in_place(rewritten, names, seed, **strength)
    return rewritten


def rewrite_in_place(model: nn.Module, names: str | tuple[str, ...], seed: int, **strength: Any) -> None:
    """Rewrite a model by the named attacks one after another; its function stays the same.

    Args:
        names: one or more of `ATTACKS`.
        strength: `condition` or `factor` or `strength`, handed to a single attack.

    Raises:
        UsageError: an unknown attack, one that would change this model, or strength for several.
        Unsupported: no entry for this family.
    """
    names = (names,) if isinstance(names, str) else names
    if strength and len(names) != 1:
        raise UsageError("strength parameters go with a single attack")
    body = read_body(model)
    generator = torch.Generator().manual_seed(seed)
    for name in names:
        if name not in ATTACKS:
            raise UsageError(f"no attack {name!r}", hint="known: " + ", ".join(ATTACKS))
        if not ATTACKS[name].applies(body):
            raise UsageError(f"{name} would change a model of this family")
        ATTACKS[name].rewrite(body, generator, **strength)
    write_body(model, body)
