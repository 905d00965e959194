"""Models derived from a model the ways people derive them: noise, pruning, quantization, surgery, merging.

Each function returns a changed copy (fine-tuning is in `finetune`). All are deterministic: randomness
comes from the seed alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from huref.common.errors import UsageError
from huref.prover.derivatives.binding import read_body, write_body
from huref.prover.derivatives.body import FeedForward
from huref.prover.derivatives.store import keep_layers, rebuild

_FFN_KEYS = ("intermediate_size", "n_inner", "ffn_dim")
_INT4_BLOCK = 32


def add_noise(model: Any, seed: int, fraction: float) -> Any:
    """Gaussian noise on every tensor, of `fraction` times that tensor's standard deviation."""
    generator = torch.Generator().manual_seed(seed)

    def noisy(values: Tensor) -> Tensor:
        draws = torch.randn(values.shape, generator=generator)
        return values + fraction * values.std(correction=0) * draws.to(values.dtype)

    return _mapped(model, noisy, lambda values: values.numel() > 1)


def prune_magnitude(model: Any, fraction: float, *, embeddings: bool = True) -> Any:
    """Zero the given fraction of smallest entries in each matrix.

    Args:
        embeddings: also in embeddings and an output head; usual pruning leaves both alone.
    """
    _check_fraction(fraction)
    kept = set() if embeddings else {id(values) for values in _embedding_weights(model)}
    names = {name for name, values in model.named_parameters() if id(values) not in kept}

    def pruned(values: Tensor) -> Tensor:
        count = int(fraction * values.numel())
        if count == 0:
            return values
        flat = values.flatten()
        smallest = torch.topk(flat.abs(), count, largest=False, sorted=False).indices
        return flat.clone().index_fill_(0, smallest, 0).view_as(values)

    return _mapped(model, pruned, _is_matrix, names)


def quantize_int8(model: Any) -> Any:
    """Round every matrix to int8 and back, symmetric with one scale per row."""
    return _mapped(model, lambda values: _round_trip(values, 127), _is_matrix)


def quantize_int4(model: Any) -> Any:
    """Round every matrix to int4 and back, symmetric with one scale per block of 32 entries of a row."""

    def blockwise(values: Tensor) -> Tensor:
        rows, columns = values.shape
        if columns % _INT4_BLOCK:
            return _round_trip(values, 7)
        return _round_trip(values.reshape(-1, _INT4_BLOCK), 7).view(rows, columns)

    return _mapped(model, blockwise, _is_matrix)


def prune_heads(model: Any, fraction: float, *, remove: bool = False) -> Any:
    """Zero in each layer the kv heads whose output matters least, with their query heads, or remove them.

    At least one kv head goes and one stays. Importance: norm of v times norm of o.

    Raises:
        UsageError: `remove` for a family whose head size is tied to the number of heads.
    """
    _check_fraction(fraction)
    body = read_body(model)
    t = body.traits
    if t.kv_heads == 1:
        raise UsageError("a model with a single kv head has none to spare")
    dropped = min(max(1, round(fraction * t.kv_heads)), t.kv_heads - 1)
    for block in body.blocks:
        a = block.attention
        v_norm = a.v.weight.reshape(t.kv_heads, -1).norm(dim=1)
        o_norm = a.o.weight.reshape(body.hidden, t.kv_heads, -1).norm(dim=(0, 2))
        kept = (v_norm * o_norm).argsort(descending=True)[: t.kv_heads - dropped].sort().values
        q_rows, kv_rows = (_entries(kept, t.group * t.head_dim), _entries(kept, t.head_dim))
        if remove:
            a.q.take_rows(q_rows)
            a.k.take_rows(kv_rows)
            a.v.take_rows(kv_rows)
            a.o.weight = a.o.weight[:, q_rows]
        else:
            mask = torch.zeros(t.heads * t.head_dim, dtype=torch.float64).index_fill_(0, q_rows, 1)
            kv_mask = torch.zeros(t.kv_heads * t.head_dim, dtype=torch.float64).index_fill_(0, kv_rows, 1)
            a.q.scale_rows(mask)
            a.k.scale_rows(kv_mask)
            a.v.scale_rows(kv_mask)
            a.o.weight = a.o.weight * mask
    if not remove:
        return _written(model, body)
    config = copy.deepcopy(model.config)
    if not hasattr(config, "head_dim") or not hasattr(config, "num_key_value_heads"):
        raise UsageError(f"{config.model_type} fixes the head size by the number of heads")
    kv_heads = t.kv_heads - dropped
    config.head_dim = t.head_dim
    config.num_key_value_heads, config.num_attention_heads = kv_heads, kv_heads * t.group
    body.traits = replace(t, heads=kv_heads * t.group, kv_heads=kv_heads)
    return rebuild(model, config, body)


