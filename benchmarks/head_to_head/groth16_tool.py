"""One stage of plain Groth16, under the interpreter that has it: `groth16_tool STAGE FOLDER SIZE`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import groth16py

from benchmarks.head_to_head.report import timed, write
from benchmarks.head_to_head.statement import POOLED, inputs, pooled_sums

BN254 = 21888242871839275222246405745257275088548364400416034343698204186575808495617
CIRCUIT = """pragma circom 2.0.0;
template Terms(n, outputs) {
    signal input x[n][n];
    signal input wq[n][n];
    signal input wk[n][n];
    signal output v[outputs];
    signal queries[n][n];
    signal keys[n][n];
    signal query_terms[n][n][n];
    signal key_terms[n][n][n];
    signal m_terms[n][n][n];
    for (var i = 0; i < n; i++) for (var j = 0; j < n; j++) {
        var query = 0;
        var key = 0;
        for (var c = 0; c < n; c++) {
            query_terms[i][j][c] <== x[i][c] * wq[c][j];
            key_terms[i][j][c] <== x[i][c] * wk[c][j];
            query += query_terms[i][j][c];
            key += key_terms[i][j][c];
        }
        queries[i][j] <== query;
        keys[i][j] <== key;
    }
    var pool[outputs];
    for (var i = 0; i < n; i++) for (var j = 0; j < n; j++) for (var c = 0; c < n; c++) {
        m_terms[i][j][c] <== queries[i][c] * keys[j][c];
        pool[(i * n + j) * outputs \\ (n * n)] += m_terms[i][j][c];
    }
    for (var o = 0; o < outputs; o++) v[o] <== pool[o];
}
component main = Terms(SIZE, OUTPUTS);
"""


def setup_stage(size: int) -> dict[str, Any]:
    """Circuit compilation and the circuit's own trusted setup, which the library does in one call."""
    source = CIRCUIT.replace("SIZE", str(size)).replace("OUTPUTS", str(POOLED))
    Path("terms.circom").write_text(source)
    (proving, verifying), call = timed(lambda: groth16py.setup_circom("terms.circom"))
    proving.save("pk")
    verifying.save("vk")
    return {
        "call": call,
        "constraints": 3 * size**3,
        "proving_key_bytes": os.path.getsize("pk"),
        "verification_key_bytes": os.path.getsize("vk"),
    }


def prove_stage(size: int) -> dict[str, Any]:
    """Key, witness and proof."""
    arrays = zip(("x", "wq", "wk"), inputs(size), strict=True)
    signals = {name: [[int(entry) % BN254 for entry in row] for row in array] for name, array in arrays}
    proof, call = timed(lambda: groth16py.prove(groth16py.ProvingKey.load("pk"), signals))
    Path("proof").write_bytes(proof)
    return {"call": call, "proof_bytes": len(proof)}


def verify_stage(size: int) -> dict[str, Any]:
    """The verdict against the exact result, and that another result is rejected."""
    proof = Path("proof").read_bytes()
    public = [int(output) % BN254 for output in pooled_sums(*inputs(size))]

    def run() -> bool:
        return groth16py.Verifier(groth16py.VerifyingKey.load("vk")).verify(proof, public)

    accepted, call = timed(run)
    public[0] += 1
    if not accepted or run():
        raise SystemExit("the verdict was wrong")
    return {"call": call, "cosine": 1.0}


def main(stage: str, folder: str, size: int) -> None:
    """Run the stage in `folder`."""
    os.chdir(folder)
    steps = {"setup": setup_stage, "prove": prove_stage, "verify": verify_stage}
    write(Path(), stage, **steps[stage](size))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
