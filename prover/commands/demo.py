"""`huref demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from huref.common.output import exit_on_error, result

_STAGES = (
    "load", "quantize", "calibrate", "commit", "range", "run", "witness", "prove", "self-verify", "make up",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `huref demo` to the root command."""
    app.command("demo")(demo)


def demo(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to make; default: huref-demo.")
    ] = None,
) -> None:
    """Prove a real model's picture and an answer of it, reject forgeries, unmask a made-up model."""
    with exit_on_error():
        from huref.common.errors import UsageError
        from huref.common.memory import keep_freed_memory
        from huref.prover.commands.first_use import announced
        from huref.prover.commands.progress import ProgressBar
        from huref.prover.demo.demo import MODEL, free_folder
        from huref.prover.demo.demo import demo as run

        keep_freed_memory()
        folder = out or free_folder("huref-demo")
        if folder.exists():
            raise UsageError(f"{folder} exists already")
        compiling = announced("load", "quantize", "commit", "witness", "prove")
        with compiling, ProgressBar(_STAGES) as progress:
            done = run(folder, say=progress.say, progress=progress)
        result(f"look at it: huref inspect {done.folder / MODEL}.huref --html page.html")
