"""The inner product's runs for scores of heads and how alike they are; twin of `huref.circuits.argument.heads`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.lookup import SiteRequest
from huref.circuits.program.program import HeadProducts, Likeness
from huref.common.algebra.field import DEGREE, KArray, kouter, kzero, to_field
from huref.prover.argument.witness import stack_activation
from huref.prover.kernels.field import vectors
from huref.prover.kernels.field.field import U32, k_to_mont, to_mont
from huref.prover.kernels.field.small import small_vecmat

Ints = NDArray[Any]


def stacked(matrix: Ints, w: int) -> U32:
    """A matrix as it is committed, column block after column block: (5, n)."""
    out = np.zeros((DEGREE, matrix.shape[0] * -(-matrix.shape[1] // w) * w), np.uint32)
    out[0] = _residues(matrix, w)
    return out


def head_vectors(
    acc: HeadProducts | Likeness, request: SiteRequest, values: Mapping[str, Ints], w: int
) -> tuple[U32, U32]:
    """l and r of a site, each (5, n) Montgomery."""
    return (
        _scores(acc, request, values, w)
        if isinstance(acc, HeadProducts)
        else _likeness(acc, request, values, w)
    )


def _residues(matrix: Ints, w: int) -> U32:
    return to_mont(to_field(stack_activation(matrix, w).reshape(-1)))


def _scores(acc: HeadProducts, request: SiteRequest, values: Mapping[str, Ints], w: int) -> tuple[U32, U32]:
    source = values[acc.left]
    rows, cols = source.shape
    asked = request.columns(cols // acc.width)
    flat = _residues(source, w)
    left = np.zeros((DEGREE, len(flat)), np.uint32)
    for block, first in enumerate(range(0, cols, w)):
        part = slice(block * rows * w, (block + 1) * rows * w)
        places = np.arange(first, min(first + w, cols)) // acc.width
        coefficients = kouter(request.rows, _padded(asked[places], w)).reshape(-1, DEGREE)
        left[:, part] = vectors.mul_base(k_to_mont(coefficients), flat[part])
    return left, stacked(values[acc.right.source][:, acc.right.index(cols)], w)


def _likeness(acc: Likeness, request: SiteRequest, values: Mapping[str, Ints], w: int) -> tuple[U32, U32]:
    source = values[acc.source]
    rows, cols = source.shape
    partners, asked = acc.partners(np.arange(cols)), k_to_mont(request.columns(cols))
    weights, blocks = k_to_mont(request.rows[: acc.heads]), -(-cols // w)
    right = np.zeros((DEGREE, blocks, rows, w), np.uint32)
    for row in range(rows):
        sums = vectors.mul(small_vecmat(weights, np.ascontiguousarray(source[row][partners])), asked)
        wide = np.zeros((DEGREE, blocks * w), np.uint32)
        wide[:, :cols] = sums
        right[:, :, row] = wide.reshape(DEGREE, blocks, w)
    return stacked(source, w), right.reshape(DEGREE, -1)


def _padded(vector: KArray, length: int) -> KArray:
    out = kzero((length,))
    out[: len(vector)] = vector
    return out
