"""`huref keygen` and `huref pubkey`: signing keys of owners and auditors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from huref.common.errors import UsageError
from huref.common.output import exit_on_error, note, result, result_json

if TYPE_CHECKING:
    from huref.verifier.publish.pem import Kind


def register(app: typer.Typer) -> None:
    """Add the two commands to the root command."""
    app.command("keygen")(keygen)
    app.command("pubkey")(pubkey)


def keygen(
    out: Annotated[Path, typer.Option(help="Key file to make (mode 0600); the public key goes to OUT.pub.")],
    kind: Annotated[
        str,
        typer.Option(help="bls signs bundles; p256 and ed25519 (PEM) sign statements, see huref statement."),
    ] = "bls",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make a signing key; prints the public key."""
    with exit_on_error(as_json=as_json):
        from huref.common.files.keys import SecretKey

        if kind in ("p256", "ed25519"):
            _make_pem(out, cast("Kind", kind), as_json)
            return
        if kind != "bls":
            raise UsageError(f"{kind}: choose bls, p256 or ed25519")
        key = SecretKey.generate()
        public = key.save(out)
        if as_json:
            _json(key.public_key, file=str(out), public_file=str(public))
        else:
            result(key.public_key)
            note(f"secret key in {out}, keep it to yourself; publish {public}, which holds the line above")


def _make_pem(out: Path, kind: Kind, as_json: bool) -> None:
    from huref.verifier.publish.pem import generate, load_public

    public = generate(out, kind)
    name = load_public(public).name
    if as_json:
        _json(name, file=str(out), public_file=str(public))
    else:
        result(name)
        note(f"secret key in {out}, keep it to yourself; publish {public}; the line above is its SHA-256")


def _json(public_key: str, **files: str) -> None:
    result_json({"schema": "huref-pubkey/1", "public_key": public_key, **files})


def pubkey(
    key: Annotated[str, typer.Argument(help="Key file, .pub file, or the key itself.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print the public key of a key file."""
    with exit_on_error(as_json=as_json):
        from huref.common.files.keys import read_public_key

        public = read_public_key(key)
        if as_json:
            _json(public)
        else:
            result(public)
