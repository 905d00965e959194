"""What a proof of inference costs by the size of the model: LLaMA's shape, random weights, from a commitment on disk.

`python -m benchmarks.inference_scale [SIZE …] [--tokens T …]` commits to every size (without proving its range) and
runs, proves and verifies its program on random tokens, each size in a process of its own. All positions are claimed.
A 7B shape takes 7 GB of disk for its integers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers
from wordfreq import top_n_list

from benchmarks.environment import RESULTS, store
from benchmarks.inference_proof import Prepared
from benchmarks.llama_checkpoint import SIZES, VirtualLlama
from huref.circuits.commitment import knobs_for
from huref.circuits.inference_statement import inference_program
from huref.prover.commands.memory import keep_freed_memory
from huref.prover.devices.choose import choose
from huref.prover.owner import Options, commit, open_commitment
from huref.prover.progress import Progress
from huref.prover.run.inference.texts import TEXTS


def tokenizer(folder: Path, vocab: int) -> Path:
    """A tokenizer of whole words with this many of them: common ones, and those of the calibration texts."""
    common = top_n_list("en", vocab)
    few = " ".join(TEXTS).split()[: vocab // 8]
    words = dict.fromkeys([*few, *common, *(f"w{i:06x}" for i in range(vocab))])
    known = {"[UNK]": 0} | {word: i for i, word in enumerate(list(words)[: vocab - 1], 1)}
    made = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    folder.mkdir()
    made.save(str(folder / "tokenizer.json"))
    return folder


def measure(name: str, tokens: list[int], work: Path) -> dict[str, Any]:
    """One size: its commitment, and a proof for each number of tokens."""
    keep_freed_memory()
    size, progress = SIZES[name], Progress()
    model, folder = VirtualLlama(size), work / "commitment"
    start = time.perf_counter()
    commit(
        model,
        folder,
        Options(tokens=tokenizer(work / "words", size.vocab)),
        progress=progress,
        prove_range=False,
    )
    found: dict[str, Any] = {
        "parameters": sum(prod(model.shape(tensor)) for tensor in model.names()),
        "commit": {"wall": round(time.perf_counter() - start, 2), "stages": dict(progress.seconds)},
        "tokens": {},
    }
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
    options = parser.parse_args()
    stored = RESULTS / "inference_scale.json"
    found = json.loads(stored.read_text())["models"] if stored.exists() else {}  # sizes not asked for stay
    for name in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            if options.only:
                print(json.dumps(measure(name, options.tokens, work)))
                return
            homes = {home: str(work / home.lower()) for home in ("XDG_STATE_HOME", "XDG_CACHE_HOME")}
            command = [sys.executable, "-m", "benchmarks.inference_scale", name, "--only", "--tokens"]
            done = subprocess.run(
                [*command, *map(str, options.tokens)],
                check=True, stdout=subprocess.PIPE, text=True, env=os.environ | homes,
            )  # fmt: skip
            found[name] = json.loads(done.stdout.splitlines()[-1])
            sys.stderr.write(f"{name}: {found[name]}\n")
    store("inference_scale", {"models": found})


if __name__ == "__main__":
    main()
