"""The device that encodes and hashes on torch tensors, on a GPU or, for tests, on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import FArray, P
from huref.common.argument.merkle import BLOCK_COLUMNS, Digests
from huref.common.errors import ProverError
from huref.prover.devices.leaves import TensorLeaves, hash_nodes
from huref.prover.devices.matrix import Matrix, column_parts
from huref.prover.devices.memory import memory_errors
from huref.prover.devices.products import MAX_RADIX_BITS, Transforms
from huref.prover.devices.sha256 import ROW_BYTES, Sha256
from huref.prover.kernels.hashing.leaves import BatchRole, hash_level
from huref.prover.kernels.transforms.ntt import BATCH

GPU_WORKING_SET = 1 << 28
CPU_WORKING_SET = 1 << 22  # about what the caches hold
_POINT_BYTES = 64  # float64 data, its two halves transformed, and temporaries, per point of a column
_LOAD_BYTES = 24  # a column as read, as float64, and a temporary, per coefficient


@dataclass(frozen=True)
class TensorDevice:
    """Encodes and hashes on the torch device `tensors`.

    `working_set` bounds the bytes of intermediate tensors, except that one column and one batch of 16
    columns on one coset must fit; beside them there are 96 bytes of state per leaf. Tree levels of fewer
    than `small_level` nodes are hashed by the CPU kernels, which start faster. `radix_bits` is for tests.
    """

    tensors: str
    working_set: int = GPU_WORKING_SET
    small_level: int = 1 << 15
    radix_bits: int = MAX_RADIX_BITS

    @property
    def executor(self) -> str:
        """As `Device.executor`."""
        return "torch-cpu" if self.tensors == "cpu" else self.tensors

    @property
    def for_proofs(self) -> TensorDevice:
        """As `Device.for_proofs`."""
        return self

    def leaf_digests(self, matrix: Matrix, domain: CodeDomain, salt_header: bytes) -> Digests:
        """As `Device.leaf_digests`."""
        with memory_errors(self.tensors):
            transforms = self._transforms(domain)
            starts = np.arange(domain.c)[:, None] * domain.subgroup
            index = torch.from_numpy((starts + transforms.order).reshape(-1)).to(self.tensors)
            together = max(1, self._rows // domain.subgroup)  # a GPU wants many rows in every operation
            hasher = TensorLeaves(self._sha(), index, salt_header, self._rows)
            for first, coefficients in self._batches(matrix, domain, BATCH):
                role = BatchRole.of(first, matrix.width)
                for coset in range(0, domain.c, together):
                    cosets = range(coset, min(coset + together, domain.c))
                    values = torch.cat([self._codes(transforms, coefficients, j) for j in cosets], 1)
                    hasher.absorb(coset * domain.subgroup, values, role)
                if role.closes:
                    hasher.close_block()
            return hasher.finish()

    def encode_rows(self, matrix: Matrix, domain: CodeDomain, positions: Sequence[int]) -> FArray:
        """As `Device.encode_rows`."""
        with memory_errors(self.tensors):
            transforms = self._transforms(domain)
            wanted = np.asarray(positions, dtype=np.int64)
            place = np.argsort(transforms.order)[wanted % domain.subgroup]
            coset_of = wanted // domain.subgroup
            out = np.empty((len(wanted), matrix.width), dtype=np.uint64)
            for first, coefficients in self._batches(matrix, domain, BLOCK_COLUMNS):
                for coset in np.unique(coset_of):
                    rows = np.flatnonzero(coset_of == coset)
                    values = self._codes(transforms, coefficients, int(coset))
                    opened = values[:, torch.from_numpy(place[rows]).to(self.tensors)]
                    out[rows, first : first + len(coefficients)] = opened.T.cpu().numpy()
            return out

    def hash_level(self, children: Digests) -> Digests:
        """As `Device.hash_level`."""
        if len(children) // 2 < self.small_level:
            return hash_level(children)
        with memory_errors(self.tensors):
            return hash_nodes(self._sha(), children, self._rows)

    @property
    def _rows(self) -> int:
        """Rows that are hashed at once."""
        return max(1, self.working_set // ROW_BYTES)

    def _sha(self) -> Sha256:
        return Sha256(torch.device(self.tensors))

    def _transforms(self, domain: CodeDomain) -> Transforms:
        return Transforms(domain, torch.device(self.tensors), self.radix_bits)

    def _codes(self, transforms: Transforms, coefficients: Tensor, coset: int) -> Tensor:
        """Values of a batch of columns on one coset, (columns, 2^a) int32, as many columns at once as fit."""
        step = max(1, self.working_set // (_POINT_BYTES * transforms.domain.subgroup))
        parts = [transforms.evaluate(part, coset) for part in coefficients.split(step)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _batches(self, matrix: Matrix, domain: CodeDomain, size: int) -> Iterator[tuple[int, Tensor]]:
        """(first column, (columns, k') float64 integers in (-p, p)) for every batch of at most `size` columns."""
        rows, width = matrix.rows, matrix.width
        if rows != domain.k_prime or width < 1:
            raise ValueError(f"a {rows} x {width} matrix does not fit k' = {domain.k_prime}")
        together = self.working_set // (_LOAD_BYTES * rows) // BATCH * BATCH
        together = min(max(together, BATCH), BLOCK_COLUMNS)
        for first in range(0, width, together):
            loaded = self._load(matrix, first, min(first + together, width))
            for batch in range(0, len(loaded), size):
                yield first + batch, loaded[batch : batch + size]

    def _load(self, matrix: Matrix, start: int, stop: int) -> Tensor:
        """Columns [start, stop) as (columns, k') float64. ProverError for an entry outside (-p, p)."""
        out = torch.empty((stop - start, matrix.rows), dtype=torch.float64, device=self.tensors)
        row = 0
        for segment, low in _segments(matrix, start, stop):
            part = out[:, row : row + len(segment)]
            part.copy_(torch.from_numpy(segment).to(self.tensors).T)
            if segment.dtype == np.int32 and bool(((part < low) | (part >= P)).any()):
                raise ProverError(f"a committed entry in rows {row}..{row + len(segment) - 1} is not in F")
            row += len(segment)
        return out


def _segments(matrix: Matrix, start: int, stop: int) -> Iterator[tuple[npt.NDArray[Any], int]]:
    """Columns [start, stop) in contiguous signed pieces of rows, and the least entry allowed in each."""
    for part in column_parts(matrix, start, stop):
        if part.dtype.type not in (np.int8, np.int16, np.int32, np.uint32):
            raise ValueError(f"entries must be int8, int16, int32 or uint32, got {part.dtype}")
        own = np.array(part, order="C")  # a copy: a memory map may be read-only
        yield (own.view(np.int32), 0) if own.dtype == np.uint32 else (own, 1 - P)
