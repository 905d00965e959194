"""This project on a one-layer model of the block's size: `huref_tool FOLDER BLOCK`.

Embedding, the block with the same weights, last norm and head over a vocabulary of 64; the tokens' embeddings are the
block's input. Commitment, range proof and proof of inference with every position claimed, all messages masked. Proofs
are made twice and the second one counts, since the first compiles kernels.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.ezkl_block.block import Array, Block, inputs, weights
from benchmarks.head_to_head.report import write
from benchmarks.inference_proof import Prepared, timed
from benchmarks.llama_checkpoint import Bits, Size, VirtualLlama, to_bf16
from huref.circuits.argument.proof import prepare
from huref.circuits.program.evaluate import Trace
from huref.circuits.range import NOTHING, range_program
from huref.circuits.whole import committed_tensors
from huref.common.params import Knobs
from huref.prover.argument.prove import prove
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import open_model
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.commitment.weights import commit_weights
from huref.prover.owner import DEFAULT_PROOFS
from huref.prover.run.inference.calibrate import calibrate
from huref.prover.run.inference.settings import read_settings
from huref.prover.run.inference.weights import integer_weights
from huref.verifier.argument.verify import verify_program

VOCABULARY = 64
STATEMENT = b"one block"
KNOBS = Knobs(proofs=DEFAULT_PROOFS)


class OneLayer(VirtualLlama):
    """A LLaMA-shaped checkpoint in memory around the block; what is beside the block is random too."""

    def __init__(self, block: Block) -> None:
        super().__init__(Size(block.width, block.ffn, 1, block.heads, block.heads, VOCABULARY))
        rows = np.random.default_rng(2).standard_normal((2, VOCABULARY, block.width))
        rows[0, : block.tokens] = inputs(block)["x"]
        self._tensors: dict[str, Array] = {
            "model.embed_tokens.weight": rows[0],
            "model.norm.weight": np.ones(block.width),
            "lm_head.weight": rows[1] / np.sqrt(block.width),
        }
        own, layer = weights(block), "model.layers.0."
        self._tensors |= {
            f"{layer}self_attn.{name}_proj.weight": own[name].T for name in ("q", "k", "v", "o")
        }
        self._tensors |= {f"{layer}mlp.{name}_proj.weight": own[name].T for name in ("gate", "up", "down")}
        self._tensors[f"{layer}input_layernorm.weight"] = own["attn_gain"]
        self._tensors[f"{layer}post_attention_layernorm.weight"] = own["ffn_gain"]

    def bits(self, name: str, rows: NDArray[np.int64] | None = None) -> Bits:
        """As `VirtualLlama.bits`."""
        tensor = self._tensors[name] if rows is None else self._tensors[name][rows]
        return to_bf16(tensor.astype(np.float32))


def measure(block: Block, attempts: int = 2) -> dict[str, Any]:
    """Seconds of every step and sizes, of the last attempt; every proof is verified, or this raises."""
    model = open_model(OneLayer(block))
    integers = integer_weights(whole_model(model))
    texts = [list(range(VOCABULARY)), list(range(VOCABULARY))[::-1]]
    facts = calibrate(model.shape, read_settings(model), integers, texts)
    ranges, found = range_program(committed_tensors(model.shape)), dict[str, Any]()
    setup, nothing = prepare(ranges, NOTHING, KNOBS), Trace({}, np.zeros(0, np.int64))
    for attempt in range(attempts):
        seeds = [SecretSeed(bytes([attempt, n]) * 16) for n in range(2)]
        commitment, found["commit"] = timed(commit_weights, ranges, integers, KNOBS, seeds[0])
        proof, found["range"] = timed(prove, setup, STATEMENT, {}, nothing, commitment, seeds[1])
        _, found["verify range"] = timed(verify_program, setup, STATEMENT, commitment.root, proof)
    found |= {"range_proof_bytes": len(proof), "weights": sum(int(w.size) for w in integers.values())}
    prepared = Prepared(model.shape, facts, integers, list(range(block.tokens)), commitment, KNOBS)
    return found | prepared.measure((block.tokens,), attempts=attempts)


def main(folder: str, size: str) -> None:
    """Measure and report."""
    write(Path(folder), "huref", **measure(Block.parse(size)))


if __name__ == "__main__":
    main(*sys.argv[1:])
