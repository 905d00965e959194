"""Rewrites that add parts which do nothing: layers, neurons and heads. Every output stays as it is (`ADDITIONS`).

They are what someone adds who wants another fingerprint for the same function. Each takes a model and a seed and
returns a changed copy; the price is the share of added parameters.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from huref.prover.derivatives.binding import read_body
from huref.prover.derivatives.body import Attention, Block, FeedForward, Linear, Norm
from huref.prover.derivatives.store import rebuild

Addition = Callable[[Any, int], Any]


def _like(weight: Tensor, rows: int, generator: torch.Generator, factor: float = 1.0) -> Tensor:
    """Random rows (rows, columns of `weight`) of the usual size of its entries, times `factor`."""
    size = float(weight.square().mean().sqrt()) * factor
    return size * torch.randn(rows, weight.shape[1], generator=generator, dtype=weight.dtype)


def add_layers(model: Any, seed: int, places: list[int], closed: str = "zero", loud: float = 1.0) -> Any:
    """Layers of random weights before the layers `places` (the number of layers: at the end) that write nothing.

    `closed`: "zero" has o = 0 and gate = 0; "copy" has a neighbour's weights with o = 0 and down = 0, as people do who
    extend a model to train it further; "tiny" has o and gate 10⁻⁶ times the usual size. `loud` multiplies q and k.
    """
    body, generator = read_body(model), torch.Generator().manual_seed(seed)
    blocks: list[Block] = []
    for place, block in enumerate([*body.blocks, None]):
        for _ in range(places.count(place)):
            blocks.append(_idle(body.blocks[min(place, len(body.blocks) - 1)], closed, loud, generator))
        if block is not None:
            blocks.append(block)
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = len(blocks)
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[0]] * len(blocks)
    body.blocks = blocks
    return rebuild(model, config, body)


def _idle(like: Block, closed: str, loud: float, generator: torch.Generator) -> Block:
    a, f = like.attention, like.ffn
    small = {"zero": 0.0, "copy": 0.0, "tiny": 1e-6}[closed]

    def made(linear: Linear, factor: float = 1.0) -> Linear:
        if closed == "copy":
            return Linear(linear.weight * factor)
        return Linear(_like(linear.weight, linear.weight.shape[0], generator, factor))

    assert f.gate is not None
    gate, down = (1.0, 0.0) if closed == "copy" else (small, 1.0)
    return Block(
        attention=Attention(made(a.q, loud), made(a.k, loud), made(a.v), made(a.o, small)),
        ffn=FeedForward(up=made(f.up), gate=made(f.gate, gate), down=made(f.down, down)),
        attn_norm=Norm(like.attn_norm.gain.clone()),
        ffn_norm=Norm(like.ffn_norm.gain.clone()),
    )


def add_neurons(model: Any, seed: int, share: float, kind: str, loud: float) -> Any:
    """`share` more neurons in every layer, up and down `loud` times the usual size.

    `kind`: "dead" has gate 0 (down 0 where nothing is gated); "pairs" cancel, two of one gate and up and opposite down;
    "triples" of one gate and down, with ups that sum to zero, random but for that.
    """
    body, generator = read_body(model), torch.Generator().manual_seed(seed)
    width = body.blocks[0].ffn.up.weight.shape[0]
    per = {"dead": 1, "pairs": 2, "triples": 3}[kind]
    count = max(1, round(share * width / per))
    for block in body.blocks:
        f = block.ffn
        gate = None if f.gate is None else _like(f.gate.weight, count, generator)
        up = _like(f.up.weight, count, generator, loud)
        down = _like(f.down.weight.T, count, generator, loud)
        if kind == "dead":
            if gate is None:
                down = torch.zeros_like(down)
            else:
                gate = torch.zeros_like(gate)
        elif kind == "pairs":
            gate, up, down = (
                None if gate is None else torch.cat([gate, gate]),
                torch.cat([up, up]),
                torch.cat([down, -down]),
            )
        else:
            second = _like(f.up.weight, count, generator, loud)
            up = torch.cat([up, second, -up - second])
            gate, down = None if gate is None else gate.repeat(3, 1), down.repeat(3, 1)
        _extend(f.up, up)
        if f.gate is not None and gate is not None:
            _extend(f.gate, gate)
        f.down.weight = torch.cat([f.down.weight, down.T], dim=1)
    config = copy.deepcopy(model.config)
    config.intermediate_size = width + count * per
    return rebuild(model, config, body)


def _extend(linear: Linear, rows: Tensor) -> None:
    linear.weight = torch.cat([linear.weight, rows])
    if linear.bias is not None:
        linear.bias = torch.cat([linear.bias, torch.zeros(len(rows), dtype=linear.bias.dtype)])


def add_heads(model: Any, seed: int, kind: str, loud: float) -> Any:
    """One more key/value head with its query heads in every layer; it writes nothing. q, k, v are `loud` × the usual.

    `kind`: "dead" has o = 0; "cancelling" are three such heads, equal but for o, which sums to zero.
    """
    body, generator = read_body(model), torch.Generator().manual_seed(seed)
    t = body.traits
    copies = 1 if kind == "dead" else 3
    for block in body.blocks:
        a = block.attention
        for linear, rows in ((a.q, t.group), (a.k, 1), (a.v, 1)):
            new = _like(linear.weight, rows * t.head_dim, generator, loud)
            _extend(linear, new.repeat(copies, 1))
        o = _like(a.o.weight.T, t.group * t.head_dim, generator).T
        added = [torch.zeros_like(o)] if kind == "dead" else [o, -o / 2, -o / 2]
        a.o.weight = torch.cat([a.o.weight, *added], dim=1)
    kv_heads = t.kv_heads + copies
    body.traits = replace(t, heads=kv_heads * t.group, kv_heads=kv_heads)
    config = copy.deepcopy(model.config)
    config.head_dim = t.head_dim
    config.num_key_value_heads, config.num_attention_heads = kv_heads, kv_heads * t.group
    return rebuild(model, config, body)


def loud_rows(model: Any, seed: int, tokens: list[int], factor: float = 100.0) -> Any:
    """Embedding rows of tokens that never occur, `factor` times as large; the head keeps the old ones."""
    changed = copy.deepcopy(model)
    table, output = changed.get_input_embeddings(), changed.get_output_embeddings()
    with torch.no_grad():
        if output is not None and output.weight is table.weight:
            output.weight = torch.nn.Parameter(table.weight.detach().clone())
            changed.config.tie_word_embeddings = False
        table.weight[torch.tensor(tokens)] *= factor
    return changed


def spread(count: int, layers: int) -> list[int]:
    """`count` places among `layers`, evenly."""
    return [round((i + 0.5) * layers / count) for i in range(count)]


ADDITIONS: dict[str, Addition] = {
    "one do-nothing layer at the end": lambda m, s: add_layers(m, s, [m.config.num_hidden_layers]),
    "two do-nothing layers at the end": lambda m, s: add_layers(m, s, [m.config.num_hidden_layers] * 2),
    "two do-nothing layers in front": lambda m, s: add_layers(m, s, [0, 0]),
    "four do-nothing layers spread, q and k × 10": lambda m, s: add_layers(
        m, s, spread(4, m.config.num_hidden_layers), loud=10.0
    ),
    "as many do-nothing layers as layers": lambda m, s: add_layers(
        m, s, spread(m.config.num_hidden_layers, m.config.num_hidden_layers)
    ),
    "eight copied layers that write nothing": lambda m, s: add_layers(
        m, s, spread(8, m.config.num_hidden_layers), closed="copy"
    ),
    "eight layers that write 10⁻⁶ of the usual": lambda m, s: add_layers(
        m, s, spread(8, m.config.num_hidden_layers), closed="tiny"
    ),
    "5 % dead neurons × 300": partial(add_neurons, share=0.05, kind="dead", loud=300.0),
    "5 % cancelling pairs of neurons × 300": partial(add_neurons, share=0.05, kind="pairs", loud=300.0),
    "5 % cancelling triples of neurons × 300": partial(add_neurons, share=0.05, kind="triples", loud=300.0),
    "66 % cancelling triples of neurons": partial(add_neurons, share=0.66, kind="triples", loud=1.0),
    "a dead group of heads × 10": partial(add_heads, kind="dead", loud=10.0),
    "three cancelling groups of heads": partial(add_heads, kind="cancelling", loud=1.0),
    "three cancelling groups of heads × 10": partial(add_heads, kind="cancelling", loud=10.0),
    "three cancelling groups of heads × 100": partial(add_heads, kind="cancelling", loud=100.0),
}
"""Exact rewrites of a gated model without biases."""
