"""`python -m benchmarks.head_to_head --tools-python PATH`: every system, one after the other, one table.

PATH is an interpreter with the packages of benchmarks/head_to_head/requirements.txt. Seconds are CPU seconds of
all threads unless said otherwise. Stages: `srs` makes EZKL's reference string and `kernels` compiles this
project's kernels into an empty cache; neither counts as setup. Writes results/head_to_head.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.environment import store
from benchmarks.head_to_head.systems import Run

RUNS = (
    ("huref", 64), ("huref", 128), ("huref-minilm", 4096), ("ezkl-lean", 64), ("ezkl-lean", 128),
    ("ezkl-defaults", 64), ("ezkl-defaults", 128), ("groth16", 32), ("groth16", 64),
)  # fmt: skip


def ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    """How many times this project's CPU seconds EZKL (lean) needs to prove size 128; empty if either is missing.

    `call` is the proving call of a fresh process on both sides (the mean of five processes here), `warm` divides by
    the mean of this project's later calls, `process` compares whole processes with their imports, and
    `with witness` adds commitment and witness on both sides.
    """
    found = {(row["system"], row["size"]): row["stages"] for row in rows if "not_run" not in row}
    if not {("huref", 128), ("ezkl-lean", 128)} <= set(found):
        return {}
    ours, theirs = found["huref", 128], found["ezkl-lean", 128]

    def total(stages: dict[str, Any], *names: str) -> float:
        return float(sum(stages[name]["call"]["cpu"] for name in names))

    both = total(ours, "commit", "witness", "prove")
    measured = {
        "call": theirs["prove"]["call"]["cpu"] / ours["prove"]["call"]["cpu"],
        "warm": theirs["prove"]["call"]["cpu"] / ours["warm"]["call"]["cpu"],
        "process": theirs["prove"]["process"]["cpu"] / ours["prove"]["process"]["cpu"],
        "with witness": total(theirs, "witness", "prove") / both,
        "with setup": total(theirs, "setup", "witness", "prove") / both,
    }
    return {name: round(value, 1) for name, value in measured.items()}


def main() -> None:
    """Run what was asked for and store the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.head_to_head")
    parser.add_argument("--tools-python", required=True, help="interpreter that has ezkl and groth16py")
    parser.add_argument("--only", default="", help="comma-separated SYSTEM:SIZE; nothing is stored then")
    options = parser.parse_args()
    wanted = [name for name in options.only.split(",") if name]
    rows = []
    scratch = Path(tempfile.mkdtemp(prefix="head_to_head_"))
    try:
        for system, size in RUNS:
            if wanted and f"{system}:{size}" not in wanted:
                continue
            python = sys.executable if system.startswith("huref") else options.tools_python
            # size 64 compiles the kernels into an empty cache, the later rows find them there
            cache = {"NUMBA_CACHE_DIR": str(scratch / "kernels")}
            folder = scratch / f"{system}-{size}"
            rows.append(Run(system, size, folder, python, cache).row())
            shutil.rmtree(folder)
            sys.stderr.write(json.dumps(rows[-1]) + "\n")
    finally:
        shutil.rmtree(scratch)
    if not wanted:
        store("head_to_head", {"cpu_ratio_ezkl_lean_128": ratios(rows), "rows": rows})


if __name__ == "__main__":
    main()
