"""Cost of the whole proof by committed elements; run as `python -m benchmarks.proof [hidden sizes ...]`.

Each size is two layers of a LLaMA-shaped model of that hidden size with random int8 weights (paper profile, K = 4096,
P = 256) in a process of its own, so that peak memory is its own; whole models: benchmarks/scale.py. Writes
results/proof.json. CPU seconds count all threads; wall seconds mean little on a busy machine.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

from benchmarks.environment import store
from huref.circuits.argument.proof import PublicInputs, prepare
from huref.circuits.fingerprint.paper import compile_paper
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.program.program import Program
from huref.common.memory import keep_freed_memory
from huref.common.params import Knobs
from huref.prover.argument.prove import prove
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.commitment.weights import commit_weights
from huref.prover.run.executor import execute
from huref.verifier.argument.verify import verify_program

SIZES = (128, 384, 832, 1760, 3648, 5216)  # about 2^20, 22, 24, 26, 28 and 29 committed weights
STATEMENT = b"benchmark"


def llama_shape(hidden: int) -> ModelShape:
    """A LLaMA-shaped model: ffn 11/4 of the hidden size, heads of 64."""
    return ModelShape(
        family="llama", hidden=hidden, heads=hidden // 64 or 1, kv_heads=hidden // 64 or 1, head_dim=64,
        ffn=hidden * 11 // 4, vocab=32000, layers=2, gated=True, norm="rms", norm_position="pre",
        rotary="half", rotary_dim=64,
    )  # fmt: skip


def random_weights(program: Program, seed: int = 0) -> dict[str, np.ndarray]:
    """Gaussian int8 weights of standard deviation 20."""
    rng = np.random.default_rng(seed)
    weights = {}
    for weight in program.weights:
        weights[weight.name] = np.empty((weight.rows, weight.cols), np.int8)
        for row in range(0, weight.rows, 1024):
            part = weights[weight.name][row : row + 1024]
            part[:] = np.clip(np.rint(rng.standard_normal(part.shape, np.float32) * 20), -127, 127)
    return weights


class Stopwatch:
    """Wall and CPU seconds between named moments."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}
        self._name, self._wall, self._cpu = "", time.perf_counter(), time.process_time()

    def __call__(self, name: str) -> None:
        """End the running stage and start the next."""
        wall, cpu = time.perf_counter(), time.process_time()
        if self._name:
            self.stages[self._name] = {"wall": round(wall - self._wall, 3), "cpu": round(cpu - self._cpu, 3)}
        self._name, self._wall, self._cpu = name, wall, cpu


def measure(hidden: int) -> dict[str, Any]:
    """Commit, prove and verify one size twice; figures of the second, warm run."""
    program = compile_paper(llama_shape(hidden), 4096, 256)
    weights = random_weights(program)
    trace = execute(program, weights)
    public = PublicInputs(trace.shifts, trace.sums, [int(x) for x in trace.v])
    setup = prepare(program, public, Knobs())
    for _ in range(2 if hidden < 1000 else 1):
        watch = Stopwatch()
        watch("commit")
        commitment = commit_weights(program, weights, setup.knobs, SecretSeed(bytes(32)))
        watch("witness")
        proof = prove(setup, STATEMENT, weights, trace, commitment, SecretSeed.fresh(), watch)
        watch("verify")
        report = verify_program(setup, STATEMENT, commitment.root, proof)
        watch("")
    geometry = setup.geometry
    return {
        "hidden": hidden,
        "weights": sum(weight.size for weight in weights.values()),
        "committed": geometry.w * (geometry.weights.k_prime + geometry.proof.k_prime),
        "lookup_entries": setup.layout.entries,
        "proof_bytes": len(proof),
        "security_bits": round(report.bits, 2),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "stages": watch.stages,
    }


def main(arguments: list[str]) -> None:
    """Measure every size in a process of its own and store the table."""
    if arguments[:1] == ["--one"]:
        keep_freed_memory()  # as the commands do
        print(json.dumps(measure(int(arguments[1]))))
        return
    rows = []
    for hidden in [int(argument) for argument in arguments] or SIZES:
        command = [sys.executable, "-m", "benchmarks.proof", "--one", str(hidden)]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        look, committed = row["stages"]["look up"], row["stages"]["commit"]
        row["lookups_per_cpu_second"] = round(row["lookup_entries"] / look["cpu"])
        row["commit_elements_per_cpu_second"] = round(row["weights"] / committed["cpu"])
        rows.append(row)
        sys.stderr.write(json.dumps(row) + "\n")
    store("proof", {"sizes": rows})


if __name__ == "__main__":
    main(sys.argv[1:])
