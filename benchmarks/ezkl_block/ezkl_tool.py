"""One stage of EZKL, under the interpreter that has it: `ezkl_tool STAGE FOLDER BLOCK WEIGHTS PRODUCTS SRS_FOLDER`.

WEIGHTS is EZKL's visibility of the weights, PRODUCTS how it proves products of matrices: `freivalds`, its default, or
`direct`, entry by entry, which has fewer columns and more rows. The stream, the rotary tables and the mask are public
inputs, so that a reader sees on what the block ran; the output is public too.
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

from benchmarks.ezkl_block.block import Block, forward, inputs
from benchmarks.ezkl_block.graph import graph
from benchmarks.head_to_head.ezkl_tool import prove_stage
from benchmarks.head_to_head.report import timed, write

SCALE = 7
"""Fractional bits of inputs and weights, EZKL's default."""


def settings_stage(block: Block, visibility: str, products: str) -> dict[str, Any]:
    """Graph, input file and settings."""
    onnx.save(graph(block), "net.onnx")
    data = [value.astype(np.float32).ravel().tolist() for value in inputs(block).values()]
    Path("input.json").write_text(json.dumps({"input_data": data}))
    args = ezkl.PyRunArgs()
    args.input_visibility, args.output_visibility, args.param_visibility = "public", "public", visibility
    args.input_scale = args.param_scale = SCALE
    args.disable_freivalds = products == "direct"
    return {"call": timed(lambda: ezkl.gen_settings("net.onnx", "settings.json", py_run_args=args))[1]}


def calibrate_stage() -> dict[str, Any]:
    """EZKL's choice of rows and of the lookup tables' range, at one scale."""

    def run() -> None:
        ezkl.calibrate_settings(
            "input.json",
            "net.onnx",
            "settings.json",
            "resources",
            scales=[SCALE],
            scale_rebase_multiplier=[1],
        )

    call = timed(run)[1]
    settings = json.loads(Path("settings.json").read_text())
    return {
        "call": call,
        "logrows": settings["run_args"]["logrows"],
        "assignments": settings["total_assignments"],
    }


def compile_stage() -> dict[str, Any]:
    """The circuit."""
    return {"call": timed(lambda: ezkl.compile_circuit("net.onnx", "circuit.ezkl", "settings.json"))[1]}


def srs_stage(folder: Path) -> dict[str, Any]:
    """A reference string made here, once per number of rows; whoever makes it could forge: for measuring only."""
    logrows = json.loads(Path("settings.json").read_text())["run_args"]["logrows"]
    kept, call = folder / f"srs-{logrows}", {}
    if not kept.exists():
        making = folder / f".srs-{logrows}"
        call = {"call": timed(lambda: ezkl.gen_srs(str(making), logrows))[1]}
        making.rename(kept)
    Path("srs").symlink_to(kept)
    return {**call, "srs_bytes": kept.stat().st_size}


def setup_stage() -> dict[str, Any]:
    """Proving and verification key of the circuit."""
    call = timed(lambda: ezkl.setup("circuit.ezkl", "vk", "pk", "srs"))[1]
    return {
        "call": call,
        "proving_key_bytes": os.path.getsize("pk"),
        "verification_key_bytes": os.path.getsize("vk"),
    }


def witness_stage() -> dict[str, Any]:
    """All cells of the circuit."""
    return {
        "call": timed(lambda: ezkl.gen_witness("input.json", "circuit.ezkl", "witness.json", "vk", "srs"))[1]
    }


def verify_stage(block: Block) -> dict[str, Any]:
    """The verdict, and how close the proven output is to the block in float64."""
    accepted, call = timed(lambda: ezkl.verify("proof.json", "settings.json", "vk", "srs"))
    if not accepted:
        raise SystemExit("the proof was rejected")
    outputs = json.loads(Path("proof.json").read_text())["pretty_public_inputs"]["rescaled_outputs"][0]
    given, exact = np.array([float(output) for output in outputs]), forward(block).ravel()
    error = given - exact
    return {
        "call": call,
        "error_over_output": round(float(np.sqrt((error**2).mean() / (exact**2).mean())), 5),
        "largest_error": round(float(np.abs(error).max()), 4),
    }


def main(stage: str, folder: str, size: str, visibility: str, products: str, srs: str) -> None:
    """Run the stage in `folder`."""
    os.chdir(folder)
    block = Block.parse(size)
    stages = {
        "settings": lambda: settings_stage(block, visibility, products),
        "calibrate": calibrate_stage,
        "compile": compile_stage,
        "srs": lambda: srs_stage(Path(srs)),
        "setup": setup_stage,
        "witness": witness_stage,
        "prove": prove_stage,
        "verify": lambda: verify_stage(block),
    }
    write(Path(), stage, **stages[stage]())


if __name__ == "__main__":
    main(*sys.argv[1:])
