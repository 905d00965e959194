"""`huref export`: the committed integers as a checkpoint to serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from huref.common.options import JsonOption
from huref.common.output import exit_on_error, note, result, result_json
from huref.prover.commands.commit import DeviceOption

_STAGES = ("commit", "export")


def register(app: typer.Typer) -> None:
    """Add `huref export` to the root command."""
    app.command("export")(export)


def export(
    commitment: Annotated[Path, typer.Option(help="Folder made by huref commit.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Checkpoint folder to make.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="The committed checkpoint: its tokenizer and special tokens are copied."),
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Write the committed integers as an ordinary safetensors checkpoint of LLaMA's, Qwen3's or Gemma's class."""
    with exit_on_error(as_json=as_json, interrupted="nothing was written"):
        from huref.common.memory import keep_freed_memory
        from huref.prover.commands.first_use import announced
        from huref.prover.commands.progress import ProgressBar
        from huref.prover.export import export as make

        keep_freed_memory()
        with announced(_STAGES[0]), ProgressBar(_STAGES) as progress:
            done = make(commitment, out, checkpoint, device=device, progress=progress)
    if as_json:
        summary = {"checkpoint": str(done.path), "model_id": done.model_id, "copied": list(done.copied)}
        result_json({"schema": "huref-exported/1", **summary, "seconds": progress.seconds})
        return
    result(f"{done.path}: the integers of model id {done.model_id}")
    note("beside the weights: " + (", ".join(done.copied) or "nothing; --checkpoint copies the tokenizer"))
    note("it is the model itself: publish it only if you publish the model")
