"""Run the fingerprint program on quantized weights with a chosen encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from huref.circuits.fingerprint.compile import EQUAL_TERM_WEIGHTS
from huref.circuits.fingerprint.profiles import Profile, check_encoder
from huref.circuits.program.evaluate import Trace
from huref.circuits.program.program import Program
from huref.prover.commitment.folder import Source, Weights
from huref.prover.commitment.stacked import StackedWeights
from huref.prover.kernels.mapped import released_at
from huref.prover.run.executor import execute
from huref.prover.run.fingerprint import scaled_term_weights

Step = Callable[[str], None]


def run_program(source: Source, encoder: str, device: str, step: Step) -> tuple[Program, Trace]:
    """The program with this encoder, and every intermediate.

    Raises:
        UsageError: the profile has no such encoder. ProverError: values too large for a proof.
    """
    check_encoder(source.profile, encoder)
    program = source.program(encoder)
    if isinstance(source.weights, StackedWeights):
        step = released_at(step, source.weights.data)
    return program, execute(program, source.weights, device=device, progress=step)


def fit_term_weights(
    profile: Profile, program: Program, weights: Weights, steps: Mapping[str, float], device: str, step: Step
) -> tuple[int, ...]:
    """What brings the terms of `meanpool` to a common scale, fixed when the weights are committed; else all 1.

    Raises:
        ProverError: values too large for a proof.
    """
    if "meanpool" not in profile.encoders:
        return EQUAL_TERM_WEIGHTS
    return scaled_term_weights(program, steps, execute(program, weights, device=device, progress=step))
