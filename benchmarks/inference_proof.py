"""What a proof of inference costs on SmolLM2-135M, by the number of tokens.

`python -m benchmarks.inference_proof [TOKENS …]` commits to the model once, then runs, proves and verifies its program
on prose, each number of tokens twice; the second time counts. All positions are claimed.
"""

from __future__ import annotations

import argparse
import json
import resource
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.environment import RESULTS, store
from huref.circuits.fingerprint.profiles import get_profile
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.claim import claimed_odds
from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference.facts import Facts
from huref.circuits.inference.prompt_opening import HIDDEN, SALT_BYTES
from huref.circuits.inference.relate_head import Claims
from huref.circuits.inference.relations import relate
from huref.circuits.range import range_program
from huref.circuits.relations.frame import starts_of
from huref.circuits.relations.security import relation_security
from huref.circuits.relations.setup import prepare_relations
from huref.circuits.whole import committed_tensors
from huref.common.memory import keep_freed_memory
from huref.common.params import Knobs
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import open_model
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.commitment.weights import WeightsCommitment, commit_weights
from huref.prover.demo.checkpoints import find
from huref.prover.kernels.mapped import released_at
from huref.prover.owner import DEFAULT_PROOFS
from huref.prover.relations.prove import prove_relations
from huref.prover.run.inference.executor import execute_inference
from huref.prover.run.inference.record import record_run
from huref.prover.run.inference.texts import TEXTS
from huref.prover.run.inference.units import plan
from huref.prover.run.inference.weights import integer_weights
from huref.prover.vocabulary.tokens import load_vocabulary
from huref.verifier.relations.verify import verify_relations

STATEMENT = b"benchmark"


def timed(call: Callable[..., Any], *arguments: Any) -> tuple[Any, dict[str, float]]:
    """A result with its wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = call(*arguments)
    return found, {
        "wall": round(time.perf_counter() - wall, 2),
        "cpu": round(time.process_time() - cpu, 2),
    }


@dataclass(frozen=True)
class Prepared:
    """A committed model, and the token ids of some prose."""

    shape: ModelShape
    facts: Facts
    weights: Mapping[str, NDArray[np.int8]]
    ids: Sequence[int]
    commitment: WeightsCommitment
    knobs: Knobs

    @classmethod
    def smollm2(cls) -> Prepared:
        """SmolLM2-135M-Instruct as `huref commit` makes it."""
        path = find("smollm2")
        model = open_model(path)
        vocabulary = load_vocabulary(path)
        assert vocabulary is not None
        weights = integer_weights(whole_model(model))
        facts = plan(model, get_profile("hardened")).facts(weights)
        ids = vocabulary.tokenizer.encode(" ".join(TEXTS)).ids
        stack, knobs = range_program(committed_tensors(model.shape)), Knobs(proofs=DEFAULT_PROOFS)
        commitment = commit_weights(stack, weights, knobs, SecretSeed(bytes(32)))
        return cls(model.shape, facts, weights, ids, commitment, knobs)

    def measure(
        self,
        lengths: tuple[int, ...],
        start: int = 0,
        attempts: int = 2,
        *,
        prompt: int = 1,
        hide: bool = False,
    ) -> dict[str, Any]:
        """Seconds and sizes of one proof of sequences of so many tokens of the prose, from its token `start` on; of
        several attempts the last one's. Claimed are the best tokens behind prompts of so many tokens; with `hide`
        their ids are hidden.
        """
        tokens, stack = sum(lengths), committed_tensors(self.shape)
        own = np.resize(self.ids, start + tokens)[start:].tolist()
        program = compile_inference(self.shape, self.facts, *lengths)
        logits = execute_inference(program, self.weights, own).values[program.logits]
        parts = list(zip(starts_of(lengths), lengths, strict=True))
        claimed = [t for at, length in parts for t in range(at + prompt - 1, at + length)]
        best = {t: int(logits[t].argmax()) for t in claimed}
        odds = tuple(
            claimed_odds(
                logits, [(t, best[t]) for t in claimed if at <= t < at + length], [0], self.facts.logits
            )
            for at, length in parts
        )
        claims = Claims(tuple(claimed), tuple(best.values()), (0,) * len(claimed), odds)
        salts = [secrets.token_bytes(SALT_BYTES) for _ in lengths] if hide else []
        shown = list(own)
        for at, _ in parts if hide else ():
            shown[at : at + prompt] = [HIDDEN] * prompt
        found: dict[str, Any] = {}
        for attempt in range(attempts):
            relations, found["relate"] = timed(relate, program, shown, claims, stack)
            setup = prepare_relations(relations, self.knobs)
            trace, found["run"] = timed(record_run, program, relations, self.weights, own, claims, salts)
            seed = SecretSeed(bytes([1 + attempt]) * 32)
            release = released_at(lambda _: None, self.commitment.data)
            proof, found["prove"] = timed(
                prove_relations, setup, STATEMENT, self.weights, trace, self.commitment, seed, release
            )
            _, found["verify"] = timed(verify_relations, setup, STATEMENT, self.commitment.root, proof)
        return found | {
            "proof_bytes": len(proof),
            "lookups": setup.layout.entries,
            "committed": setup.layout.rows * setup.layout.w,
            "bits": round(relation_security(setup).bits, 2),
            "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        }


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokens", nargs="*", type=int, default=[16, 32, 64, 128, 256])
    options = parser.parse_args()
    keep_freed_memory()
    prepared = Prepared.smollm2()
    stored = RESULTS / "inference_proof.json"
    measured = json.loads(stored.read_text())["tokens"] if stored.exists() else {}  # others stay
    for tokens in options.tokens:
        measured[str(tokens)] = prepared.measure((tokens,))
        print(tokens, measured[str(tokens)], flush=True)
        store("inference_proof", {"model": "SmolLM2-135M-Instruct", "tokens": measured})


if __name__ == "__main__":
    main()
