"""One stage of this project on the statement: `huref_tool STAGE FOLDER SIZE`.

The program is the statement's in full: X enters through an identity sketch, so nothing is pooled before M,
and M is K × K as elsewhere. What differs: X, Wq and Wk are range-checked as 8-bit integers, X Wq, X Wk and M
are re-quantized (rounded to about 6 bits of rms with the canonical shift, clamped), and the pools are summed.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.head_to_head.report import timed, write
from benchmarks.head_to_head.statement import POOLED, cosine, inputs, pooled_sums
from huref.circuits.argument.proof import PublicInputs, Setup, prepare
from huref.circuits.program.program import MatMul, Output, Program, Site, SketchSum, View, Weight
from huref.common.algebra.field import P
from huref.common.params import Knobs

STATEMENT = b"head to head"
KNOBS = Knobs()
LIMIT = 127
CALIBRATION_ROWS = 16
WARM_RUNS = 5


def largest_clamp(inner: int) -> int:
    """Largest C = 2^m − 1 ≤ 2047 with inner·C² below p/2 (protocol §3.3)."""
    clamp = 2047
    while 2 * inner * clamp * clamp >= P:
        clamp >>= 1
    return clamp


def program(size: int) -> Program:
    """M = (X Wq)(X Wk)ᵀ pooled to the first 32 of the 512 outputs; `size` is a power of two of at least 16."""
    clamp = largest_clamp(size)

    def site(name: str, acc: SketchSum | MatMul, limit: int, bound: int) -> Site:
        return Site(name, acc, size, size, limit, -limit, bound, CALIBRATION_ROWS)

    def product(name: str, left: str, right: str, bound: int) -> Site:
        return site(name, MatMul(View(left), View(right), size), clamp, bound)

    rows = np.arange(size)
    sites = (
        site("xs", SketchSum("x", rows, rows, np.ones(size, np.int8)), LIMIT, LIMIT + 1),
        product("queries", "xs", "wq", size * LIMIT * (LIMIT + 1)),
        product("keys", "xs", "wk", size * LIMIT * (LIMIT + 1)),
        product("m", "queries", "keys", size * clamp * clamp),
    )
    pool = size * size // POOLED
    bucket = (np.arange(size * size) // pool).astype(np.int16).reshape(size, size)
    output = Output(("m",), (bucket,), (np.ones((size, size), np.int8),), pool * clamp)
    return Program(tuple(Weight(name, size, size) for name in ("x", "wq", "wk")), sites, output)


def weights(size: int) -> dict[str, np.ndarray]:
    """The statement's inputs; weights are stored with one row per output neuron."""
    x, wq, wk = inputs(size)
    return {"x": x, "wq": np.ascontiguousarray(wq.T), "wk": np.ascontiguousarray(wk.T)}


def setup_of(size: int, public: PublicInputs) -> Setup:
    """What prover and verifier derive from the statement: all the setup there is."""
    return prepare(program(size), public, KNOBS)


def commit_stage(folder: Path, size: int) -> dict[str, Any]:
    """Commitment to the weights."""
    from huref.prover.commitment.randomness import SecretSeed
    from huref.prover.commitment.weights import commit_weights

    given = weights(size)
    commitment, call = timed(lambda: commit_weights(program(size), given, KNOBS, SecretSeed.fresh()))
    (folder / "commitment").write_bytes(pickle.dumps(commitment))
    (folder / "root").write_bytes(commitment.root)
    return {"call": call}


def witness_stage(folder: Path, size: int) -> dict[str, Any]:
    """All intermediates, and the public inputs."""
    from huref.prover.run.executor import execute

    trace, call = timed(lambda: execute(program(size), weights(size)))
    public = PublicInputs(trace.shifts, trace.sums, [int(entry) for entry in trace.v])
    (folder / "trace").write_bytes(pickle.dumps(trace))
    (folder / "public").write_bytes(pickle.dumps(public))
    return {"call": call}


def prover(folder: Path, size: int) -> Callable[[], bytes]:
    """Makes a proof; everything that earlier stages left is read already."""
    from huref.prover.argument.prove import prove
    from huref.prover.commitment.randomness import SecretSeed

    trace, public, commitment = (
        pickle.loads((folder / name).read_bytes()) for name in ("trace", "public", "commitment")
    )
    given = weights(size)
    return lambda: prove(setup_of(size, public), STATEMENT, given, trace, commitment, SecretSeed.fresh())


def prove_stage(folder: Path, size: int) -> dict[str, Any]:
    """One proof, the process's first: loading the compiled kernels is part of it."""
    proof, call = timed(prover(folder, size))
    (folder / "proof").write_bytes(proof)
    return {"call": call, "proof_bytes": len(proof)}


def warm_stage(folder: Path, size: int) -> dict[str, Any]:
    """The mean of some proofs after a first one that is not counted."""
    run = prover(folder, size)
    run()
    repeated = timed(lambda: [run() for _ in range(WARM_RUNS)])[1]
    return {"call": {name: round(seconds / WARM_RUNS, 4) for name, seconds in repeated.items()}}


def verify_stage(folder: Path, size: int) -> dict[str, Any]:
    """The verdict, and how close the proven outputs are to the exact result."""
    from huref.verifier.argument.verify import verify_program

    public = pickle.loads((folder / "public").read_bytes())
    root, proof = ((folder / name).read_bytes() for name in ("root", "proof"))
    report, call = timed(lambda: verify_program(setup_of(size, public), STATEMENT, root, proof))
    outputs = np.array(public.v[:POOLED])
    kept = cosine(outputs, pooled_sums(*inputs(size)))
    return {"call": call, "security_bits": round(report.bits, 2), "cosine": kept}


STAGES = {"commit": commit_stage, "witness": witness_stage, "prove": prove_stage, "verify": verify_stage}


def kernels_stage(folder: Path, size: int) -> dict[str, Any]:
    """Every stage once, so that the kernels are compiled: paid once per installation."""
    return {"call": timed(lambda: [stage(folder, size) for stage in STAGES.values()])[1]}


def main(stage: str, folder: str, size: int) -> None:
    """Run the stage in `folder`."""
    found = {**STAGES, "kernels": kernels_stage, "warm": warm_stage}[stage](Path(folder), size)
    write(Path(folder), stage, **found)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
