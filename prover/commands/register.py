"""The model owner's commands. Heavy imports (torch, numba) happen inside the commands."""

from __future__ import annotations

import typer

from huref.prover.commands import (
    ask,
    audit,
    commit,
    demo,
    export,
    fingerprint,
    generator,
    prove,
    prove_inference,
    range,
    restore,
    tokens,
    warmup,
)


def register(app: typer.Typer) -> None:
    """Add the prover's commands to the root command."""
    making = (tokens, fingerprint, commit, range, prove, prove_inference, restore, export, ask)
    for module in (*making, audit, demo, generator, warmup):
        module.register(app)
