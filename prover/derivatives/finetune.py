"""A short but real fine-tuning on a small text, with all weights or with low-rank adapters (LoRA).

Language models learn to predict the next token. BERT-type sentence encoders learn that neighbouring lines
belong together (in-batch contrastive loss on mean-pooled outputs).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from torch.nn.utils import parametrize

Encode = Callable[[str], list[int]]

_CLIP = 1.0
_TEMPERATURE = 0.05


def training_text() -> str:
    """The small text shipped for fine-tuning, one sentence a line."""
    return (files("huref.prover.derivatives") / "data" / "harbour.txt").read_text(encoding="utf-8")


class LowRank(nn.Module):
    """W + B A with B (out, rank) starting at zero and A (rank, in) random (Hu et al. 2021, §4.1)."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.zeros(weight.shape[0], rank, dtype=weight.dtype))
        self.a = nn.Parameter(torch.randn(rank, weight.shape[1], dtype=weight.dtype) / rank**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """The adapted weight, of the same shape."""
        return weight + self.b @ self.a


def fine_tune(
    model: Any,
    encode: Encode,
    seed: int,
    *,
    steps: int = 24,
    learning_rate: float | None = None,
    batch: int = 2,
    length: int = 48,
    lora_rank: int | None = None,
    text: str | None = None,
) -> tuple[Any, list[float]]:
    """Train a copy of the model with AdamW; return it with the loss of each step.

    Args:
        encode: text to token ids, without special tokens.
        learning_rate: default 5e-5 for all weights, 1e-3 for adapters.
        length: tokens per sequence (language models).
        lora_rank: train adapters of that rank on all linear maps inside the layers and merge them at the
            end; None: train all weights.
    """
    tuned = copy.deepcopy(model)
    lines = (text or training_text()).splitlines()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapted = _adapt(tuned, lora_rank) if lora_rank else []
        trained = [p for p in tuned.parameters() if p.requires_grad]
        rate = learning_rate or (1e-3 if lora_rank else 5e-5)
        optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.01)
        loss_of = _sentence_loss if tuned.get_output_embeddings() is None else _language_loss
        batches = _prepare(encode, lines)
        losses = []
        for _ in range(steps):
            loss = loss_of(tuned, batches, batch, length)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(trained, _CLIP)
            optimizer.step()
            losses.append(float(loss.detach()))
    for module in adapted:
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    tuned.requires_grad_(True)
    return tuned.eval(), losses


def _adapt(model: nn.Module, rank: int) -> list[nn.Module]:
    """Freeze the model and put a trainable adapter on each linear map inside its layers."""
    model.requires_grad_(False)
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    kinds = ("Linear", "Conv1D")
    adapted = [m for blocks in lists for m in blocks.modules() if type(m).__name__ in kinds]
    for module in adapted:
        weight: Any = module.weight
        parametrize.register_parametrization(module, "weight", LowRank(weight.detach(), rank))
    return adapted


def _prepare(encode: Encode, lines: list[str]) -> list[Tensor]:
    return [torch.tensor(encode(line), dtype=torch.int64) for line in lines]


def _language_loss(model: Any, lines: list[Tensor], batch: int, length: int) -> Tensor:
    """Next-token loss on random windows of the joined text."""
    joined = torch.cat(lines)
    length = min(length, len(joined) - 1)
    starts = torch.randint(0, len(joined) - length, (batch,))
    windows = joined[starts[:, None] + torch.arange(length + 1)]
    logits = model(windows[:, :-1]).logits
    return cross_entropy(logits.flatten(0, 1).float(), windows[:, 1:].flatten())


def _sentence_loss(model: Any, lines: list[Tensor], batch: int, length: int) -> Tensor:
    """Each line must find its successor among the batch's successors."""
    at = torch.randperm(len(lines) - 1)[: 2 * batch].tolist()
    first = normalize(_pooled(model, [lines[i][:length] for i in at]), dim=1)
    second = normalize(_pooled(model, [lines[i + 1][:length] for i in at]), dim=1)
    return cross_entropy(first @ second.T / _TEMPERATURE, torch.arange(len(at)))


def _pooled(model: Any, lines: list[Tensor]) -> Tensor:
    ids = nn.utils.rnn.pad_sequence(lines, batch_first=True)
    mask = torch.arange(ids.shape[1]) < torch.tensor([len(line) for line in lines])[:, None]
    states = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    return (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
