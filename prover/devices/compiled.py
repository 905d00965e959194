"""The device that is always there: every column encoded and every code point hashed by the compiled kernels.

Column blocks of 256 and cosets are independent up to the leaf digests (`BlockHasher`). Within them columns are
read 64 at a time, encoded 16 at a time, and each coset's transform is consumed by the hasher while it is in the
cache. So memory is 256 bytes per coefficient row (64 where entries are bytes) and 64 bytes per point of one coset for
the batches, 32 bytes per leaf and block of columns while committing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import FArray
from huref.common.argument.merkle import BLOCK_COLUMNS, Digests, block_count
from huref.prover.devices.interface import Device
from huref.prover.devices.matrix import Batch, BatchReader, Matrix, StackedMatrix
from huref.prover.kernels.hashing.leaves import BatchRole, LeafHasher, hash_level, hash_pass
from huref.prover.kernels.threads import run_ranges
from huref.prover.kernels.transforms.few_points import evaluate_integers, suits_integers
from huref.prover.kernels.transforms.ntt import BATCH, Plan, evaluate_rows, first_pass


class CompiledDevice:
    """The `Device` that is always there: the compiled kernels on all CPU threads."""

    executor = "cpu"

    @property
    def for_proofs(self) -> Device:
        """As `Device.for_proofs`."""
        return self

    def leaf_digests(self, matrix: Matrix, domain: CodeDomain, salt_header: bytes) -> Digests:
        """As `Device.leaf_digests`."""
        return leaf_digests(matrix, domain, salt_header)

    def encode_rows(self, matrix: Matrix, domain: CodeDomain, positions: Sequence[int]) -> FArray:
        """As `Device.encode_rows`."""
        return encode_rows(matrix, domain, positions)

    def hash_level(self, children: Digests) -> Digests:
        """As `Device.hash_level`."""
        return hash_level(children)


def leaf_digests(matrix: Matrix, domain: CodeDomain, salt_header: bytes) -> Digests:
    """The leaf digests (n, 32) of the matrix's code, in point order."""
    if matrix.width < 1:
        raise ValueError("a matrix without columns")
    count = block_count(matrix.width)
    hasher, blocks = LeafHasher(domain, count, salt_header), BlockHasher(domain)
    for number in range(count):
        blocks.digest(ColumnBlock.of(matrix, number), range(domain.c), hasher.states(number))
    del blocks  # its buffers are as large as what follows
    return hasher.finish()


@dataclass(frozen=True)
class ColumnBlock:
    """Block `number` of rows of `width` values: `matrix` holds its columns from column `first` on."""

    matrix: Matrix
    first: int
    number: int
    width: int

    @classmethod
    def of(cls, matrix: Matrix, number: int) -> ColumnBlock:
        """A block of a whole matrix."""
        return cls(matrix, number * BLOCK_COLUMNS, number, matrix.width)

    @property
    def columns(self) -> int:
        """Its number of columns."""
        return min(BLOCK_COLUMNS, self.width - self.number * BLOCK_COLUMNS)


class BlockHasher:
    """Encodes column blocks of one domain and hashes their rows; the buffers serve all blocks."""

    def __init__(self, domain: CodeDomain) -> None:
        self._domain, self._plan = domain, Plan.of(domain)
        self._work = np.empty(domain.subgroup * BATCH, dtype=np.uint32)
        self._reader = BatchReader(domain)

    def digest(self, block: ColumnBlock, cosets: range, states: np.ndarray) -> None:
        """Write the block's digests on `cosets` to `states`, 8 words per point in transform order.

        Raises ProverError if an entry is not in (-p, p), ValueError if the block has not k' rows.
        """
        domain, plan, work = self._domain, self._plan, self._work
        for batch in self._reader.read(block.matrix, block.first, block.first + block.columns):
            role = BatchRole.of(block.number * BLOCK_COLUMNS + batch.first - block.first, block.width)
            for place, coset in enumerate(cosets):
                _first_pass(plan, coset, work, batch)
                run_ranges(
                    hash_pass, 1 << plan.log1, _grain(plan.log2),
                    work, states, place * domain.subgroup, plan.log2, plan.second_twiddles,
                    role.opens, role.header_state, role.columns, role.padding, role.tail, role.has_tail,
                    align=1,
                )  # fmt: skip


def encode_rows(matrix: Matrix, domain: CodeDomain, positions: Sequence[int]) -> FArray:
    """The code's rows at sorted `positions`, shape (t, width): one pass over the matrix. ValueError as `commit`."""
    if matrix.rows != domain.k_prime:
        raise ValueError(f"{matrix.rows} rows do not fit k' = {domain.k_prime}")
    wanted = np.asarray(positions, dtype=np.int64)
    if (
        isinstance(matrix, StackedMatrix)
        and matrix.beside is None
        and suits_integers(matrix.segments, len(wanted))
    ):
        return evaluate_integers(matrix.segments, domain.points(wanted))
    plan = Plan.of(domain)
    out = np.empty((len(wanted), matrix.width), dtype=np.uint64)
    work = np.empty(domain.subgroup * BATCH, dtype=np.uint32)
    bounds = np.searchsorted(wanted, np.arange(domain.c + 1) * domain.subgroup)
    for batch in BatchReader(domain).read(matrix, 0, matrix.width):
        columns = min(BATCH, matrix.width - batch.first)
        for coset in range(domain.c):
            low, high = bounds[coset], bounds[coset + 1]
            if low == high:
                continue
            _first_pass(plan, coset, work, batch)
            places = wanted[low:high] - coset * domain.subgroup
            values = np.empty((len(places), BATCH), dtype=np.uint32)
            run_ranges(
                evaluate_rows, len(places), _grain(plan.log2),
                values.reshape(-1), work, places, plan.root, plan.log1, plan.log2,
                align=1,
            )  # fmt: skip
            out[low:high, batch.first : batch.first + columns] = values[:, :columns]
    return out


def _first_pass(plan: Plan, coset: int, work: np.ndarray, batch: Batch) -> None:
    run_ranges(
        first_pass, 1 << plan.log2, _grain(plan.log1),
        work, batch.small, batch.wide, plan.shifts[coset], plan.wraps[coset], plan.root, plan.log1, plan.log2,
        plan.first_twiddles[coset], plan.reverse1,
        align=1,
    )  # fmt: skip


def _grain(log_rows: int) -> int:
    """Blocks of 2^log_rows rows that are worth a thread of their own: about 2^12 rows."""
    return max(1, 1 << max(0, 12 - log_rows))


COMPILED: Device = CompiledDevice()
