"""`huref restore`: go on with a commitment's folder that was copied, moved to another disk or put back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from huref.common.output import exit_on_error, note, result, result_json


def register(app: typer.Typer) -> None:
    """Add `huref restore` to the root command."""
    app.command("restore")(restore)


def restore(
    folder: Annotated[Path, typer.Argument(help="Folder made by huref commit.")],
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="Declare all proofs spent: a disk or machine was set back, or another copy lives."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Adopt a commitment that was copied or put back; what may have been opened elsewhere is declared spent."""
    with exit_on_error(as_json=as_json):
        from huref.prover.commitment.folder import restore as adopt

        declared, left, queries = adopt(
            folder, everything=everything, say=lambda text: note(f"warning: {text}")
        )
    if as_json:
        summary = {"folder": str(folder), "positions_declared_spent": declared, "positions_left": left}
        result_json({"schema": "huref-restored/1", **summary, "proofs_left": left // queries})
        return
    result(f"{folder}: {declared} positions declared spent, {left // queries} proofs left")
    if left < queries:
        note("no proof is left: commit again for more")
