"""The third party's and the auditor's commands; no torch, no numba."""

from __future__ import annotations

import typer

from huref.verifier.commands import inspect as inspect_cli
from huref.verifier.commands import keys as keys_cli
from huref.verifier.commands import verify as verify_cli


def register(app: typer.Typer) -> None:
    """Add the verifier's commands to the root command."""
    verify_cli.register(app)
    inspect_cli.register(app)
    keys_cli.register(app)
