"""Rewrites of a `transformers` model in memory that leave its function alone, as an owner would disguise a model.

Rows and columns follow y = W x; stacked experts are (E, out, in), or (E, in, out) in GPT-OSS and Llama 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from tests.support.tiny_experts import HIDDEN, HYBRID, UNIT_UP

SOFTMAX = (
    "mixtral",
    "qwen2_moe",
    "qwen3_moe",
    "olmoe",
    "granitemoe",
    "deepseek_v2",
    "deepseek_v2-lite",
    "gpt_oss",
    "minimax",
    "hunyuan_v1_moe",
    "granitemoeshared",
)


@torch.no_grad()
def disguise(model: Any, name: str) -> None:
    """All rewrites that the function of a tiny model (`tiny_experts.MODELS`) survives, one after another."""
    rewriter = Rewriter(model)
    rewriter.experts()
    if name not in UNIT_UP:
        rewriter.scales()
    rewriter.attention()
    if name in HYBRID:
        return
    if name in ("phimoe", "minimax"):  # LayerNorm; a norm in the residual path
        rewriter.hidden(rewriter.permutation(HIDDEN))
    else:
        rewriter.gains()
        rewriter.hidden(rewriter.rotation(HIDDEN))
    if name in SOFTMAX:
        rewriter.router_shift()


class Rewriter:
    """Rewrites of one model, drawn from one generator."""

    def __init__(self, model: Any, seed: int = 1) -> None:
        self.model, self.config = model, model.config
        self.generator = torch.Generator().manual_seed(seed)
        self.columns_first = self.config.model_type in ("gpt_oss", "llama4_text")

    def layers(self) -> Iterator[Any]:
        """All decoder layers."""
        yield from self.model.model.layers

    def experts(self) -> None:
        """Reorder experts, and the neurons of each."""
        for layer in self.layers():
            block = mixture(layer)
            if block is None:
                continue
            order = self._order(len(block.experts.down_proj))
            for tensor in (reading(block), block.experts.down_proj, *routing(block)):
                tensor.copy_(tensor[..., order] if tensor.ndim == 1 else tensor[order])
            for parts in self._stacked(block):
                places = self._order(len(parts[0]))
                for rows in parts:
                    rows.copy_(rows[places])

    def scales(self) -> None:
        """Scale every neuron's up and the inverse of it into its down, in all FFNs."""
        for layer in self.layers():
            block = mixture(layer)
            for *_, up, down in self._stacked(block) if block is not None else ():
                self._scale(up, down)
            for ffn in dense(layer):
                self._scale(*neurons(ffn))

    def gains(self) -> None:
        """Move all of each norm's gain into the weights that read it."""
        for layer in self.layers():
            for norm, readers in (
                (layer.input_layernorm, attention_readers(layer)),
                (layer.post_attention_layernorm, self._ffn_readers(layer)),
            ):
                for weight in readers:
                    weight.mul_(norm.weight)
                norm.weight.fill_(1.0)
        self.model.lm_head.weight.mul_(self.model.model.norm.weight)
        self.model.model.norm.weight.fill_(1.0)

    def hidden(self, matrix: Tensor) -> None:
        """Turn the hidden space: x becomes x Q. Gains have to be one, or Q a permutation."""
        self.model.model.embed_tokens.weight.copy_(self.model.model.embed_tokens.weight @ matrix)
        self.model.lm_head.weight.copy_(self.model.lm_head.weight @ matrix)
        for layer in self.layers():
            for weight in (*attention_readers(layer), *self._ffn_readers(layer)):
                weight.copy_(weight @ matrix)
            for rows in self._writers(layer):
                rows.copy_(rows @ matrix)
            for norm in (layer.input_layernorm, layer.post_attention_layernorm):
                norm.weight.copy_(
                    norm.weight @ matrix
                    if not torch.allclose(norm.weight, torch.ones(1).double())
                    else norm.weight
                )
        norm = self.model.model.norm
        if not torch.allclose(norm.weight, torch.ones(1).double()):
            norm.weight.copy_(norm.weight @ matrix)

    def attention(self) -> None:
        """Maps of v and o, scales of q and k per rotary plane, reordered heads; latents turned and scaled."""
        for layer in self.layers():
            attn = getattr(layer, "self_attn", getattr(layer, "mixer", None))
            if hasattr(attn, "kv_b_proj"):
                self._latents(attn)
            elif hasattr(attn, "q_proj"):
                self._plain_attention(attn)

    def router_shift(self) -> None:
        """Add one vector to all of a router's rows, which a softmax does not see."""
        for layer in self.layers():
            if (block := mixture(layer)) is not None:
                routing(block)[0].add_(self._randn(1, self.config.hidden_size))

    def _plain_attention(self, attn: Any) -> None:
        size, kv = attn.head_dim, self.config.num_key_value_heads
        group = self.config.num_attention_heads // kv
        q, k, v = (getattr(attn, f"{name}_proj").weight for name in "qkv")
        o = (attn.o_proj if hasattr(attn, "o_proj") else attn.out_proj).weight
        d = q.shape[1]
        gated = q.shape[0] > kv * group * size  # an output gate per head, which no map of the values survives
        queries, keys, values, outs = (
            q.view(kv, group, -1, d),
            k.view(kv, size, d),
            v.view(kv, size, d),
            o.T.reshape(kv, group, size, d),
        )
        normed = any(hasattr(attn, name) for name in ("q_norm", "query_layernorm", "q_layernorm", "qk_norm"))
        mix = torch.eye(size).double() + (0 if gated else 0.3) * self._randn(kv, size, size)
        values, outs = mix @ values, torch.linalg.inv(mix).mT[:, None] @ outs
        if not normed:
            factor = torch.exp(0.5 * self._randn(kv, 1, 1))
            queries, keys = queries * factor[:, None], keys / factor
        order = (
            self._order(kv)
            if not hasattr(attn, "q_norm") or attn.q_norm.weight.numel() == size
            else range(kv)
        )
        order = torch.as_tensor(list(order))
        q.copy_(queries[order].reshape(q.shape))
        k.copy_(keys[order].reshape(k.shape))
        v.copy_(values[order].reshape(v.shape))
        o.copy_(outs[order].reshape(-1, d).T)

    def _latents(self, attn: Any) -> None:
        c, heads = self.config, self.config.num_attention_heads
        plain, rotary, value = c.qk_nope_head_dim, c.qk_rope_head_dim, c.v_head_dim
        direct = getattr(attn, "q_b_proj", None) is None
        q = (attn.q_proj if direct else attn.q_b_proj).weight
        if not direct:
            self._turn_latent(attn.q_a_proj.weight, attn.q_a_layernorm, q)
        rank = c.kv_lora_rank
        self._turn_latent(attn.kv_a_proj_with_mqa.weight[:rank], attn.kv_a_layernorm, attn.kv_b_proj.weight)
        queries = q.view(heads, plain + rotary, -1)
        both = attn.kv_b_proj.weight.view(heads, plain + value, -1)
        outs = attn.o_proj.weight.T.reshape(heads, value, -1)
        keys, values = both[:, :plain].clone(), both[:, plain:].clone()
        nope, rope = queries[:, :plain].clone(), queries[:, plain:].clone()
        mix = torch.eye(plain).double() + 0.3 * self._randn(heads, plain, plain)
        nope, keys = mix @ nope, torch.linalg.inv(mix).mT @ keys
        mix = torch.eye(value).double() + 0.3 * self._randn(heads, value, value)
        values, outs = mix @ values, torch.linalg.inv(mix).mT @ outs
        rope = rope * 1.7
        attn.kv_a_proj_with_mqa.weight[rank:] /= 1.7
        order = self._order(heads)
        queries.copy_(torch.cat([nope, rope], 1)[order])
        both.copy_(torch.cat([keys, values], 1)[order])
        attn.o_proj.weight.copy_(outs[order].reshape(-1, outs.shape[-1]).T)

    def _turn_latent(self, down: Tensor, norm: Any, up: Tensor) -> None:
        """Fold the norm's gain, then rotate the latent, and scale it before the norm."""
        up.mul_(norm.weight)
        norm.weight.fill_(1.0)
        turn = self.rotation(len(down))
        down.copy_(3.0 * turn @ down)
        up.copy_(up @ turn.T)

    def rotation(self, size: int) -> Tensor:
        """A random orthogonal matrix."""
        return torch.linalg.qr(self._randn(size, size))[0]

    def permutation(self, size: int) -> Tensor:
        """A random permutation matrix."""
        return torch.eye(size, dtype=torch.float64)[self._order(size)]

    def _stacked(self, block: Any) -> Iterator[tuple[Tensor, ...]]:
        """gate (where there is one), up and down of each expert, rows of the hidden size (views)."""
        for both, down in zip(reading(block), block.experts.down_proj, strict=True):
            rows, written = (both.T, down) if self.columns_first else (both, down.T)
            if not hasattr(block.experts, "gate_up_proj"):
                yield rows, written
                continue
            if self.config.model_type == "gpt_oss":
                yield rows[0::2], rows[1::2], written
            else:
                half = len(rows) // 2
                yield rows[:half], rows[half:], written

    def _ffn_readers(self, layer: Any) -> list[Tensor]:
        """Views with the hidden size last."""
        found = [weight for ffn in dense(layer) for weight in readers(ffn)]
        block = mixture(layer)
        if block is None:
            return found
        found.append(routing(block)[0])
        if hasattr(block, "shared_expert_gate"):
            found.append(block.shared_expert_gate.weight)
        both = block.experts.gate_up_proj
        return [*found, both.mT if self.columns_first else both]

    def _writers(self, layer: Any) -> list[Tensor]:
        """Views with the hidden size last."""
        attn, block = layer.self_attn, mixture(layer)
        found = [(attn.o_proj if hasattr(attn, "o_proj") else attn.out_proj).weight.T]
        found += [neurons(ffn)[1] for ffn in dense(layer)]
        if block is not None:
            down = block.experts.down_proj
            found.append(down if self.columns_first else down.mT)
        return found

    def _scale(self, up: Tensor, down: Tensor) -> None:
        factor = torch.exp(self._randn(len(up), 1))
        up.mul_(factor)
        down.div_(factor)

    def _randn(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def _order(self, count: int) -> Tensor:
        return torch.randperm(count, generator=self.generator)


def ffn_of(layer: Any) -> Any:
    """The layer's FFN or mixture."""
    names = ("mlp", "feed_forward", "block_sparse_moe", "shared_mlp", "mixer")
    return next(found for name in names if (found := getattr(layer, name, None)) is not None)


def reading(block: Any) -> Tensor:
    """gate and up of all experts of a mixture, or up."""
    experts = block.experts
    return experts.gate_up_proj if hasattr(experts, "gate_up_proj") else experts.up_proj


def mixture(layer: Any) -> Any | None:
    """The layer's mixture of experts."""
    found = ffn_of(layer)
    return found if hasattr(found, "experts") else None


def dense(layer: Any) -> list[Any]:
    """FFNs that see every token: the layer's own, or the shared expert."""
    found = ffn_of(layer)
    if not hasattr(found, "experts"):
        return [found]
    names = ("shared_expert", "shared_experts", "shared_mlp")
    shared = [getattr(holder, name, None) for holder in (found, layer) for name in names]
    return [ffn for ffn in shared if ffn is not None]


def neurons(ffn: Any) -> tuple[Tensor, Tensor]:
    """up and down of an FFN, rows of the hidden size (views)."""
    if hasattr(ffn, "w3"):
        return ffn.w3.weight, ffn.w2.weight.T
    if hasattr(ffn, "input_linear"):
        both = ffn.input_linear.weight
        return both[len(both) // 2 :], ffn.output_linear.weight.T
    return ffn.up_proj.weight, ffn.down_proj.weight.T


def readers(ffn: Any) -> list[Tensor]:
    """What an FFN reads the stream with."""
    if hasattr(ffn, "input_linear"):
        return [ffn.input_linear.weight]
    return [ffn.gate_proj.weight, ffn.up_proj.weight]


def routing(block: Any) -> list[Tensor]:
    """The router's weight, then what else it has per expert."""
    router = block.gate if hasattr(block, "gate") else block.router
    inner = next(
        (found for name in ("wg", "gate") if (found := getattr(router, name, None)) is not None), router
    )
    weight = inner.weight
    extra = [
        found
        for holder in (router, block)
        for name in ("e_score_correction_bias", "expert_bias")
        if (found := getattr(holder, name, None)) is not None
    ]
    return [weight, *extra]


def attention_readers(layer: Any) -> list[Tensor]:
    """Weights that read the stream through the attention's norm."""
    names = ("q_proj", "k_proj", "v_proj", "q_a_proj", "kv_a_proj_with_mqa", "qkv_proj", "output_gate")
    found = [getattr(layer.self_attn, name, None) for name in names]
    return [module.weight for module in found if module is not None]
