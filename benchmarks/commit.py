"""Commitment and field-kernel throughput; run as `python -m benchmarks.commit [log2 sizes ...]`.

Writes results/commit.json. Committed elements are the matrix entries before encoding at rate 1/4, random rows
included. The kernel bound is what transforms and hashing alone allow on the measured threads, so the ratio
says how much the streaming around them costs. Rates are per CPU second (of one core) where they are named so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.environment import best_cpu_time, best_time, best_times, peak_memory_bytes, store
from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import P
from huref.common.argument.merkle import leaf_digests, verify_multiproof
from huref.prover.commitment.committed import commit, with_random_rows
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.devices.matrix import StackedMatrix
from huref.prover.kernels.field import vectors
from huref.prover.kernels.field.small import small_matvec, small_vecmat
from huref.prover.kernels.hashing import leaves
from huref.prover.kernels.threads import thread_count
from huref.prover.kernels.transforms import ntt

WIDTH = 1024
QUERIES = 118
SEED = SecretSeed(bytes(32))


def commitment(log_size: int) -> dict[str, Any]:
    """Commit to 2^log_size int8 entries and 256 random rows; open and check 118 positions."""
    rng = np.random.default_rng(log_size)
    entries = rng.integers(-128, 128, ((1 << log_size) // WIDTH, WIDTH), dtype=np.int8)
    matrix = with_random_rows(StackedMatrix([entries]), 256, SEED, "rows")
    domain = CodeDomain.for_length(matrix.rows)
    repeats = 1 if log_size > 24 else 3
    seconds, cpu = best_times(lambda: commit(matrix, domain, bytes(32)), repeats)
    peak = peak_memory_bytes(lambda: commit(matrix, domain, bytes(32)))
    committed = commit(matrix, domain, bytes(32))
    positions = sorted(rng.choice(domain.n, min(QUERIES, domain.n), replace=False).tolist())
    open_seconds = best_time(lambda: committed.open(positions), repeats)
    opening = committed.open(positions)

    def check() -> None:
        digests = leaf_digests(positions, opening.salts, opening.values)
        verify_multiproof(committed.root, domain.n, positions, digests, opening.nodes)

    entries_total = matrix.rows * WIDTH
    bound = kernel_bound(domain, matrix.rows)
    return {
        "elements": entries_total,
        "domain": {"a": domain.a, "c": domain.c, "n": domain.n},
        "commit_seconds": seconds,
        "commit_elements_per_second": entries_total / seconds,
        "commit_elements_per_cpu_second": entries_total / cpu,
        "kernel_bound_elements_per_cpu_second": bound,
        "fraction_of_kernel_bound": entries_total / cpu / bound,
        "open_seconds": open_seconds,
        "verify_leaves_seconds": best_time(check),
        "opening_bytes": 4 * opening.values.size + opening.salts.size + 32 * len(opening.nodes),
        "commit_peak_memory_bytes": peak,
    }


def kernel_bound(domain: CodeDomain, rows: int) -> float:
    """Elements per CPU second when batches are only transformed and hashed, from warm buffers on one thread."""
    plan = ntt.Plan.of(domain)
    source = np.zeros(-(-rows >> plan.log2) * ntt.BATCH << plan.log2, dtype=np.uint32)
    no_bytes = np.empty(0, dtype=np.int8)
    work = np.zeros(domain.subgroup * ntt.BATCH, dtype=np.uint32)
    states = np.zeros(domain.n * 8, dtype=np.uint32)
    role = leaves.BatchRole.of(ntt.BATCH, WIDTH)
    batches = max(1, (1 << 22) // (rows * ntt.BATCH))

    def run() -> None:
        for coset in list(range(domain.c)) * batches:
            ntt.first_pass(
                work, no_bytes, source, plan.shifts[coset], plan.wraps[coset], plan.root, plan.log1, plan.log2,
                plan.first_twiddles[coset], plan.reverse1, 0, 1 << plan.log2,
            )  # fmt: skip
            leaves.hash_pass(
                work, states, coset * domain.subgroup, plan.log2, plan.second_twiddles,
                role.opens, role.header_state, role.columns, role.padding, role.tail, role.has_tail,
                0, 1 << plan.log1,
            )  # fmt: skip

    return batches * rows * ntt.BATCH / best_cpu_time(run)


def kernels() -> dict[str, Any]:
    """Field kernels on vectors that fit the cache, and integer matrix products over 64 MiB."""
    rng = np.random.default_rng(1)
    n = 1 << 12
    a, b = (rng.integers(0, P, (5, n), dtype=np.uint32) for _ in range(2))
    out = np.empty_like(a)
    flat_out, flat_a, flat_b = out.reshape(-1), a.reshape(-1), b.reshape(-1)

    def rate(count: int, call: Callable[[], Any], repeats: int = 1) -> float:
        def many() -> None:
            for _ in range(repeats):
                call()

        return count * repeats / best_cpu_time(many)

    matrix = rng.integers(-128, 128, (1 << 16, WIDTH), dtype=np.int8)
    row = rng.integers(0, P, (5, WIDTH), dtype=np.uint32)
    column = rng.integers(0, P, (5, 1 << 16), dtype=np.uint32)
    wide = matrix[: 1 << 12].astype(np.int16)
    return {
        "k_multiplications_per_cpu_second": rate(n, lambda: vectors._mul(out, a, b, 0, n), 100),
        "f_additions_per_cpu_second": rate(
            5 * n, lambda: vectors._add(flat_out, flat_a, flat_b, 0, 5 * n), 100
        ),
        "int8_matvec_entries_per_cpu_second": rate(matrix.size, lambda: small_matvec(matrix, row)),
        "int8_vecmat_entries_per_cpu_second": rate(matrix.size, lambda: small_vecmat(column, matrix)),
        "int16_matvec_entries_per_cpu_second": rate(wide.size, lambda: small_matvec(wide, row)),
    }


COLD = """
import numpy as np, time
start = time.perf_counter()
from huref.common.algebra.domain import CodeDomain
from huref.prover.commitment.committed import commit
from huref.prover.devices.matrix import StackedMatrix
committed = commit(StackedMatrix([np.zeros((20, 3), dtype=np.int8)]), CodeDomain.for_length(20), bytes(32))
committed.open([1, 2])
print(time.perf_counter() - start)
"""


def first_use() -> dict[str, float]:
    """Seconds from import to a first small commitment and opening, without and with the compile cache."""
    with tempfile.TemporaryDirectory() as cache:
        seconds = [
            float(
                subprocess.run(
                    [sys.executable, "-c", COLD],
                    env={**os.environ, "NUMBA_CACHE_DIR": cache},
                    capture_output=True,
                    check=True,
                    text=True,
                ).stdout
            )
            for _ in range(2)
        ]
    return {"cold_seconds": seconds[0], "cached_seconds": seconds[1]}


def main() -> None:
    """Measure the sizes given on the command line (default 20 and 24) and the kernels."""
    sizes = [int(argument) for argument in sys.argv[1:]] or [20, 24]
    start = time.perf_counter()
    measured: dict[str, Any] = {
        "threads": thread_count(),
        "first_use": first_use(),
        "kernels": kernels(),
        "commit": {f"2^{size}": commitment(size) for size in sizes},
    }
    store("commit", {**measured, "benchmark_seconds": time.perf_counter() - start})


if __name__ == "__main__":
    main()
