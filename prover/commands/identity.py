"""`huref keygen` and `huref audit`: who vouches for a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from huref.common.output import exit_on_error, note, result, result_json


def register(app: typer.Typer) -> None:
    """Add the two commands to the root command."""
    app.command("keygen")(keygen)
    app.command("audit")(audit)


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


def audit(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder (NAME.huref).")],
    checkpoint: Annotated[Path, typer.Option(help="The checkpoint the auditor was shown.")],
    private: Annotated[Path, typer.Option(help="The commitment's folder, or its private/ part.")],
    key: Annotated[Path | None, typer.Option(help="Co-sign with this key file on success.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Recompute a bundle's commitment and vector from the checkpoint; co-sign it if they agree."""
    with exit_on_error(as_json=as_json):
        from huref.common.files.identity import SecretKey
        from huref.prover.audit import audit as recompute
        from huref.prover.commands.first_use import announced
        from huref.prover.commands.progress import ProgressBar

        signer = None if key is None else SecretKey.load(key)
        compiling = announced("load", "quantize", "commit", "witness")
        with compiling, ProgressBar(("verify", "load", "quantize", "commit", "run")) as progress:
            report = recompute(bundle, checkpoint, private, key=signer, progress=progress)
    if as_json:
        checks = list(report.checks)
        result_json({"agrees": True, "checks": checks, "cosigners": list(report.cosigners)})
        return
    result(f"AGREES  {bundle}")
    for check in report.checks:
        result(f"  - {check}")
    for public in report.cosigners:
        result(f"  auditor {public}")