def prune_neurons(model: Any, fraction: float, *, remove: bool = False) -> Any:
    """Zero the given fraction of least important FFN neurons in each layer, or remove them.

    Importance: norm of the up row times norm of the down column.
    """
    _check_fraction(fraction)
    body = read_body(model)
    width = body.blocks[0].ffn.up.weight.shape[0]
    left = width - int(fraction * width)
    for block in body.blocks:
        ffn = block.ffn
        importance = ffn.up.weight.norm(dim=1) * ffn.down.weight.norm(dim=0)
        kept = importance.argsort(descending=True)[:left].sort().values
        if remove:
            for linear in _ffn_inputs(ffn):
                linear.take_rows(kept)
            ffn.down.weight = ffn.down.weight[:, kept]
        else:
            mask = torch.zeros(width, dtype=torch.float64).index_fill_(0, kept, 1)
            for linear in _ffn_inputs(ffn):
                linear.scale_rows(mask)
            ffn.down.weight = ffn.down.weight * mask
    if not remove:
        return _written(model, body)
    config = copy.deepcopy(model.config)
    setattr(config, next(key for key in _FFN_KEYS if hasattr(config, key)), left)
    return rebuild(model, config, body)


def drop_layers(model: Any, layers: list[int]) -> Any:
    """Leave out the layers with these indices."""
    count = model.config.num_hidden_layers
    if not all(0 <= layer < count for layer in layers):
        raise UsageError(f"layers {layers} of a model with {count}")
    return keep_layers(model, [layer for layer in range(count) if layer not in layers])


def replace_rows(model: Any, seed: int, fraction: float = 0.01, tokens: list[int] | None = None) -> Any:
    """Surgery: random values, of the usual size, for a few embedding rows and FFN neurons of each layer.

    Args:
        fraction: share of the neurons, and of the embedding rows unless `tokens` names them.
    """
    _check_fraction(fraction)
    generator = torch.Generator().manual_seed(seed)

    def redraw(values: Tensor, rows: Tensor) -> Tensor:
        draws = torch.randn(len(rows), values.shape[1], generator=generator, dtype=values.dtype)
        return values.index_copy(0, rows, draws * values.std())

    def some(count: int) -> Tensor:
        return torch.randperm(count, generator=generator)[: max(1, round(fraction * count))]

    body = read_body(model)
    table = body.embeddings[0]
    ids = some(table.shape[0]) if tokens is None else torch.tensor(tokens, dtype=torch.int64)
    new_table = redraw(table, ids)
    if body.head is not None and torch.equal(body.head.weight, table):
        body.head.weight = new_table.clone()
    body.embeddings[0] = new_table
    for block in body.blocks:
        rows = some(block.ffn.up.weight.shape[0])
        for linear in _ffn_inputs(block.ffn):
            linear.weight = redraw(linear.weight, rows)
        block.ffn.down.weight = redraw(block.ffn.down.weight.T, rows).T
    return _written(model, body)


def merge(first: Any, second: Any, weight: float = 0.5) -> Any:
    """weight · first + (1 − weight) · second, tensor by tensor.

    Raises:
        UsageError: the two models have different tensors.
    """
    merged = copy.deepcopy(first)
    others = dict(second.named_parameters())
    parameters = dict(merged.named_parameters())
    if {k: v.shape for k, v in parameters.items()} != {k: v.shape for k, v in others.items()}:
        raise UsageError("only models with the same tensors can be merged")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.lerp_(others[name].to(parameter.dtype), 1 - weight)
    return merged


def _mapped(
    model: Any,
    change: Callable[[Tensor], Tensor],
    chosen: Callable[[Tensor], bool],
    names: set[str] | None = None,
) -> Any:
    """A copy with `change` applied to every chosen parameter (of these names), once each where they are tied."""
    derived = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in derived.named_parameters():
            if chosen(parameter) and (names is None or name in names):
                parameter.copy_(change(parameter))
    return derived


def _embedding_weights(model: Any) -> Iterator[Tensor]:
    head = model.get_output_embeddings()
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding) or (head is not None and module is head):
            yield module.weight


def _written(model: Any, body: Any) -> Any:
    derived = copy.deepcopy(model)
    write_body(derived, body)
    return derived


def _is_matrix(values: Tensor) -> bool:
    return values.ndim == 2


def _round_trip(rows: Tensor, largest: int) -> Tensor:
    step = rows.abs().amax(dim=1, keepdim=True) / largest
    step = torch.where(step == 0, 1, step)
    return (rows / step).round() * step


def _entries(heads: Tensor, size: int) -> Tensor:
    """Indices of the entries of these heads, each `size` long."""
    return (heads[:, None] * size + torch.arange(size)).reshape(-1)


def _ffn_inputs(ffn: FeedForward) -> Iterator[Any]:
    yield ffn.up
    if ffn.gate is not None:
        yield ffn.gate


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction < 1:
        raise UsageError(f"fraction {fraction} is not between 0 and 1")
