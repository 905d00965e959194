"""Copy a body out of a `transformers` model, and write a rewritten one back into it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from huref.prover.derivatives.body import Attention, Block, Body, FeedForward, Linear, Norm, Traits
from huref.prover.derivatives.names import MASKED_HEAD, Names, names_of

_EPS_KEYS = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon")
_ACTIVATION_KEYS = ("hidden_activation", "hidden_act", "activation_function")


def read_body(model: nn.Module) -> Body:
    """The model's weights as float64 copies. Raises `Unsupported` for a family without an entry."""
    return _Binding(model).read()


@torch.no_grad()
def write_body(model: nn.Module, body: Body) -> None:
    """Write `body` back, in the model's own dtype, resizing modules where shapes changed.

    A head tied to the token embeddings is untied when the two now differ, in the config as well.
    """
    _Binding(model).write(body)


class _Binding:
    def __init__(self, model: Any) -> None:
        self.model = model
        self.config = model.config
        self.names: Names = names_of(self.config.model_type)
        first = self.names.embeddings[0]
        self.prefix = next(p for p in self.names.prefixes if _has(model, p + first))
        self.head_name = next((h for h in self.names.heads if _has(model, h)), None)
        self.eps_key = next((key for key in _EPS_KEYS if hasattr(self.config, key)), None)
        if self.head_name == MASKED_HEAD:  # followed by a norm of its own, which shares the config's eps
            self.eps_key = None

    def traits(self) -> Traits:
        config, names = self.config, self.names
        heads = config.num_attention_heads
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
        rope = getattr(config, "rope_parameters", None) or {}
        found = [getattr(config, key) for key in _ACTIVATION_KEYS if getattr(config, key, None)]
        return Traits(
            heads=heads,
            kv_heads=getattr(config, "num_key_value_heads", None) or heads,
            head_dim=head_dim,
            rotary_dim=int(head_dim * rope.get("partial_rotary_factor", 1.0)) if names.rotary else 0,
            layer_norm=names.layer_norm,
            post_norm=names.post_norm,
            alibi=names.alibi,
            activation=found[0] if found else "gelu",
        )

    def read(self) -> Body:
        names = self.names
        blocks = self._module(names.blocks)
        return Body(
            traits=self.traits(),
            embeddings=[_copy(self._module(name).weight) for name in names.embeddings],
            embedding_norm=self._norm(self._optional(names.embedding_norm)),
            blocks=[self._read_block(block) for block in blocks],
            final_norm=self._norm(self._optional(names.final_norm)),
            head=_linear(self.model.get_submodule(self.head_name)) if self.head_name else None,
            eps=getattr(self.config, self.eps_key) if self.eps_key else None,
        )

    def _read_block(self, block: nn.Module) -> Block:
        names = self.names
        q, k, v = self._read_qkv(block)
        gate: Linear | None
        if names.gate_up:
            gate, up = _split(_linear(block.get_submodule(names.gate_up)), 2)
        else:
            gate = _linear(block.get_submodule(names.gate)) if names.gate else None
            up = _linear(block.get_submodule(names.up))
        return Block(
            attention=Attention(
                q=q,
                k=k,
                v=v,
                o=_linear(block.get_submodule(names.o)),
                q_norm=self._norm(_below(block, names.q_norm)),
                k_norm=self._norm(_below(block, names.k_norm)),
            ),
            ffn=FeedForward(up=up, gate=gate, down=_linear(block.get_submodule(names.down))),
            attn_norm=self._required_norm(block, names.attn_norm),
            ffn_norm=self._required_norm(block, names.ffn_norm),
            attn_output_norm=self._norm(_below(block, names.attn_output_norm)),
            ffn_output_norm=self._norm(_below(block, names.ffn_output_norm)),
        )

    def _read_qkv(self, block: nn.Module) -> tuple[Linear, Linear, Linear]:
        names, t = self.names, self.traits()
        if not names.qkv:
            q, k, v = (_linear(block.get_submodule(name)) for name in (names.q, names.k, names.v))
            return q, k, v
        fused = _linear(block.get_submodule(names.qkv))
        if names.qkv_layout == "per-head":
            order = torch.arange(3 * t.heads * t.head_dim).view(t.heads, 3, t.head_dim)
            fused.take_rows(order.transpose(0, 1).reshape(-1))
        q_rows, kv_rows = t.heads * t.head_dim, t.kv_heads * t.head_dim
        q, k, v = _split(fused, [q_rows, kv_rows, kv_rows])
        return q, k, v

    def write(self, body: Body) -> None:
        names = self.names
        self._write_embeddings(body)
        _set_norm(self._optional(names.embedding_norm), body.embedding_norm, names.gain_offset)
        _set_norm(self._optional(names.final_norm), body.final_norm, names.gain_offset)
        for block, new in zip(self._module(names.blocks), body.blocks, strict=True):
            self._write_block(block, new, body.traits)
        if self.eps_key and body.eps is not None and body.eps != getattr(self.config, self.eps_key):
            old = getattr(self.config, self.eps_key)
            setattr(self.config, self.eps_key, body.eps)
            for module in self.model.modules():
                for key in ("eps", "variance_epsilon"):
                    if getattr(module, key, None) == old:
                        setattr(module, key, body.eps)

    def _write_embeddings(self, body: Body) -> None:
        table = self._module(self.names.embeddings[0])
        head: Any = self.model.get_submodule(self.head_name) if self.head_name else None
        output: Any = self.model.get_output_embeddings()
        tied = output is not None and output.weight is table.weight
        # BERT's decoder is tied to the table but does not read the stream; it must keep its weights.
        kept = body.head.weight if body.head is not None and output is head else table.weight
        if tied and not torch.equal(kept.double(), body.embeddings[0]):
            output.weight = nn.Parameter(table.weight.detach().clone())
            self.config.tie_word_embeddings = False
        for name, new in zip(self.names.embeddings, body.embeddings, strict=True):
            _set(self._module(name), "weight", new)
        if body.head is not None:
            _set_linear(head, body.head)

    def _write_block(self, block: nn.Module, new: Block, t: Traits) -> None:
        names, a, f = self.names, new.attention, new.ffn
        if names.qkv:
            fused = _join([a.q, a.k, a.v])
            if names.qkv_layout == "per-head":
                order = torch.arange(3 * t.heads * t.head_dim).view(3, t.heads, t.head_dim)
                fused.take_rows(order.transpose(0, 1).reshape(-1))
            _set_linear(block.get_submodule(names.qkv), fused)
        else:
            for name, linear in ((names.q, a.q), (names.k, a.k), (names.v, a.v)):
                _set_linear(block.get_submodule(name), linear)
        if names.gate_up:
            assert f.gate is not None
            _set_linear(block.get_submodule(names.gate_up), _join([f.gate, f.up]))
        else:
            _set_linear(block.get_submodule(names.up), f.up)
            if f.gate is not None:
                _set_linear(block.get_submodule(names.gate), f.gate)
        _set_linear(block.get_submodule(names.o), a.o)
        _set_linear(block.get_submodule(names.down), f.down)
        for name, norm in (
            (names.attn_norm, new.attn_norm),
            (names.ffn_norm, new.ffn_norm),
            (names.attn_output_norm, new.attn_output_norm),
            (names.ffn_output_norm, new.ffn_output_norm),
            (names.q_norm, a.q_norm),
            (names.k_norm, a.k_norm),
        ):
            _set_norm(_below(block, name), norm, names.gain_offset)

    def _module(self, name: str) -> Any:
        return self.model.get_submodule(self.prefix + name)

    def _optional(self, name: str) -> Any:
        return self._module(name) if name else None

    def _required_norm(self, block: nn.Module, name: str) -> Norm:
        norm = self._norm(block.get_submodule(name))
        assert norm is not None
        return norm

    def _norm(self, module: Any) -> Norm | None:
        if module is None:
            return None
        bias = getattr(module, "bias", None)
        return Norm(_copy(module.weight) + self.names.gain_offset, None if bias is None else _copy(bias))


