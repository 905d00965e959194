"""`huref verify`: check a bundle, say plainly what that proves and what not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from huref.common.output import exit_on_error, result, result_json

if TYPE_CHECKING:
    from huref.verifier.image import ImageVerdict
    from huref.verifier.verdict import Verdict


def register(app: typer.Typer) -> None:
    """Add `huref verify` to the root command."""
    app.command("verify")(verify)


def verify(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder (NAME.huref).")],
    root: Annotated[str | None, typer.Option(help="Commitment it must be about, 64 hex digits.")] = None,
    expect: Annotated[
        str | None,
        typer.Option(help="Fingerprint it must prove: 64 hex digits, a fingerprint.json, or a bundle."),
    ] = None,
    min_security: Annotated[int, typer.Option(help="Fewest provable bits to accept.")] = 100,
    signer: Annotated[
        str | None, typer.Option(help="Public key that must have signed it, 96 hex digits.")
    ] = None,
    require_image: Annotated[
        bool, typer.Option("--require-image", help="Fail when the picture's generator is not installed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Verify a bundle. Exit code 0: verified, 1: rejected, 3: malformed or unsupported, 4: unreadable."""
    with exit_on_error(as_json=as_json):
        from huref.verifier.verification import verify as verify_bundle

        verdict = verify_bundle(
            bundle, root, expect, min_security, signer=signer, require_image=require_image
        )
    if as_json:
        result_json(verdict.to_dict())
    else:
        result("\n".join(describe(bundle, verdict)))


def describe(bundle: Path, verdict: Verdict) -> list[str]:
    """The verdict in lines for people."""
    return [
        f"VERIFIED  {bundle}",
        f"  fingerprint  {verdict.fingerprint}",
        f"  in words     {verdict.words}",
        f"  commitment   {verdict.root}",
        f"  security     {verdict.security.bits:.1f} provable bits ({verdict.security.binding.label})",
        f"  picture      {_picture(verdict.picture)}",
        f"  signer       {verdict.signer or 'none'}",
        *(f"  auditor      {key}" for key in verdict.cosigners),
        f"  size, time   {verdict.size / 1e6:.2f} MB, {sum(verdict.seconds.values()):.2f} s",
        "Proven:",
        *(f"  - {line}" for line in verdict.proven()),
        "Not proven:",
        *(f"  - {line}" for line in verdict.not_proven()),
    ]


def _picture(found: ImageVerdict) -> str:
    """One line, with the command that would help."""
    if found.status == "not checked":
        return f"{found.message}; {found.hint}"
    return f"{found.status} ({'byte for byte' if found.comparison == 'exact' else 'within a tolerance'})"
