"""Transforms on cosets as exact float64 matrix products, for torch devices: the twin of `kernels/transforms/ntt.py`.

A transform of size N = r1·r2·…·rm, each r a power of two of at most 128, takes m products with small matrices
instead of log N rounds of butterflies, because those products are what a GPU does best, and because every
elementwise operation of eager torch is one pass over memory. Step by step: contract the leading digit of the
coefficient index with the r × r matrix of powers, multiply by the twiddles of what remains, go on with the
next digit. The first step carries the coset's shift.

Exactness. Data are integers |x| < p < 2^31 held in float64. The matrix is split into two signed digits of 16
bits, so a sum of r terms stays below 128 · 0.94 · 2^31 · 2^15 < 2^53 in whatever order it is added, and so do the
multiple of p that a reduction subtracts and the recombined 2^16·high + low.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import P, fmul, fpowers, root_of_unity

MAX_RADIX_BITS = 7


def radices(log_n: int, bits: int = MAX_RADIX_BITS) -> list[int]:
    """Powers of two of at most 2^bits each, as even as can be, with product 2^log_n; [1] for log_n = 0."""
    steps = max(1, -(-log_n // bits))
    return [1 << (log_n // steps + (i < log_n % steps)) for i in range(steps)]


def transform_order(sizes: Sequence[int]) -> npt.NDArray[np.int64]:
    """Exponent e of the point whose value a transform leaves at each place: the digits of `sizes` reversed."""
    whole = int(np.prod(sizes))
    digits = np.arange(whole).reshape(tuple(reversed(sizes)))
    return np.ascontiguousarray(digits.transpose()).reshape(-1)


def reduce_(values: Tensor) -> Tensor:
    """In place, integers |x| < 2^53 in float64 to residues |r| <= (p+1)/2."""
    return values.sub_((values * (1 / P)).round_(), alpha=P)


@dataclass(frozen=True)
class Step:
    """One digit: `matrix` (2r, r) float64, high digits over low ones, and `twiddles` (r, rest), or None."""

    matrix: Tensor
    twiddles: Tensor | None

    @classmethod
    def of(cls, radix: int, rest: int, shift: int, device: torch.device) -> Step:
        """The first step of a transform of size radix·rest on the coset of `shift`."""
        size = radix * rest
        powers = fpowers(root_of_unity(size.bit_length() - 1), size)
        rows = np.arange(radix)[:, None]
        strides = rows * np.arange(radix)[None] * rest % size
        matrix = fmul(powers[strides], fpowers(pow(shift, rest, P), radix)[None])
        centred = matrix.astype(np.int64)
        centred[centred > P // 2] -= P
        low = ((centred + (1 << 15)) & 0xFFFF) - (1 << 15)
        split = torch.from_numpy(np.concatenate([(centred - low) >> 16, low]).astype(np.float64))
        twiddles = None
        if rest > 1:
            exponents = rows * np.arange(rest)[None] % size
            table = fmul(powers[exponents], fpowers(shift, rest)[None]).astype(np.int32)
            twiddles = torch.from_numpy(table).to(device)
        return cls(split.to(device), twiddles)

    def apply(self, values: Tensor) -> Tensor:
        """(columns, …) of float64 integers |x| < p, read as (batch, r, rest): the same count, transformed."""
        radix = self.matrix.shape[1]
        rest = 1 if self.twiddles is None else self.twiddles.shape[1]
        if rest == 1:
            both = (values.reshape(-1, radix) @ self.matrix.T).reshape(-1, 2, radix)
        else:
            data = values.reshape(-1, radix, rest)
            both = torch.bmm(self.matrix.expand(len(data), -1, -1), data).reshape(-1, 2, radix, rest)
        out = reduce_(both[:, 1].add(reduce_(both[:, 0]), alpha=1 << 16))
        if self.twiddles is None:
            return out
        return out.to(torch.int64).mul_(self.twiddles).fmod_(P).to(torch.float64)


class Transforms:
    """The transforms of one domain on one device; `order` (2^a,) gives each place's point within its coset."""

    def __init__(self, domain: CodeDomain, device: torch.device, radix_bits: int = MAX_RADIX_BITS) -> None:
        self.domain = domain
        sizes = radices(domain.a, radix_bits)
        self.order = transform_order(sizes)
        rests = [int(np.prod(sizes[i + 1 :])) for i in range(len(sizes))]
        self._first = [
            Step.of(sizes[0], rests[0], domain.shift(coset), device) for coset in range(1, domain.c + 1)
        ]
        self._others = [
            Step.of(radix, rest, 1, device) for radix, rest in zip(sizes[1:], rests[1:], strict=True)
        ]

    def evaluate(self, coefficients: Tensor, coset: int) -> Tensor:
        """Values of (columns, k') float64 integers |x| < p on coset 0..c-1: (columns, 2^a) canonical int32."""
        values = self._first[coset].apply(self._folded(coefficients, coset))
        for step in self._others:
            values = step.apply(values)
        out = values.reshape(len(coefficients), self.domain.subgroup).to(torch.int32)
        return out.add_((out >> 31).bitwise_and_(P))

    def _folded(self, coefficients: Tensor, coset: int) -> Tensor:
        """Coefficients modulo X^(2^a) − shift^(2^a)."""
        size = self.domain.subgroup
        columns, rows = coefficients.shape
        if rows == size:
            return coefficients
        out = torch.zeros((columns, size), dtype=torch.float64, device=coefficients.device)
        out[:, : min(rows, size)] = coefficients[:, :size]
        wrap = pow(self.domain.shift(coset + 1), size, P)
        for part in range(1, -(-rows // size)):
            above = coefficients[:, part * size : (part + 1) * size].to(torch.int64)
            out[:, : above.shape[1]] += above.mul_(pow(wrap, part, P)).fmod_(P)
        return reduce_(out) if rows > size else out
