"""The model owner's commands. Heavy imports (torch, numba) happen inside the commands."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the prover's commands to the root command."""
