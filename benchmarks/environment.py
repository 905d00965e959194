"""What a stored benchmark result says about where it was measured, and the file it goes to."""

from __future__ import annotations

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


def environment() -> dict[str, Any]:
    """Processor, cores, load when measured, library versions and source commit."""
    import numba
    import numpy

    model = platform.processor()
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=RESULTS.parent
    ).stdout.strip()
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
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
