"""`huref audit`: who has seen the checkpoint recomputes a bundle, and vouches for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from huref.common.output import exit_on_error, note, result, result_json


def register(app: typer.Typer) -> None:
    """Add `huref audit` to the root command."""
    app.command("audit")(audit)


def audit(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder (NAME.huref).")],
    checkpoint: Annotated[str, typer.Option(help="The checkpoint the auditor was shown; hf:// too.")],
    private: Annotated[Path, typer.Option(help="The commitment's folder, or its private/ part.")],
    tokens: Annotated[
        Path | None, typer.Option(help="The owner's token list, where the tokens come from one.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Co-sign with this key file on success.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Recompute from the checkpoint all that a bundle says; co-sign it if everything agrees."""
    with exit_on_error(as_json=as_json):
        from huref.common.files.keys import SecretKey
        from huref.prover.audit import audit as recompute
        from huref.prover.commands.first_use import announced
        from huref.prover.commands.located import located
        from huref.prover.commands.progress import ProgressBar

        signer = None if key is None else SecretKey.load(key)
        compiling = announced("load", "quantize", "commit", "witness")
        bar = ProgressBar(("verify", "load", "quantize", "commit", "run"))
        with located(checkpoint) as place, compiling, bar as progress:
            report = recompute(bundle, place, private, tokens=tokens, key=signer, progress=progress)
    if as_json:
        checks = list(report.checks)
        found = {"agrees": True, "checks": checks, "cosigners": list(report.cosigners)}
        result_json({"schema": "huref-audited/1", **found})
        return
    result(f"AGREES  {bundle}")
    for check in report.checks:
        result(f"  - {check}")
    for public in report.cosigners:
        result(f"  auditor {public}")
    if signer is None:
        note("nothing was signed: --key FILE co-signs the bundle")
