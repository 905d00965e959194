"""Integer matrices to commit to, and their columns in batches for the transforms (protocol §4).

Columns are read 64 at a time, a cache line of 8-bit entries, and handed on 16 at a time. 8-bit entries stay bytes:
the first pass of a transform then reads a quarter of the memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import P
from huref.common.errors import ProverError
from huref.prover.kernels.mapped import row_parts
from huref.prover.kernels.threads import run_ranges
from huref.prover.kernels.transforms.ntt import BATCH, as_source, load_columns, pack_bytes, split

_TOGETHER = 4  # batches read at once
_DTYPES = (np.int8, np.int16, np.int32, np.uint32)


class Matrix(Protocol):
    """What can be committed to: `rows` coefficients in each of `width` columns."""

    @property
    def rows(self) -> int: ...

    @property
    def width(self) -> int: ...

    def columns(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Columns [start, stop) as (rows, stop - start) int8, int16, int32 or canonical uint32."""
        ...


@dataclass(frozen=True)
class StackedMatrix:
    """Row segments of one width, each an array or memory map (rows_i, w) of its own integer type.

    `beside`, if given, holds further columns of canonical residues, (rows, extra) uint32.
    """

    segments: tuple[npt.NDArray[Any], ...]
    beside: npt.NDArray[np.uint32] | None

    def __init__(
        self, segments: Sequence[npt.NDArray[Any]], beside: npt.NDArray[np.uint32] | None = None
    ) -> None:
        if not segments or any(s.ndim != 2 or s.shape[1] != segments[0].shape[1] for s in segments):
            raise ValueError("segments must be two-dimensional and of one width")
        object.__setattr__(self, "segments", tuple(segments))
        object.__setattr__(self, "beside", beside)
        if beside is not None and (beside.shape[:-1] != (self.rows,) or beside.dtype != np.uint32):
            raise ValueError(f"columns beside {self.rows} rows: {beside.dtype} {beside.shape}")

    @property
    def rows(self) -> int:
        """Rows of all segments."""
        return sum(len(segment) for segment in self.segments)

    @property
    def width(self) -> int:
        """Columns, those beside included."""
        return int(self.segments[0].shape[1]) + (0 if self.beside is None else int(self.beside.shape[1]))

    def pieces(self, start: int, stop: int) -> list[tuple[npt.NDArray[Any], int]] | None:
        """Runs of rows and the column at which columns [start, stop) begin in them; None if some lie beside."""
        w = self.segments[0].shape[1]
        if stop <= w:
            return [(segment, start) for segment in self.segments]
        return [(self.beside, start - w)] if self.beside is not None and start >= w else None

    def columns(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Columns [start, stop) of all rows in one array; canonical uint32 if the types differ.

        Raises ProverError if an entry that becomes a residue is not in (-p, p).
        """
        pieces = self.pieces(start, stop)
        if pieces is None:
            w = self.segments[0].shape[1]
            return np.concatenate([_residues(self.columns(start, w)), self.columns(w, stop)], axis=1)
        parts = [part[:, column : column + stop - start] for part, column in pieces]
        if len({part.dtype for part in parts}) == 1:
            return np.concatenate(parts)
        return np.concatenate([_residues(part) for part in parts])


def _in_field(part: npt.NDArray[Any], where: str = "") -> npt.NDArray[Any]:
    """The same entries. ProverError if one is not in (-p, p)."""
    if part.itemsize == 4 and part.size and (int(part.max()) >= P or int(part.min()) <= -P):
        raise ProverError(f"a committed entry{where} is not in F")
    return part


def _residues(part: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    return np.mod(_in_field(part), np.int64(P)).astype(np.uint32)


def column_parts(matrix: Matrix, start: int, stop: int) -> list[npt.NDArray[Any]]:
    """Columns [start, stop) as pieces of rows, each of its own integer type; views where the matrix is stacked."""
    pieces = matrix.pieces(start, stop) if isinstance(matrix, StackedMatrix) else None
    if pieces is None:
        return [matrix.columns(start, stop)]
    return [part[:, column : column + stop - start] for part, column in pieces]


@dataclass(frozen=True)
class Batch:
    """Sixteen columns from `first` on as `first_pass` reads them: flat bytes, then flat canonical residues."""

    first: int
    small: npt.NDArray[np.int8]
    wide: npt.NDArray[np.uint32]


class BatchReader:
    """Reads matrices of k' rows for the transforms of a domain, into buffers that it fills again and again."""

    def __init__(self, domain: CodeDomain) -> None:
        self._k_prime, self._log2 = domain.k_prime, split(domain)[1]
        self._small = np.empty(0, dtype=np.int8)
        self._wide = np.empty(0, dtype=np.uint32)

    def read(self, matrix: Matrix, start: int, stop: int) -> Iterator[Batch]:
        """The batches of columns [start, stop).

        Raises ProverError if an entry is not in (-p, p), ValueError if the matrix has not k' rows or no column.
        """
        if matrix.rows != self._k_prime or stop <= start:
            raise ValueError(f"a {matrix.rows} x {matrix.width} matrix does not fit k' = {self._k_prime}")
        for first in range(start, stop, _TOGETHER * BATCH):
            last = min(first + _TOGETHER * BATCH, stop)
            small, wide = self._load(_contiguous(matrix, first, last), last - first)
            for batch in range(len(small)):
                yield Batch(first + batch * BATCH, small[batch].reshape(-1), wide[batch].reshape(-1))

    def _load(
        self, pieces: list[tuple[npt.NDArray[Any], int]], columns: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Columns as batches (b, rows, 16): the first piece's bytes, if it has them, and residues of all else."""
        log2, (first, column) = self._log2, pieces[0]
        packable = first.dtype == np.int8 and not (
            first.shape[1] % BATCH or column % BATCH or columns % BATCH
        )
        packed = len(first) >> log2 << log2 if packable else 0
        small, wide = self._buffers(-(-columns // BATCH), packed)
        if packed:
            words = first[:packed].view(np.uint64), column // 8
            for low, high in row_parts(first[:packed]):
                run_ranges(
                    pack_bytes, high - low, 1 << 12, small.view(np.uint64), log2, *words, align=1, first=low
                )
        row = 0
        for part, at in [(first[packed:], column), *pieces[1:]]:
            if part.dtype.type not in _DTYPES:
                raise ValueError(f"entries must be int8, int16, int32 or uint32, got {part.dtype}")
            _in_field(part[:, at : at + columns], f" in rows {packed + row} and on")
            run_ranges(
                load_columns, len(part), 1 << 10,
                wide, row, log2, as_source(part), part.shape[1], at, columns,
                align=1,
            )  # fmt: skip
            row += len(part)
        load_columns(
            wide, row, log2, as_source(self._wide), 0, 0, 0, 0, wide.shape[1] - row
        )  # zeros up to a whole i1
        return small, wide

    def _buffers(self, batches: int, packed: int) -> tuple[np.ndarray, np.ndarray]:
        """Room for `packed` rows of bytes and, up to a whole i1, the others as residues: (batches, rows, 16) each."""
        loose = -(-(self._k_prime - packed) >> self._log2 << self._log2)
        if self._small.size < batches * packed * BATCH:
            self._small = np.empty(batches * packed * BATCH, dtype=np.int8)
        if self._wide.size < batches * loose * BATCH:
            self._wide = np.empty(batches * loose * BATCH, dtype=np.uint32)
        small = self._small[: batches * packed * BATCH].reshape(batches, packed, BATCH)
        return small, self._wide[: batches * loose * BATCH].reshape(batches, loose, BATCH)


def _contiguous(matrix: Matrix, start: int, stop: int) -> list[tuple[npt.NDArray[Any], int]]:
    """Row-major runs of rows and the column at which columns [start, stop) begin in them."""
    pieces = matrix.pieces(start, stop) if isinstance(matrix, StackedMatrix) else None
    if pieces is None:
        return [(np.ascontiguousarray(matrix.columns(start, stop)), 0)]
    return [
        (part, column)
        if part.flags.c_contiguous
        else (np.ascontiguousarray(part[:, column : column + stop - start]), 0)
        for part, column in pieces
    ]
