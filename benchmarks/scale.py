"""A LLaMA-shaped checkpoint, committed, proven and verified, against the plain float32 computation in torch.

Run as `python -m benchmarks.scale 7B FOLDER`, FOLDER made by `benchmarks.llama_checkpoint`. Stages run one after
the other in processes of their own, so each reports its own peak memory; the reference computes the six K×K
terms in float32 and pools them as the paper's reference code does. Writes results/scale-SIZE.json.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.environment import store
from huref.prover.commands.memory import keep_freed_memory
from huref.prover.progress import Progress

STAGES = ("reference", "commit", "prove", "verify")


class CpuProgress(Progress):
    """Also keeps the user and system seconds of every stage, and of the steps that proving consists of."""

    def __init__(self) -> None:
        super().__init__()
        self.cpu: dict[str, dict[str, float]] = {}
        self._now, self._since = "", os.times()

    def entered(self, text: str) -> None:
        """What comes is counted under this stage, or step of `prove`."""
        self.left(self._now)
        self._now = text if text.startswith("prove") else text.split(":")[0]

    def left(self, name: str) -> None:
        """What was counted so far belongs to the last stage or step."""
        now = os.times()
        if self._now:
            spent = self.cpu.setdefault(self._now, {"user": 0.0, "system": 0.0})
            spent["user"] = round(spent["user"] + now.user - self._since.user, 2)
            spent["system"] = round(spent["system"] + now.system - self._since.system, 2)
        self._now, self._since = "", now


def reference(checkpoint: Path, _: Path) -> dict[str, Any]:
    """The six terms X·W1·W2·Xᵀ at full K in float32, and their mean-pooled vector."""
    import torch

    from huref.prover.checkpoint.families import open_model

    model = open_model(checkpoint)
    x = torch.from_numpy(model.embedding_rows(list(range(model.vocab - 4096, model.vocab))))
    start, cpu = time.perf_counter(), time.process_time()
    pooled = []
    for n in (model.shape.layers - 2, model.shape.layers - 1):
        layer = model.layer(n)
        group = model.shape.heads // model.shape.kv_heads
        pairs = [(layer.q, layer.k), (layer.v, layer.o), (layer.up, layer.down)]
        for first, second in pairs:
            left, right = x @ torch.from_numpy(first).T, x @ torch.from_numpy(second).T
            if left.shape[1] != right.shape[1]:
                narrow = left if left.shape[1] < right.shape[1] else right
                heads = narrow.reshape(len(x), -1, model.shape.head_dim)
                wide = heads.repeat_interleave(group, dim=1).reshape(len(x), -1)
                left, right = (wide, right) if narrow is left else (left, wide)
            pooled.append(left @ right.T)
    vector = torch.stack(pooled).reshape(512, -1).mean(1)
    vector = (vector - vector.mean()) / vector.std()
    return {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu, "v0": float(vector[0])}


def commit(checkpoint: Path, work: Path) -> dict[str, Any]:
    """`huref commit`, and the CPU time that its stages take."""
    from huref.prover.owner import commit as run

    progress = CpuProgress()
    start, cpu = time.perf_counter(), time.process_time()
    run(checkpoint, work / "model.commitment", progress=progress)
    measured = {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    return measured | {"stages": dict(progress.seconds), "stages_cpu": progress.cpu}


def prove(_: Path, work: Path) -> dict[str, Any]:
    """`huref prove` on that commitment, its own verification included."""
    from huref.prover.owner import prove as run

    progress = CpuProgress()
    start, cpu = time.perf_counter(), time.process_time()
    run(None, work / "model.huref", commitment=work / "model.commitment", progress=progress)
    measured = {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    return measured | {"stages": dict(progress.seconds), "stages_cpu": progress.cpu}


def verify(_: Path, work: Path) -> dict[str, Any]:
    """`huref verify`, by the library."""
    from huref.verifier import verify as run

    start, cpu = time.perf_counter(), time.process_time()
    run(work / "model.huref")
    measured = {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    return measured | {"proof_bytes": (work / "model.huref" / "proof.bin").stat().st_size}


def main(size: str, checkpoint: Path) -> None:
    """Run all stages and store them with the ratio that matters."""
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as work:
        for stage in STAGES:
            command = [sys.executable, "-m", "benchmarks.scale", "--stage", stage, str(checkpoint), work]
            out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            rows[stage] = json.loads(out.splitlines()[-1])
            sys.stderr.write(f"{stage}: {rows[stage]}\n")
    ours = {kind: rows["commit"][kind] + rows["prove"][kind] for kind in ("wall", "cpu")}
    ratio = {kind: round(ours[kind] / rows["reference"][kind], 2) for kind in ours}
    store(f"scale-{size}", {"size": size, "commit_and_prove_over_reference": ratio, "stages": rows})


if __name__ == "__main__":
    if sys.argv[1] == "--stage":
        keep_freed_memory()  # as the commands do, and for the reference too
        measured = globals()[sys.argv[2]](Path(sys.argv[3]), Path(sys.argv[4]))
        measured["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
        print(json.dumps(measured))
    else:
        main(sys.argv[1], Path(sys.argv[2]))
