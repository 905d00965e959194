"""What the first `huref prove` costs while nothing is compiled yet; run as `python -m benchmarks.first_use`.

A real checkpoint (all-MiniLM-L6-v2, demo/checkpoints.py) is proven with an empty cache folder, then again; then
`huref warmup` adds what other models need, and the bundle is verified nine times. Writes results/first_use.json. CPU
seconds are those of all processes: on a machine that others use, the wall seconds say little. With --demo: `huref demo`
alone, with an empty cache folder, into results/demo.json.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.environment import store
from huref.prover.demo.checkpoints import find

VERIFIED = 9


def run(arguments: list[str], cache: Path) -> dict[str, float | list[str]]:
    """Wall and CPU seconds of a huref command, and what it says about compiling."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "huref", *arguments],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    said = [line.strip() for line in done.stderr.splitlines() if "compiling kernels" in line]
    return {"wall_seconds": round(wall, 2), "cpu_seconds": round(cpu, 2), "said": said}


def main() -> None:
    """Measure and store the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--demo", action="store_true", help="the demo alone")
    if parser.parse_args().demo:
        with tempfile.TemporaryDirectory() as name:
            done = run(["demo", "--out", str(Path(name) / "demo")], Path(name) / "kernels")
        store("demo", {"runs": {"cold": done}})
        return
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label in ("cold", "warm"):
            command = [
                "prove",
                str(find("minilm")),
                "--out",
                str(folder / f"{label}.huref"),
                "--device",
                "cpu",
            ]
            rows[f"prove, {label}"] = run(command, folder / "kernels")
        rows["warmup of what is left"] = run(["warmup"], folder / "kernels")
        bundle = folder / "warm.huref"
        times = [run(["verify", str(bundle)], folder / "kernels") for _ in range(VERIFIED)]
        rows[f"verify, median of {VERIFIED}"] = sorted(times, key=lambda one: one["wall_seconds"])[
            VERIFIED // 2
        ]
        rows["bundle"] = {"bytes": sum(file.stat().st_size for file in bundle.iterdir())}
    store("first_use", {"runs": rows})


if __name__ == "__main__":
    main()
