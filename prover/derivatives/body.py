"""A transformer's weights with storage details undone, so that a rewrite is written once for all families.

Rows and columns follow y = W x: a weight is (out, in). d hidden size, h heads, g kv heads, e head dim,
f FFN width. The residual stream is written by the embeddings and by o and down, and read, through a norm,
by q, k, v, up, gate and the head. All tensors are float64 copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Linear:
    """weight (out, in); bias (out,) or None."""

    weight: Tensor
    bias: Tensor | None = None

    def map_rows(self, matrix: Tensor) -> None:
        """Compose with a map (out, out) applied to the output."""
        self.weight = matrix @ self.weight
        if self.bias is not None:
            self.bias = matrix @ self.bias

    def scale_rows(self, factor: Tensor | float) -> None:
        """Scale the output, by one number or by a vector (out,)."""
        self.weight = self.weight * (factor[:, None] if isinstance(factor, Tensor) else factor)
        if self.bias is not None:
            self.bias = self.bias * factor

    def take_rows(self, order: Tensor) -> None:
        """Keep or reorder outputs: row i becomes row order[i]."""
        self.weight = self.weight[order]
        if self.bias is not None:
            self.bias = self.bias[order]


@dataclass
class Norm:
    """gain (n,), as multiplied (Gemma's 1+γ included); bias (n,) or None."""

    gain: Tensor
    bias: Tensor | None = None

    def scale(self, factor: Tensor | float) -> None:
        """Scale the norm's output entry by entry."""
        self.gain = self.gain * factor
        if self.bias is not None:
            self.bias = self.bias * factor

    def take(self, order: Tensor) -> None:
        """Reorder entries."""
        self.gain = self.gain[order]
        if self.bias is not None:
            self.bias = self.bias[order]


@dataclass
class Attention:
    """q (h·e, d), k and v (g·e, d), o (d, h·e); per-head norms on q and k where the family has them."""

    q: Linear
    k: Linear
    v: Linear
    o: Linear
    q_norm: Norm | None = None
    k_norm: Norm | None = None


@dataclass
class FeedForward:
    """up (f, d), gate (f, d) or None, down (d, f)."""

    up: Linear
    gate: Linear | None
    down: Linear


@dataclass
class Block:
    """One layer. `attn_norm`, `ffn_norm`: before the sub-layer in "pre" models, after the sum in "post" ones.

    `attn_output_norm`, `ffn_output_norm`: on the sub-layer's output, before the sum (Gemma 2/3).
    """

    attention: Attention
    ffn: FeedForward
    attn_norm: Norm
    ffn_norm: Norm
    attn_output_norm: Norm | None = None
    ffn_output_norm: Norm | None = None

    def norms(self) -> Iterator[Norm]:
        """The norms over the hidden dimension."""
        for norm in (self.attn_norm, self.ffn_norm, self.attn_output_norm, self.ffn_output_norm):
            if norm is not None:
                yield norm


@dataclass(frozen=True)
class Traits:
    """What decides which rewrites leave the function unchanged."""

    heads: int
    kv_heads: int
    head_dim: int
    rotary_dim: int
    layer_norm: bool
    post_norm: bool
    alibi: bool
    activation: str

    @property
    def group(self) -> int:
        """Query heads per kv head."""
        return self.heads // self.kv_heads


@dataclass
class Body:
    """All weights. `embeddings`: tables (n, d) summed into the stream, the token table first.

    `head`: what reads the last hidden state (language-model head, or BERT's pooler), a copy even where it
    is tied to the token embeddings. `eps`: the norms' constant, None where the config does not hold it for
    them alone.
    """

    traits: Traits
    embeddings: list[Tensor]
    embedding_norm: Norm | None
    blocks: list[Block]
    final_norm: Norm | None
    head: Linear | None
    eps: float | None

    @property
    def hidden(self) -> int:
        """d."""
        return int(self.embeddings[0].shape[1])

    @property
    def has_output_norms(self) -> bool:
        """Whether sub-layers end with a norm of their own."""
        return any(block.attn_output_norm is not None for block in self.blocks)

    @property
    def has_qk_norms(self) -> bool:
        """Whether q and k pass a per-head norm."""
        return any(block.attention.q_norm is not None for block in self.blocks)

    def readings(self) -> Iterator[tuple[Norm, list[Linear]]]:
        """Each norm whose output linear maps read, with those maps, in order of the forward pass."""
        stream = self.embedding_norm
        for block in self.blocks:
            a, f = block.attention, block.ffn
            ffn_readers = [f.up] if f.gate is None else [f.up, f.gate]
            if not self.traits.post_norm:
                yield block.attn_norm, [a.q, a.k, a.v]
                yield block.ffn_norm, ffn_readers
                continue
            assert stream is not None
            yield stream, [a.q, a.k, a.v]
            yield block.attn_norm, ffn_readers
            stream = block.ffn_norm
        last = stream if self.traits.post_norm else self.final_norm
        if last is not None and self.head is not None:
            yield last, [self.head]

    def writers(self) -> Iterator[Linear]:
        """The maps that write the residual stream (before an output norm, where there is one)."""
        for block in self.blocks:
            yield block.attention.o
            yield block.ffn.down

    def hidden_norms(self) -> Iterator[Norm]:
        """All norms over the hidden dimension."""
        if self.embedding_norm is not None:
            yield self.embedding_norm
        for block in self.blocks:
            yield from block.norms()
        if self.final_norm is not None:
            yield self.final_norm


def random_orthogonal(size: int, generator: torch.Generator) -> Tensor:
    """A Haar-distributed orthogonal matrix (size, size), float64."""
    q, r = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return q * torch.sign(torch.diagonal(r))


def random_invertible(size: int, condition: float, generator: torch.Generator) -> Tensor:
    """A random matrix (size, size), float64, of exactly that condition number."""
    left, right = random_orthogonal(size, generator), random_orthogonal(size, generator)
    exponents = torch.linspace(-0.5, 0.5, size, dtype=torch.float64) if size > 1 else torch.zeros(1)
    return (left * condition**exponents) @ right


def random_scales(count: int, factor: float, generator: torch.Generator, *, signed: bool) -> Tensor:
    """Numbers (count,), log-uniform in [1/factor, factor], with random signs when `signed`; float64."""
    exponents = 2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1
    scales = factor**exponents
    if signed:
        flips = torch.randint(0, 2, (count,), generator=generator)
        scales = scales * (1 - 2 * flips)
    return scales
