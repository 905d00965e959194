"""`huref stamp`: a safetensors file that names the bundle about it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from huref.common.errors import UsageError
from huref.common.options import JsonOption
from huref.common.output import exit_on_error, note, result, result_json


def register(app: typer.Typer) -> None:
    """Add `huref stamp` to the root command."""
    app.command("stamp")(stamp)


def stamp(
    bundle: Annotated[
        str, typer.Argument(help="Bundle: a folder, a zip of it, or the https address of a zip.")
    ],
    weights: Annotated[Path, typer.Argument(help="Safetensors file that the commitment was made from.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to make.")],
    published_as: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What readers will give huref verify; default: the bundle's name."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a bundle and copy a safetensors file, with a pointer to the bundle in its metadata."""
    with exit_on_error(as_json=as_json):
        from huref.verifier.publish.pointer import pointer
        from huref.verifier.publish.pointer import stamp as write
        from huref.verifier.verification import verify

        if os.path.lexists(out):
            raise UsageError(f"{out} exists already", hint="choose another name: --out FILE")
        verdict = verify(bundle)
        name = published_as or Path(bundle.rstrip("/")).name
        write(weights, out, verdict, name)
    if as_json:
        result_json({"schema": "huref-stamped/1", "file": str(out), "metadata": pointer(verdict, name)})
        return
    result(f"{out}: points to {name}, model id {verdict.model_id}")
    note(f"its tensors are those of {weights}, its SHA-256 is another: keep the file that you committed to")
