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


def convolution(planes: torch.Tensor, weights: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
    """Convolution of (channels, size, size) planes by one product over unfolded patches: (out, positions).

    Not torch's own convolution, which may choose an algorithm (Winograd, FFT) that is not exact.
    """
    kernel = weights.shape[2]
    patches = torch.nn.functional.unfold(planes[None], kernel, padding=padding, stride=stride)[0]
    return (weights.reshape(weights.shape[0], -1) @ patches).to(torch.int64)
