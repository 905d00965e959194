"""Every system's stages in order, and the row they make."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.head_to_head.claims import CLAIMS
from benchmarks.head_to_head.stages import StageFailed, run_stage

MAX_LOGROWS = 20
"""EZKL with 2^19 rows takes 8 GB; with 2^21 four times that."""
FRESH_RUNS = 5
REPEATED = {("huref", "prove")}
"""Short stages whose cost varies from run to run (proofs search for two nonces): the mean of some processes."""
CLI = [sys.executable, "-c", "from huref.common.cli import main; main()"]


def mean(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """One stage's report: mean seconds of several runs, their calls' CPU seconds as `runs`, and the highest peak."""
    made = {**runs[0], "runs": [run["call"]["cpu"] for run in runs]}
    for part in ("call", "process"):
        made[part] = {
            key: max(run[part][key] for run in runs)
            if key == "peak_gb"
            else round(sum(run[part][key] for run in runs) / len(runs), 4)
            for key in runs[0][part]
        }
    return made


@dataclass(frozen=True)
class Run:
    """One row: a system of `claims`, the statement's size, and where its stages may write."""

    system: str
    size: int
    folder: Path
    python: str
    environment: dict[str, str] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Run all stages; a stage that fails ends the row, with its reason."""
        stages: dict[str, Any] = {}
        made: dict[str, Any] = {"system": self.system, "size": self.size, "stages": stages}
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            for name, command in self.commands():
                runs = FRESH_RUNS if (self.system, name) in REPEATED else 1
                found = [run_stage(command, self.folder, name, self.environment) for _ in range(runs)]
                stages[name] = found[0] if runs == 1 else mean(found)
                logrows = stages[name].get("logrows", 0)
                if logrows > MAX_LOGROWS:
                    raise StageFailed(f"{name}: the circuit has 2^{logrows} rows, far beyond the memory here")
        except StageFailed as failure:
            made["not_run"] = str(failure)
        for found in stages.values():
            for key in [key for key in found if key not in ("call", "process", "bytes", "runs")]:
                made[key] = found.pop(key)
        if self.system == "huref-minilm" and "not_run" not in made:
            made["proof_bytes"] = (self.folder / "m.huref" / "proof.bin").stat().st_size
        return {**made, "claims": CLAIMS[self.system]}

    def commands(self) -> list[tuple[str, list[str]]]:
        """Stage names with their commands."""
        kind, _, variant = self.system.partition("-")
        if self.system == "huref-minilm":
            return self._command_line()
        names = {
            "ezkl": ("compile", "srs", "setup", "witness", "prove", "verify"),
            "groth16": ("setup", "prove", "verify"),
            "huref": ("kernels", "commit", "witness", "prove", "warm", "verify"),
        }[kind]
        module = f"benchmarks.head_to_head.{kind}_tool"
        tail = [str(self.folder), str(self.size), *([variant] if variant else [])]
        return [(name, [self.python, "-m", module, name, *tail]) for name in names]

    def _command_line(self) -> list[tuple[str, list[str]]]:
        """The real thing: prove (commit, all passes, own check) and verify as a user does."""
        from huref.prover.demo.checkpoints import find

        def prove(name: str) -> list[str]:
            return [*CLI, "prove", str(find("minilm")), "--out", str(self.folder / name)]

        verify = [*CLI, "verify", str(self.folder / "m.huref")]
        return [("kernels", prove("first.huref")), ("prove", prove("m.huref")), ("verify", verify)]
