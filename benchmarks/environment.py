"""What a stored benchmark result says about where it was measured, and the file it goes to."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def best_times(run: Callable[[], Any], repeats: int = 3) -> tuple[float, float]:
    """Wall seconds and CPU seconds (all threads), each of the fastest of `repeats` runs after a warm-up.

    On a machine shared with other work only the CPU seconds say what the code costs.
    """
    run()
    wall, cpu = [], []
    for _ in range(repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    return min(wall), min(cpu)


def best_time(run: Callable[[], Any], repeats: int = 3) -> float:
    """The wall seconds of `best_times`."""
    return best_times(run, repeats)[0]


def best_cpu_time(run: Callable[[], Any], repeats: int = 3) -> float:
    """The CPU seconds of `best_times`."""
    return best_times(run, repeats)[1]


def _processor() -> tuple[str, str]:
    """The processor's name, which a virtual machine may shorten, and its widest vectors."""
    found = {"model name": platform.processor(), "flags": ""}
    with open("/proc/cpuinfo") as info:
        for line in info:
            key, _, value = line.partition(":")
            found[key.strip()] = value.strip()
    widest = [name for name in ("avx512f", "avx2") if name in found["flags"].split()]
    return found["model name"], (widest or ["neither AVX2 nor AVX-512"])[0]


def _yardstick() -> dict[str, float]:
    """How fast the machine is right now at work that is not ours: a float32 product on all cores, SHA-256 on one."""
    import numpy

    size = 2048
    square, data = numpy.ones((size, size), numpy.float32), bytes(1 << 26)
    product, digest = best_time(lambda: square @ square), best_time(lambda: hashlib.sha256(data).digest())
    return {"gflops": round(2e-9 * size**3 / product), "sha256_mb_s": round(len(data) / digest / 1e6)}


def environment() -> dict[str, Any]:
    """Processor, cores, load and speed when measured, library versions and source commit."""
    import numba
    import numpy

    model, vectors = _processor()
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=RESULTS.parent
    ).stdout.strip()
    return {
        "cpu": model,
        "vectors": vectors,
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "yardstick": _yardstick(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "numba": numba.__version__,
        "commit": commit,
    }


def peak_memory_bytes(run: Callable[[], Any]) -> int:
    """Peak of the memory that one run allocates (numpy arrays and Python objects)."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def store(name: str, measured: dict[str, Any]) -> None:
    """Print the result and write `results/<name>.json` (temporary file, then rename)."""
    content = json.dumps({"environment": environment(), **measured}, indent=1) + "\n"
    RESULTS.mkdir(exist_ok=True)
    temporary = RESULTS / f".{name}.tmp"
    temporary.write_text(content)
    temporary.rename(RESULTS / f"{name}.json")
    print(content, end="")
