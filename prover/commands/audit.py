"""`huref audit`: who has seen the checkpoint vouches for a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from huref.common.output import exit_on_error, result, result_json


def register(app: typer.Typer) -> None:
    """Add `huref audit` to the root command."""
    app.command("audit")(audit)


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
        from huref.prover.commands.progress import ProgressBar

        signer = None if key is None else SecretKey.load(key)
        with ProgressBar(("verify", "load", "quantize", "commit", "run")) as progress:
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
