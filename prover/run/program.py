"""Run the fingerprint program on quantized weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from huref.circuits.fingerprint.paper import EQUAL_TERM_WEIGHTS
from huref.circuits.fingerprint.profiles import Profile
from huref.circuits.program.evaluate import Trace
from huref.circuits.program.program import Program
from huref.prover.commitment.folder import Source, Weights
from huref.prover.commitment.stacked import StackedWeights
from huref.prover.kernels.mapped import released_at
from huref.prover.run.executor import execute
from huref.prover.run.fingerprint import scaled_term_weights

Step = Callable[[str], None]


def run_program(source: Source, device: str, step: Step, challenge: bytes = b"") -> tuple[Program, Trace]:
    """The program under a challenge, and every intermediate.

    Raises:
        UsageError: the profile answers no challenges. ProverError: values too large for a proof.
    """
    program = source.program(challenge)
    if isinstance(source.weights, StackedWeights):
        step = released_at(step, source.weights.data)
    return program, execute(program, source.weights, device=device, progress=step)


def fit_term_weights(
    profile: Profile, program: Program, weights: Weights, steps: Mapping[str, float], device: str, step: Step
) -> tuple[int, ...]:
    """What brings the terms of `paper` to a common scale, fixed when the weights are committed; else all 1.

    Raises:
        ProverError: values too large for a proof.
    """
    if profile.whole:
        return EQUAL_TERM_WEIGHTS
    return scaled_term_weights(program, steps, execute(program, weights, device=device, progress=step))
