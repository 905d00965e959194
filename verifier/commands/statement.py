"""`huref statement`: an in-toto statement about a bundle, signed as a DSSE envelope, and its check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from huref.common.errors import Rejected, UsageError
from huref.common.output import exit_on_error, note, result


def register(app: typer.Typer) -> None:
    """Add `huref statement` to the root command."""
    app.command("statement")(statement)


def statement(
    bundle: Annotated[
        str, typer.Argument(help="Bundle: a folder, a zip of it, or the https address of a zip.")
    ],
    key: Annotated[
        Path | None,
        typer.Option(metavar="PEM", help="Sign with this Ed25519 or ECDSA key (huref keygen --kind)."),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Hash the source files here first, instead of believing the bundle.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write; default: standard output.")
    ] = None,
    check: Annotated[
        Path | None, typer.Option(metavar="ENVELOPE", help="Check this envelope instead: needs --public.")
    ] = None,
    public: Annotated[
        Path | None, typer.Option(metavar="PEM", help="The public key that must have signed it.")
    ] = None,
) -> None:
    """Verify a bundle and write an in-toto Statement about it; with --key a signed DSSE envelope of that."""
    with exit_on_error():
        from huref.common.files.atomic import write_file
        from huref.verifier.publish.statement import check_files
        from huref.verifier.publish.statement import statement as make
        from huref.verifier.verification import verify

        if (check is None) != (public is None) or (check is not None and key is not None):
            raise UsageError("--check and --public go together, and not with --key")
        verdict = verify(bundle)
        if checkpoint is not None:
            check_files(checkpoint, verdict.commitment.sources)
        content = make(verdict)
        if check is not None and public is not None:
            _check(content, check, public)
            result(f"SIGNED  {check}: the statement about {bundle}, by the key of {public}")
            return
        if key is not None:
            from huref.verifier.publish.dsse import seal
            from huref.verifier.publish.pem import load_secret

            content = seal(content, load_secret(key))
        if out is None:
            result(content.decode())
        else:
            write_file(out, content)
            note(f"{'a signed envelope' if key else 'a statement, not signed,'} written to {out}")
        if checkpoint is None and verdict.commitment.sources:
            note("the files' digests are the owner's note; --checkpoint FOLDER would have hashed them")


def _check(content: bytes, envelope: Path, public: Path) -> None:
    """Reject unless the envelope holds exactly this statement, signed by the key."""
    from huref.common.files.capped import read_capped
    from huref.verifier.publish.dsse import MAX_BYTES, unseal
    from huref.verifier.publish.pem import load_public

    payload = unseal(read_capped(envelope, MAX_BYTES), load_public(public), str(envelope))
    if payload != content:
        raise Rejected("envelope.payload", "a statement about something else than this bundle")
