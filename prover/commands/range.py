"""`huref range`: the proof that every committed entry is a byte, made once per commitment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from huref.common.options import JsonOption
from huref.common.output import exit_on_error, note, result, result_json
from huref.prover.commands.commit import DeviceOption

_INTERRUPTED = "no range proof was written; if it had begun, the positions that it reserved stay spent"
_STAGES = ("commit", "range")


def register(app: typer.Typer) -> None:
    """Add `huref range` to the root command."""
    app.command("range")(prove_range)


def prove_range(
    commitment: Annotated[Path, typer.Argument(help="Folder made by huref commit.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="New place of the committed checkpoint, for a commitment that keeps its recipe."),
    ] = None,
    device: DeviceOption = "auto",
    again: Annotated[
        bool, typer.Option("--again", help="Make it anew, at the cost of one more proof of the budget.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Prove the range of a commitment, where huref commit was interrupted before it did."""
    with exit_on_error(as_json=as_json, interrupted=_INTERRUPTED):
        from huref.common.memory import keep_freed_memory
        from huref.prover.commands.first_use import announced
        from huref.prover.commands.progress import ProgressBar
        from huref.prover.devices.choose import choose
        from huref.prover.owner import open_commitment
        from huref.prover.ranges import ensure_range

        keep_freed_memory()
        with announced(*_STAGES), ProgressBar(_STAGES) as progress:
            opened = open_commitment(commitment, choose(device), checkpoint, progress)
            made = ensure_range(opened, progress, again=again)
    if as_json:
        summary = {"model_id": opened.public.model_id, "made": made, "seconds": progress.seconds}
        result_json({"schema": "huref-ranged/1", "folder": str(commitment), **summary})
        return
    result(f"model id {opened.public.model_id}")
    note(
        f"{commitment}: "
        + ("range proof made" if made else "nothing to do: the range proof is there, or not needed")
    )
