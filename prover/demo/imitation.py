"""The demo's made-up model beside the real one: the same picture, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from huref.circuits.fingerprint.profiles import HARDENED
from huref.circuits.fingerprint.similarity import VectorSimilarity, compare_outputs
from huref.circuits.inference.claim import answer_claims, gaps
from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference_statement import Answer
from huref.circuits.program.evaluate import run
from huref.circuits.whole import compile_whole
from huref.prover.demo.made_up import made_up
from huref.prover.run.inference.calibrate import calibrate
from huref.prover.run.inference.executor import execute_inference
from huref.prover.run.inference.settings import Settings
from huref.verifier.verdict import Verdict

_TEXT = 64
_TEXTS = 3


@dataclass(frozen=True)
class Imitation:
    """Integers without a model. `e` are its fingerprint's outputs, `similar` how near they are to the real ones;
    `gaps` how many logits the tokens of the real answer are below its best ones.
    """

    e: list[int]
    similar: VectorSimilarity
    gaps: tuple[float, ...]

    @property
    def argmaxes(self) -> int:
        """How many of the real answer's tokens are its best ones."""
        return sum(gap == 0 for gap in self.gaps)


def imitate(verdict: Verdict, said: Answer) -> Imitation:
    """Make integers up for a verified bundle's fingerprint, and ask them what the real model was asked."""
    tokens = verdict.directory.tokens
    vocab = int(verdict.directory.shape["vocab"])
    shape, tensors = made_up(verdict.statement.outputs, tokens.token_bytes, ids=tokens.ids, vocab=vocab)
    program = compile_whole(shape, tokens.ids, tokens.token_bytes, verdict.directory.p, b"")
    joined = {w.name: np.concatenate([tensors[n] for n in w.parts]) for w in program.weights if w.parts}
    e = [int(x) for x in run(program, {**tensors, **joined}).v]
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, vocab, _TEXT).tolist() for _ in range(_TEXTS)]
    facts = calibrate(shape, Settings.alike(shape, "silu", "1e-05"), tensors, texts)
    answering = compile_inference(shape, facts, len(said.ids) - 1)
    logits = execute_inference(answering, tensors, said.ids[:-1]).values[answering.logits]
    found = gaps(logits, answer_claims(said.ids, said.first))
    similar = compare_outputs(verdict.statement.outputs, e, HARDENED)
    return Imitation(e, similar, tuple(gap * 2.0**-facts.logits for gap in found))
