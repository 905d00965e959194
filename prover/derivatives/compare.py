"""Outputs of a real forward pass, in true float64, to see whether two models are the same function."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class _Double(TorchFunctionMode):
    """Turns the casts to float32 inside norms and softmax into casts to float64."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        args = tuple(torch.float64 if value is torch.float32 else value for value in args)
        kwargs = {k: torch.float64 if v is torch.float32 else v for k, v in (kwargs or {}).items()}
        return func(*args, **kwargs)


@torch.no_grad()
def outputs(model: nn.Module, ids: Tensor) -> Tensor:
    """Logits (batch, length, vocab) for token ids (batch, length), or BERT's pooled output (batch, d).

    A model in float64 is evaluated in float64 throughout.
    """
    model.eval()
    if next(model.parameters()).dtype == torch.float64:
        with _Double():
            result: Any = model(ids)
    else:
        result = model(ids)
    return result.logits if "logits" in result else result.pooler_output


def difference(before: Tensor, after: Tensor) -> float:
    """Largest change of an output, relative to the largest deviation of `before` from its mean."""
    spread = (before - before.mean()).abs().max()
    return float((before - after).abs().max() / spread)
