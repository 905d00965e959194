"""One stage of EZKL, under the interpreter that has it: `ezkl_tool STAGE FOLDER SIZE VARIANT`.

Variants: `defaults` are EZKL's own run arguments; `lean` multiplies the rebase scale by 10, so that nothing is
rounded between the products, and leaves out the range checks of inputs and outputs. In both X, Wq and Wk are
inputs with KZG commitments (`polycommit`), at scale 7, on 2 inner columns, with Freivalds' check of products.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import ezkl
import numpy as np
import onnx
from onnx import TensorProto, helper

from benchmarks.head_to_head.report import timed, write
from benchmarks.head_to_head.statement import POOLED, cosine, inputs, pooled_sums

SCALE = 7


def graph(size: int) -> onnx.ModelProto:
    """The statement as an ONNX graph; pooling is a mean here."""
    square = [size, size]
    nodes = [
        helper.make_node("MatMul", ["x", "wq"], ["queries"]),
        helper.make_node("MatMul", ["x", "wk"], ["keys"]),
        helper.make_node("Transpose", ["keys"], ["keys_t"], perm=[1, 0]),
        helper.make_node("MatMul", ["queries", "keys_t"], ["m"]),
        helper.make_node("Reshape", ["m", "pools"], ["pooled"]),
        helper.make_node("ReduceMean", ["pooled"], ["out"], axes=[1], keepdims=0),
    ]
    value = helper.make_tensor_value_info
    pools = helper.make_tensor("pools", TensorProto.INT64, [2], [POOLED, size * size // POOLED])
    made = helper.make_graph(
        nodes,
        "terms",
        [value(name, TensorProto.FLOAT, square) for name in ("x", "wq", "wk")],
        [value("out", TensorProto.FLOAT, [POOLED])],
        [pools],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def arguments(lean: bool) -> ezkl.PyRunArgs:
    """EZKL's run arguments of the variant."""
    args = ezkl.PyRunArgs()
    args.input_visibility, args.output_visibility, args.param_visibility = "polycommit", "public", "fixed"
    args.input_scale = args.param_scale = SCALE
    args.num_inner_cols = 2
    args.disable_freivalds = False
    if lean:
        args.scale_rebase_multiplier = 10
        args.ignore_range_check_inputs_outputs = True
    return args


def compile_stage(size: int, variant: str) -> dict[str, Any]:
    """Graph, input file, settings, calibration, circuit."""
    lean = variant == "lean"
    onnx.save(graph(size), "net.onnx")
    data = [(array / 2**SCALE).ravel().tolist() for array in inputs(size)]
    Path("input.json").write_text(json.dumps({"input_data": data}))

    def run() -> None:
        ezkl.gen_settings("net.onnx", "settings.json", py_run_args=arguments(lean))
        ezkl.calibrate_settings(
            "input.json", "net.onnx", "settings.json", "resources",
            scales=[SCALE], scale_rebase_multiplier=[10 if lean else 1],
        )  # fmt: skip
        ezkl.compile_circuit("net.onnx", "circuit.ezkl", "settings.json")

    call = timed(run)[1]
    settings = json.loads(Path("settings.json").read_text())
    return {"call": call, "logrows": settings["run_args"]["logrows"], "rows": settings["num_rows"]}


def srs_stage() -> dict[str, Any]:
    """A reference string made here: whoever makes it could forge proofs, so it serves for measuring only."""
    logrows = json.loads(Path("settings.json").read_text())["run_args"]["logrows"]
    return {"call": timed(lambda: ezkl.gen_srs("srs", logrows))[1], "bytes": os.path.getsize("srs")}


def setup_stage() -> dict[str, Any]:
    """Proving and verification key of the circuit."""
    call = timed(lambda: ezkl.setup("circuit.ezkl", "vk", "pk", "srs"))[1]
    return {
        "call": call,
        "proving_key_bytes": os.path.getsize("pk"),
        "verification_key_bytes": os.path.getsize("vk"),
    }


def witness_stage() -> dict[str, Any]:
    """Witness and commitments, then once more to see whether the commitments are randomized."""

    def run(path: str) -> Any:
        ezkl.gen_witness("input.json", "circuit.ezkl", path, vk_path="vk", srs_path="srs")
        return json.loads(Path(path).read_text())["processed_inputs"]["polycommit"]

    commitments, call = timed(lambda: run("witness.json"))
    return {"call": call, "same_commitments_when_repeated": run("again.json") == commitments}


def prove_stage() -> dict[str, Any]:
    """The proof."""
    call = timed(lambda: ezkl.prove("witness.json", "circuit.ezkl", "pk", "proof.json", "srs"))[1]
    proof = json.loads(Path("proof.json").read_text())
    return {"call": call, "proof_bytes": len(bytes.fromhex(proof["hex_proof"].removeprefix("0x")))}


def verify_stage(size: int) -> dict[str, Any]:
    """The verdict, and how close the proven outputs are to the exact result."""
    accepted, call = timed(lambda: ezkl.verify("proof.json", "settings.json", "vk", "srs"))
    if not accepted:
        raise SystemExit("the proof was rejected")
    outputs = json.loads(Path("proof.json").read_text())["pretty_public_inputs"]["rescaled_outputs"][0]
    given = np.array([float(output) for output in outputs])
    return {"call": call, "cosine": cosine(given, pooled_sums(*inputs(size)))}


def main(stage: str, folder: str, size: int, variant: str) -> None:
    """Run the stage in `folder`."""
    os.chdir(folder)
    if stage == "compile":
        found = compile_stage(size, variant)
    elif stage == "verify":
        found = verify_stage(size)
    else:
        steps = {"srs": srs_stage, "setup": setup_stage, "witness": witness_stage, "prove": prove_stage}
        found = steps[stage]()
    write(Path(), stage, **found)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
