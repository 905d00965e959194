"""This project on a one-layer model of the block's size: `huref_tool FOLDER BLOCK`.

Embedding, the block with the same weights, last norm and head over a vocabulary of 64; the tokens' embeddings are the
block's input. Commitment, range proof and proof of inference with every position claimed, all messages masked. It all
runs twice and the second time counts, since the first compiles kernels.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.ezkl_block.block import Array, Block, inputs, weights
from benchmarks.head_to_head.report import timed, write
from benchmarks.llama_checkpoint import Bits, Size, VirtualLlama, to_bf16
from huref.circuits.argument.proof import prepare
from huref.circuits.inference.claim import claimed_odds
from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference.relate_head import Claims
from huref.circuits.inference.relations import relate
from huref.circuits.program.evaluate import Trace
from huref.circuits.range import NOTHING, range_program
from huref.circuits.relations.security import relation_security
from huref.circuits.relations.setup import prepare_relations
from huref.circuits.whole import committed_tensors
from huref.common.params import Knobs
from huref.prover.argument.prove import prove
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import open_model
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.commitment.weights import commit_weights
from huref.prover.relations.prove import prove_relations
from huref.prover.run.inference.calibrate import calibrate
from huref.prover.run.inference.executor import execute_inference
from huref.prover.run.inference.record import record_run
from huref.prover.run.inference.settings import read_settings
from huref.prover.run.inference.weights import integer_weights
from huref.verifier.argument.verify import verify_program
from huref.verifier.relations.verify import verify_relations

VOCABULARY = 64
STATEMENT = b"one block"
KNOBS = Knobs()


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


def measure(block: Block, attempt: int) -> dict[str, Any]:
    """Seconds of every step and sizes; both proofs are verified, or this raises."""
    model = open_model(OneLayer(block))
    integers = integer_weights(whole_model(model))
    texts = [list(range(VOCABULARY)), list(range(VOCABULARY))[::-1]]
    facts = calibrate(model.shape, read_settings(model), integers, texts)
    stack, ids, found = committed_tensors(model.shape), list(range(block.tokens)), dict[str, Any]()
    seed = SecretSeed(bytes([attempt]) * 32)
    ranges = range_program(stack)
    commitment, found["commit"] = timed(lambda: commit_weights(ranges, integers, KNOBS, seed))

    setup = prepare(ranges, NOTHING, KNOBS)
    nothing = Trace({}, np.zeros(0, np.int64))
    proof, found["range"] = timed(
        lambda: prove(setup, STATEMENT, {}, nothing, commitment, SecretSeed(bytes([attempt, 1]) * 16))
    )
    _, found["verify range"] = timed(lambda: verify_program(setup, STATEMENT, commitment.root, proof))

    program = compile_inference(model.shape, facts, block.tokens)
    logits = execute_inference(program, integers, ids).values[program.logits]
    best = tuple(int(i) for i in logits.argmax(axis=1))
    odds = claimed_odds(logits, list(enumerate(best)), [0], facts.logits)
    claims = Claims(tuple(range(block.tokens)), best, (0,) * block.tokens, odds)
    relations = prepare_relations(relate(program, ids, claims, stack), KNOBS)
    trace, found["run"] = timed(lambda: record_run(program, relations.relations, integers, ids, claims))
    inference, found["prove"] = timed(
        lambda: prove_relations(
            relations, STATEMENT, integers, trace, commitment, SecretSeed(bytes([attempt, 2]) * 16)
        )
    )
    _, found["verify"] = timed(lambda: verify_relations(relations, STATEMENT, commitment.root, inference))
    return found | {
        "proof_bytes": len(inference),
        "range_proof_bytes": len(proof),
        "weights": sum(int(w.size) for w in integers.values()),
        "bits": round(relation_security(relations).bits, 2),
    }


def main(folder: str, size: str) -> None:
    """Measure twice; the second counts."""
    block = Block.parse(size)
    found = [measure(block, attempt) for attempt in (1, 2)][-1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    write(Path(folder), "huref", **found, peak_gb=round(peak, 2))


if __name__ == "__main__":
    main(*sys.argv[1:])
