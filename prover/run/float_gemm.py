"""Exact integer matrix products in torch, on the CPU or a GPU, in blocks of output columns.

Operands are small integers held in float64, whose products are exact in any order of summation while every
partial sum is below 2^53; the program's static bounds keep them below 2^30.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

BLOCK = 2048
"""Output columns per product: 2048 × 16384 float64 entries are 256 MB."""


def product(left: torch.Tensor, right_rows: Callable[[slice], torch.Tensor], cols: int) -> torch.Tensor:
    """left @ rightᵀ as int64 (rows × cols); `right_rows(s)` gives rows s of right as float64.

    `left` is (rows × inner) float64. Only one block of right is in memory at a time.
    """
    out = torch.empty((left.shape[0], cols), dtype=torch.int64, device=left.device)
    for start in range(0, cols, BLOCK):
        part = slice(start, min(start + BLOCK, cols))
        out[:, part] = (left @ right_rows(part).T).to(torch.int64)
    return out
