"""The model owner's commands. Heavy imports (torch, numba) happen inside the commands."""

from __future__ import annotations

import typer

from prover import commit_cli, demo_cli, fingerprint_cli, identity_cli, prove_cli, tokens_cli
from prover.generator import cli as generator_cli


def register(app: typer.Typer) -> None:
    """Add the prover's commands to the root command."""
    tokens_cli.register(app)
    fingerprint_cli.register(app)
    commit_cli.register(app)
    prove_cli.register(app)
    identity_cli.register(app)
    demo_cli.register(app)
    generator_cli.register(app)
