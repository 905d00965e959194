"""The same work on several devices; run as `python -m benchmarks.device [devices ...] [log2 sizes ...]`.

Devices are names for `--device` (default: cpu, and cuda where there is a GPU, else torch-cpu); sizes are committed
int8 entries in rows of 1024 (default 2^20). Writes results/device.json, which says of every device what
it is: figures of `torch-cpu` are the GPU's code on CPU tensors and tell nothing about a GPU. Every device must give
the same root, rows and vector, or the script fails. CPU seconds count the host's threads only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.environment import best_times, store
from benchmarks.proof import llama_shape, random_weights
from huref.circuits.fingerprint.paper import compile_paper
from huref.common.algebra.domain import CodeDomain
from huref.prover.commitment.committed import commit, with_random_rows
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.devices.choose import choose
from huref.prover.devices.interface import Device
from huref.prover.devices.matrix import StackedMatrix
from huref.prover.devices.tensors import TensorDevice
from huref.prover.run.executor import execute

WIDTH = 1024
QUERIES = 118
RANDOM_ROWS = 256
EXECUTOR_HIDDEN = 128


def describe(device: Device) -> str:
    """What really ran."""
    if not isinstance(device, TensorDevice):
        return "compiled kernels on the CPU"
    if not device.tensors.startswith("cuda"):
        return f"torch on {device.tensors} tensors, no GPU"
    return f"torch on {torch.cuda.get_device_name(device.tensors)}"


def timed(device: Device, run: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Best wall and CPU seconds after a warm-up, and the peak of the GPU's memory."""
    gpu = device.executor.startswith("cuda")
    if gpu:
        torch.cuda.reset_peak_memory_stats(device.executor)
    wall, cpu = best_times(run, repeats)
    found = {"seconds": wall, "cpu_seconds": cpu}
    if gpu:
        found["gpu_peak_bytes"] = torch.cuda.max_memory_allocated(device.executor)
    return found


def commitment(device: Device, log_size: int) -> tuple[dict[str, Any], tuple[bytes, bytes]]:
    """Figures of one commitment and opening, and what must not depend on the device: root and opened rows."""
    rng = np.random.default_rng(log_size)
    entries = rng.integers(-128, 128, ((1 << log_size) // WIDTH, WIDTH), dtype=np.int8)
    matrix = with_random_rows(StackedMatrix([entries]), RANDOM_ROWS, SecretSeed(bytes(32)), "rows")
    domain = CodeDomain.for_length(matrix.rows)
    committed = commit(matrix, domain, bytes(32), device)
    positions = sorted(rng.choice(domain.n, min(QUERIES, domain.n), replace=False).tolist())
    children = committed.tree.levels[0][: len(committed.tree.levels[0]) // 2 * 2]
    repeats = 1 if log_size > 24 else 3
    work: dict[str, Callable[[], Any]] = {
        "commit": lambda: commit(matrix, domain, bytes(32), device),
        "open": lambda: committed.open(positions),
        "first_tree_level": lambda: device.hash_level(children),
    }
    figures: dict[str, Any] = {name: timed(device, run, repeats) for name, run in work.items()}
    figures["elements_per_second"] = matrix.rows * WIDTH / figures["commit"]["seconds"]
    return figures, (committed.root, committed.open(positions).values.tobytes())


def executor(device: Device) -> tuple[dict[str, float], list[int]]:
    """The paper's fingerprint program (K = 4096) on random weights: figures, and the vector."""
    program = compile_paper(llama_shape(EXECUTOR_HIDDEN), 4096, 256)
    weights = random_weights(program)
    vector = execute(program, weights, device=device.executor).v.tolist()
    return timed(device, lambda: execute(program, weights, device=device.executor), 3), vector


def main(arguments: list[str]) -> None:
    """Measure and store."""
    sizes = [int(argument) for argument in arguments if argument.isdigit()] or [20]
    names = [argument for argument in arguments if not argument.isdigit()]
    names = names or ["cpu", "cuda" if torch.cuda.is_available() else "torch-cpu"]
    devices = {name: choose(name) for name in names}
    measured: dict[str, Any] = {name: {"is": describe(device)} for name, device in devices.items()}
    same: dict[str, list[Any]] = {}
    for name, device in devices.items():
        for size in sizes:
            measured[name][f"2^{size}"], bytes_ = commitment(device, size)
            same.setdefault(f"2^{size}", []).append(bytes_)
        measured[name]["executor"], vector = executor(device)
        same.setdefault("executor", []).append(vector)
    for what, results in same.items():
        if any(result != results[0] for result in results):
            raise SystemExit(f"{what}: the devices {', '.join(names)} do not agree")
    store("device", {"torch": torch.__version__, "devices": measured})


if __name__ == "__main__":
    main(sys.argv[1:])
