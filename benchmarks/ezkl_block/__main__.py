"""The largest transformer block that EZKL proves in 10 minutes and 20 GB, and the same block proven here.

    python -m venv /tmp/tools && /tmp/tools/bin/pip install ezkl==23.0.5 onnx==1.23.2 numpy==2.4.6
    python -m benchmarks.ezkl_block --python /tmp/tools/bin/python

Goes through LADDER until a block does not fit. What counts for the 10 minutes: wall seconds from settings to
verification, the local reference string apart (`srs`: it is downloaded otherwise; one per number of rows). Every stage
is a process of its own, with its peak memory, and is stopped at the limit. Writes results/ezkl_block.json after every
block. A block does not fit when EZKL's two ways to prove products (`ezkl_tool`) both do not; the second is not tried
where it needs as many rows as the first, which did not fit. `--start BLOCK` leaves out smaller blocks and keeps what is
stored of them, `--only BLOCK` measures one and stores nothing, `--weights` takes another visibility of EZKL's than
`private`, `--table` prints what is stored. EZKL is no dependency of the package.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.environment import RESULTS, store
from benchmarks.ezkl_block.block import Block
from benchmarks.ezkl_block.table import table
from benchmarks.head_to_head.stages import Limits, StageFailed, run_stage

LADDER = (
    "16x32x4", "32x96x4", "32x96x8", "64x192x4", "64x192x6", "64x192x8", "128x384x4", "128x384x8", "256x768x8",
    "256x768x16",
)  # fmt: skip
"""Width, neurons, tokens; more multiplications at every step."""
PRODUCTS = ("freivalds", "direct")
STAGES = ("settings", "calibrate", "compile", "srs", "setup", "witness", "prove", "verify")
MINUTES, GIGABYTES = 10.0, 20.0
PACKAGES = "ezkl==23.0.5 onnx==1.23.2 numpy==2.4.6"


def missing(python: str) -> str:
    """What to do where the interpreter lacks EZKL; empty where it has it."""
    try:
        found = subprocess.run([python, "-c", "import ezkl, onnx"], capture_output=True, check=False)
    except OSError as error:
        return f"{python}: {error.strerror}"
    return "" if found.returncode == 0 else f"{python} lacks EZKL: {python} -m pip install {PACKAGES}"


def spent(stages: dict[str, Any]) -> float:
    """Wall seconds of the stages that count, processes and all."""
    return float(sum(found["process"]["wall"] for name, found in stages.items() if name != "srs"))


def ezkl_row(
    block: Block, python: str, weights: str, products: str, work: Path, too_many: int | None = None
) -> dict[str, Any]:
    """All stages of a block; `does_not_fit` says why where one was stopped or failed, or where 2^`too_many` rows are
    known not to fit and it needs as many.
    """
    folder, stages = work / str(block), dict[str, Any]()
    row = {"products": products, "stages": stages}
    folder.mkdir()
    try:
        for name in STAGES:
            left = MINUTES * 60 - spent(stages)
            limits = Limits(GIGABYTES, 1e9, 1e9 if name == "srs" else left)
            tool = [python, "-m", "benchmarks.ezkl_block.ezkl_tool", name, str(folder)]
            command = [*tool, str(block), weights, products, str(work)]
            stages[name] = run_stage(command, folder, name, {}, limits)
            for key in [key for key in stages[name] if key not in ("call", "process")]:
                row[key] = stages[name].pop(key)
            if name == "calibrate" and too_many is not None and row["logrows"] >= too_many:
                raise StageFailed(f"2^{row['logrows']} rows, and 2^{too_many} do not fit")
    except StageFailed as failure:
        row["does_not_fit"] = str(failure)
    finally:
        shutil.rmtree(folder)
    peak = max((found["process"]["peak_gb"] for found in stages.values()), default=0.0)
    return row | {"wall": round(spent(stages), 1), "peak_gb": peak}


def rows_of(block: Block, python: str, weights: str, work: Path) -> dict[str, Any]:
    """A block with EZKL, in the first way that fits, and here."""
    tried: list[dict[str, Any]] = []
    for products in PRODUCTS:
        too_many = min((row["logrows"] for row in tried if "logrows" in row), default=None)
        tried.append(ezkl_row(block, python, weights, products, work, too_many))
        if "does_not_fit" not in tried[-1]:
            break
    size = {"block": str(block), "parameters": block.parameters, "multiplications": block.products}
    return {**size, "fits": "does_not_fit" not in tried[-1], "ezkl": tried, "huref": huref_row(block, work)}


def huref_row(block: Block, work: Path) -> dict[str, Any]:
    """This project on a one-layer model of this size; `process` is all of both runs."""
    folder = work / "huref"
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.ezkl_block.huref_tool", str(folder), str(block)]
    return run_stage(command, folder, "huref", {}, Limits(GIGABYTES))


def stored_before(start: str, weights: str) -> list[dict[str, Any]]:
    """What is stored of the blocks that `start` leaves out."""
    path = RESULTS / "ezkl_block.json"
    stored = json.loads(path.read_text()) if path.exists() else {}
    if stored.get("weights") != weights:
        return []
    return [row for row in stored["rows"] if row["block"] in LADDER[: LADDER.index(start)]]


def main() -> None:
    """Climb the ladder and store."""
    parser = argparse.ArgumentParser(prog="benchmarks.ezkl_block")
    todo = parser.add_mutually_exclusive_group(required=True)
    todo.add_argument("--python", help=f"interpreter with {PACKAGES}")
    todo.add_argument("--table", action="store_true", help="print the stored result")
    parser.add_argument("--weights", default="private", help="EZKL's visibility of the weights")
    parser.add_argument("--start", choices=LADDER, default=LADDER[0], help="leaves out smaller blocks")
    parser.add_argument(
        "--only", type=Block.parse, help="one block, WIDTHxFFNxTOKENS; nothing is stored then"
    )
    options = parser.parse_args()
    if options.table:
        print(table(json.loads((RESULTS / "ezkl_block.json").read_text())))
        return
    if problem := missing(options.python):
        raise SystemExit(problem)
    rows = [] if options.only else stored_before(options.start, options.weights)
    work = Path(tempfile.mkdtemp(prefix="ezkl_block_"))
    try:
        ladder = [Block.parse(size) for size in LADDER[LADDER.index(options.start) :]]
        for block in [options.only] if options.only else ladder:
            rows.append(rows_of(block, options.python, options.weights, work))
            sys.stderr.write(json.dumps(rows[-1]) + "\n")
            limits = {"weights": options.weights, "minutes": MINUTES, "gigabytes": GIGABYTES}
            if not options.only:
                store("ezkl_block", {**limits, "rows": rows})
            if not rows[-1]["fits"]:
                break
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
