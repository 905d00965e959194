"""The third party's and the auditor's commands; no torch, no numba."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the verifier's commands to the root command."""