def _has(model: nn.Module, path: str) -> bool:
    try:
        return model.get_submodule(path) is not None
    except AttributeError:
        return False


def _below(block: nn.Module, name: str) -> Any:
    return block.get_submodule(name) if name else None


def _copy(parameter: Tensor) -> Tensor:
    return parameter.detach().double().clone()


def _linear(module: Any) -> Linear:
    weight = _copy(module.weight)
    bias = None if module.bias is None else _copy(module.bias)
    return Linear(weight.T if _transposed(module) else weight, bias)


def _transposed(module: Any) -> bool:
    return type(module).__name__ == "Conv1D"


def _split(linear: Linear, sizes: int | list[int]) -> list[Linear]:
    if isinstance(sizes, int):
        sizes = [linear.weight.shape[0] // sizes] * sizes
    weights = linear.weight.split(sizes)
    biases = [None] * len(sizes) if linear.bias is None else linear.bias.split(sizes)
    return [Linear(weight, bias) for weight, bias in zip(weights, biases, strict=True)]


def _join(parts: list[Linear]) -> Linear:
    biases = [part.bias for part in parts if part.bias is not None]
    return Linear(torch.cat([part.weight for part in parts]), torch.cat(biases) if biases else None)


def _set(module: Any, name: str, value: Tensor) -> None:
    old = getattr(module, name)
    value = value.to(old.dtype)
    if old.shape == value.shape:
        old.copy_(value)
    else:
        setattr(module, name, nn.Parameter(value.contiguous()))


def _set_linear(module: Any, linear: Linear) -> None:
    _set(module, "weight", linear.weight.T if _transposed(module) else linear.weight)
    if linear.bias is not None:
        _set(module, "bias", linear.bias)
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = linear.weight.shape
    elif _transposed(module):
        module.nf, module.nx = linear.weight.shape


def _set_norm(module: Any, norm: Norm | None, offset: float) -> None:
    if module is None or norm is None:
        return
    _set(module, "weight", norm.gain - offset)
    if norm.bias is not None:
        _set(module, "bias", norm.bias)
