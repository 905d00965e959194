"""`huref keygen`: a signing key for an owner or an auditor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from huref.common.output import exit_on_error, note, result, result_json


def register(app: typer.Typer) -> None:
    """Add `huref keygen` to the root command."""
    app.command("keygen")(keygen)


def keygen(
    out: Annotated[Path, typer.Option(help="Key file to make (mode 0600).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make a signing key; prints the public key."""
    with exit_on_error(as_json=as_json):
        from huref.common.files.identity import SecretKey

        key = SecretKey.generate()
        key.save(out)
        if as_json:
            result_json({"public_key": key.public_key, "file": str(out)})
        else:
            result(key.public_key)
            note(f"secret key in {out}; publish the line above, keep the file to yourself")
