"""What a proof of inference costs by the size of the model: LLaMA's shape, random weights, from a commitment on disk.

`python -m benchmarks.inference_scale [SIZE …] [--tokens T …]` commits to every size (without proving its range) and
runs, proves and verifies its program on random tokens, each size in a process of its own. All positions are claimed.
A 7B shape takes 7 GB of disk for its integers. `--work FOLDER` takes the commitment that `benchmarks.scale SIZE
--inference --work FOLDER` left there, and what is stored keeps other numbers of tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import RESULTS, store
from benchmarks.inference_proof import Prepared
from benchmarks.llama_checkpoint import SIZES, VirtualLlama, tokenizer
from benchmarks.scale import COMMITMENT
from huref.circuits.commitment import knobs_for
from huref.circuits.inference_statement import inference_program
from huref.common.memory import keep_freed_memory
from huref.prover.devices.choose import choose
from huref.prover.owner import Options, commit, open_commitment
from huref.prover.progress import Progress


def measure(name: str, tokens: list[int], work: Path) -> dict[str, Any]:
    """One size: its commitment, and a proof for each number of tokens."""
    keep_freed_memory()
    size, progress = SIZES[name], Progress()
    model, folder = VirtualLlama(size), work / COMMITMENT
    found: dict[str, Any] = {"parameters": sum(prod(model.shape(tensor)) for tensor in model.names())}
    if not folder.exists():
        start = time.perf_counter()
        words = Options(tokens=tokenizer(work / "words", size.vocab))
        commit(model, folder, words, progress=progress, prove_range=False)
        found["commit"] = {"wall": round(time.perf_counter() - start, 2), "stages": dict(progress.seconds)}
    found["tokens"] = {}
    opened = open_commitment(folder, choose("auto"), None, progress)
    shape, facts = inference_program(opened.public)
    ids = np.random.default_rng(0).integers(0, size.vocab, max(tokens)).tolist()
    prepared = Prepared(
        shape, facts, opened.source.weights, ids, opened.committed, knobs_for(opened.public.directory)
    )
    for count in tokens:
        found["tokens"][str(count)] = prepared.measure((count,), attempts=1)
    return found


def main() -> None:
    """Measure all sizes and store them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", default=["1B", "7B"], metavar="SIZE", help=", ".join(SIZES))
    parser.add_argument("--tokens", nargs="+", type=int, default=[16, 32])
    parser.add_argument("--only", action="store_true", help="one size in this process, to standard output")
    parser.add_argument("--work", type=Path, help="folder with the commitment of one size")
    options = parser.parse_args()
    stored = RESULTS / "inference_scale.json"
    found = json.loads(stored.read_text())["models"] if stored.exists() else {}  # sizes not asked for stay
    for name in options.sizes:
        with ExitStack() as stack:
            work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            if options.only:
                print(json.dumps(measure(name, options.tokens, work)))
                return
            homes = {home: str(work / home.lower()) for home in ("XDG_STATE_HOME", "XDG_CACHE_HOME")}
            command = [sys.executable, "-m", "benchmarks.inference_scale", name, "--only"]
            command += [*(["--work", str(options.work)] if options.work else []), "--tokens"]
            done = subprocess.run(
                [*command, *map(str, options.tokens)],
                check=True, stdout=subprocess.PIPE, text=True, env=os.environ | homes,
            )  # fmt: skip
            row = json.loads(done.stdout.splitlines()[-1])
            if options.work and name in found:
                row = found[name] | row | {"tokens": found[name]["tokens"] | row["tokens"]}
            found[name] = row
            sys.stderr.write(f"{name}: {found[name]}\n")
    store("inference_scale", {"models": found})


if __name__ == "__main__":
    main()
