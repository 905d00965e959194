"""Run the fingerprint program on quantized weights with a chosen encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from huref.circuits.fingerprint.compile import EQUAL_TERM_WEIGHTS
from huref.circuits.fingerprint.profiles import check_encoder
from huref.circuits.program.evaluate import Trace, read_output
from huref.circuits.program.program import Program
from huref.prover.commitment.folder import Source
from huref.prover.run.executor import execute
from huref.prover.run.fingerprint import scaled_term_weights


def run_program(
    source: Source, encoder: str, device: str, step: Callable[[str], None]
) -> tuple[Program, tuple[int, ...], Trace]:
    """The program with this encoder, its term weights, and every intermediate.

    Raises:
        UsageError: the profile has no such encoder. ProverError: values too large for a proof.
    """
    check_encoder(source.profile, encoder)
    program = source.program(encoder)
    trace = execute(program, source.weights, device=device, progress=step)
    if encoder != "meanpool":
        return program, EQUAL_TERM_WEIGHTS, trace
    term_weights = scaled_term_weights(program, source.steps, trace)
    program = source.program(encoder, term_weights)
    v = read_output(program.output, {name: site.out for name, site in trace.sites.items()})
    return program, term_weights, replace(trace, v=v)
