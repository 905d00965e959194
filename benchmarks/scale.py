"""Whole models committed, ranged, proven and verified, beside the plain float32 computation of their terms in torch.

    python -m benchmarks.scale 7B [--layers 3] [--keep recipe] [--work FOLDER] [--inference]
    python -m benchmarks.scale --table

The model is a size of `benchmarks.llama_checkpoint`, made as it is read, or minilm or smollm2.
Stages run one after the other in processes of their own, so each reports its own peak memory. The reference computes
the three K × K terms of every layer in float32 and pools them; of a large model it can be told to measure a few layers,
evenly spread, and what is stored then says so and is scaled by the number of layers. Reading the checkpoint is not
counted for it. With `--inference` the commitment gets what a proof of inference needs, for `benchmarks.inference_scale
--work FOLDER`; calibrating that program is then part of commit. Results go to results/whole-MODEL.json; `--table`
prints all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import RESULTS, store
from benchmarks.llama_checkpoint import SIZES, VirtualLlama, tokenizer
from huref.common.blas import THREADS
from huref.common.memory import keep_freed_memory
from huref.prover.checkpoint.families import open_model
from huref.prover.checkpoint.formats.base import Checkpoint
from huref.prover.progress import Progress

TOKENS = 4096
COMMITMENT, BUNDLE = "model.commitment", "model.huref"
OURS = ("commit", "range", "fingerprint")
VERIFYING = ("verify first", "verify")
"""With the range proof, which is then remembered, and without it."""
STAGES = (*OURS, *VERIFYING, "reference")
Measured = dict[str, Any]


class CpuProgress(Progress):
    """Also keeps the user and system seconds of every stage, and of the steps that proving consists of."""

    def __init__(self) -> None:
        super().__init__()
        self.cpu: dict[str, dict[str, float]] = {}
        self._now, self._since = "", os.times()

    def entered(self, text: str) -> None:
        """What comes is counted under this stage, or step of `prove` or `range`, all shards together."""
        self._count()
        stage, _, step = text.partition(": ")
        self._now = re.sub(r" \d+ of \d+$", "", text) if stage in ("range", "prove") and step else stage

    def left(self, name: str, seconds: float) -> None:
        """What was counted so far belongs to the last stage or step."""
        self._count()

    def _count(self) -> None:
        now = os.times()
        if self._now:
            spent = self.cpu.setdefault(self._now, {"user": 0.0, "system": 0.0})
            spent["user"] = round(spent["user"] + now.user - self._since.user, 2)
            spent["system"] = round(spent["system"] + now.system - self._since.system, 2)
        self._now, self._since = "", now


def checkpoint_of(name: str) -> Checkpoint | Path:
    """A virtual model of this size, or the folder of a real one."""
    if name in SIZES:
        return VirtualLlama(SIZES[name])
    from huref.prover.demo.checkpoints import find

    return find(name)


def clocked(run: Callable[[CpuProgress], object]) -> Measured:
    """Wall and CPU seconds of a call, and of its stages."""
    progress = CpuProgress()
    start, cpu = time.perf_counter(), time.process_time()
    run(progress)
    measured = {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    return measured | {"stages": dict(progress.seconds), "stages_cpu": progress.cpu}


def commit(args: argparse.Namespace, work: Path) -> Measured:
    """`huref commit` without the range."""
    from huref.prover.owner import Options
    from huref.prover.owner import commit as run

    checkpoint, tokens = checkpoint_of(args.model), None
    if isinstance(checkpoint, Checkpoint) and args.inference:
        tokens = tokenizer(work / "words", SIZES[args.model].vocab)
    elif isinstance(checkpoint, Checkpoint):  # there is no folder with a tokenizer
        tokens = work / "tokens.json"
        ids = list(range(min(TOKENS, SIZES[args.model].vocab)))
        tokens.write_text(json.dumps({"token_ids": ids, "token_pieces": [f"{i:08x}" for i in ids]}))
    options = Options(tokens=tokens, keep=args.keep)
    folder = work / COMMITMENT
    measured = clocked(lambda p: run(checkpoint, folder, options, progress=p, prove_range=False))
    directory = json.loads((folder / "commitment.json").read_text())["directory"]
    entries = sum(tensor["rows"] * tensor["cols"] for tensor in directory["tensors"])
    return measured | {"entries": entries, "width": directory["width"]}


def range_(args: argparse.Namespace, work: Path) -> Measured:
    """`huref range`, its own verification included."""
    from huref.prover.devices.choose import choose
    from huref.prover.owner import open_commitment
    from huref.prover.ranges import ensure_range

    def run(progress: Progress) -> None:
        again = checkpoint_of(args.model) if args.keep == "recipe" else None
        ensure_range(open_commitment(work / COMMITMENT, choose("auto"), again, progress), progress)

    return clocked(run) | {"proof_bytes": (work / COMMITMENT / "range.proof").stat().st_size}


def fingerprint(args: argparse.Namespace, work: Path) -> Measured:
    """`huref prove` on that commitment, its own verification included."""
    from huref.prover.owner import prove as run

    again = checkpoint_of(args.model) if args.keep == "recipe" else None
    measured = clocked(lambda p: run(again, work / BUNDLE, commitment=work / COMMITMENT, progress=p))
    size = sum(file.stat().st_size for file in (work / BUNDLE).rglob("*") if file.is_file())
    return measured | {"proof_bytes": (work / BUNDLE / "proof.bin").stat().st_size, "bundle_bytes": size}


def verify(_: argparse.Namespace, work: Path) -> Measured:
    """`huref verify`, by the library."""
    from huref.verifier import verify as run

    return clocked(lambda _: run(work / BUNDLE))


def reference(args: argparse.Namespace, _: Path) -> Measured:
    """The terms X·W1·W2·Xᵀ of q and k, v and o, up and down at full K in float32, pooled; layer after layer."""
    import torch

    model = open_model(checkpoint_of(args.model))
    shape, count = model.shape, min(TOKENS, model.vocab // 32 * 32)
    x = torch.from_numpy(model.embedding_rows(np.arange(model.vocab - count, model.vocab)))
    wanted = min(args.layers or shape.layers, shape.layers)
    layers = sorted({round(i) for i in np.linspace(0, shape.layers - 1, wanted)})
    wall = cpu = 0.0
    pooled = torch.zeros(3, 32, 32)
    for n in layers:
        layer = model.layer(n)
        model.checkpoint.release()
        pairs = [(layer.q, layer.k), (layer.v, layer.o), (layer.up, layer.down)]
        start, used = time.perf_counter(), time.process_time()
        for place, (first, second) in enumerate(pairs):
            left, right = x @ torch.from_numpy(first).T, x @ torch.from_numpy(second).T
            if left.shape[1] != right.shape[1]:  # heads that several share
                wide = max(left.shape[1], right.shape[1])
                left, right = (_repeated(side, wide, shape.head_dim) for side in (left, right))
            pooled[place] += (left @ right.T).reshape(32, count // 32, 32, count // 32).mean((1, 3))
        wall, cpu = wall + time.perf_counter() - start, cpu + time.process_time() - used
    factor = shape.layers / len(layers)
    scaled = {"wall": wall * factor, "cpu": cpu * factor, "checksum": float(pooled.abs().sum())}
    return scaled | {"layers": shape.layers, "layers_measured": len(layers)}


def _repeated(side: Any, wide: int, head_dim: int) -> Any:
    heads = side.reshape(len(side), -1, head_dim)
    return heads.repeat_interleave(wide // side.shape[1], dim=1).reshape(len(side), -1)


RUN: dict[str, Callable[[argparse.Namespace, Path], Measured]] = {
    "commit": commit, "range": range_, "fingerprint": fingerprint, "verify first": verify, "verify": verify,
    "reference": reference,
}  # fmt: skip


def measure(args: argparse.Namespace) -> None:
    """Run all stages and store them with the ratio that matters."""
    rows: dict[str, Measured] = {}
    with ExitStack() as stack:
        work = args.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work.mkdir(parents=True, exist_ok=True)
        homes = {name: str(work / name.lower()) for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME")}
        for stage in (stage for stage in STAGES if stage not in args.skip):
            command = [
                sys.executable,
                "-m",
                "benchmarks.scale",
                args.model,
                "--stage",
                stage,
                "--work",
                str(work),
            ]
            command += ["--layers", str(args.layers), "--keep", args.keep, *["--inference"] * args.inference]
            own = {THREADS: "1"} if stage in VERIFYING else {}  # as the command does
            out = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | homes | own
            ).stdout
            rows[stage] = json.loads(out.splitlines()[-1])
            sys.stderr.write(f"{stage}: {rows[stage]}\n")
    ratio = {}
    if rows.keys() >= {*OURS, "reference"}:
        for kind in ("wall", "cpu"):
            ratio[kind] = round(sum(rows[stage][kind] for stage in OURS) / rows["reference"][kind], 2)
    store(f"whole-{args.model}", {"model": args.model, "over_reference": ratio, "stages": rows})


def table() -> None:
    """All stored results as rows of Markdown: wall seconds / CPU seconds / peak GB."""
    print(
        "| model | entries |",
        " | ".join(STAGES),
        "| proofs: range, fingerprint | over reference: wall, CPU |",
    )
    print("| --- " * (len(STAGES) + 4) + "|")
    for path in sorted(RESULTS.glob("whole-*.json"), key=lambda path: path.stat().st_size):
        found = json.loads(path.read_text())
        stages = found["stages"]
        cells = [
            f"{s['wall']:.1f} / {s['cpu']:.1f} / {s['peak_gb']:.1f}"
            + (f" ({s['layers_measured']} of {s['layers']} layers, scaled)" if _scaled(s) else "")
            if (s := stages.get(stage))
            else "–"
            for stage in STAGES
        ]
        sizes = ", ".join(
            f"{stages[s]['proof_bytes'] / 1e3:.0f} kB" for s in ("range", "fingerprint") if s in stages
        )
        ratio = ", ".join(f"{value:.2f}" for value in found["over_reference"].values()) or "–"
        entries = stages["commit"]["entries"] / 1e6
        print(f"| {found['model']} | {entries:.0f} M |", " | ".join(cells), f"| {sizes} | {ratio} |")


def _scaled(stage: Measured) -> bool:
    return stage.get("layers_measured") != stage.get("layers")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--layers", type=int, default=0, help="of the reference; 0: all")
    parser.add_argument("--keep", default="weights", choices=("weights", "recipe"))
    parser.add_argument("--inference", action="store_true", help="commit with a tokenizer of a size's own")
    parser.add_argument("--skip", action="append", default=[], choices=STAGES)
    parser.add_argument("--work", type=Path, help="folder for the commitment, which then stays")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        table()
    elif given.stage is None:
        measure(given)
    else:
        keep_freed_memory()  # as the commands do, and for the reference too
        result = RUN[given.stage](given, given.work)
        result["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
        print(json.dumps(result))
