"""The third party's and the auditor's commands; no torch, no numba."""

from __future__ import annotations

import typer

from huref.verifier.commands import (
    card,
    challenge,
    compare,
    identify,
    inspect,
    keys,
    pack,
    registry,
    stamp,
    statement,
    verify,
)


def register(app: typer.Typer) -> None:
    """Add the verifier's commands to the root command."""
    for module in (
        verify,
        inspect,
        compare,
        challenge,
        identify,
        registry,
        pack,
        statement,
        card,
        stamp,
        keys,
    ):
        module.register(app)
