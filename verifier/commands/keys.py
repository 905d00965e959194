"""`huref keygen` and `huref pubkey`: signing keys of owners and auditors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from huref.common.errors import UsageError
from huref.common.options import JsonOption
from huref.common.output import exit_on_error, note, result, result_json

if TYPE_CHECKING:
    from huref.verifier.publish.pem import Kind

SCHEMA = "huref-key/1"


def register(app: typer.Typer) -> None:
    """Add the two commands to the root command."""
    app.command("keygen")(keygen)
    app.command("pubkey")(pubkey)


def keygen(
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Key file to make (mode 0600); the public key goes to OUT.pub."),
    ],
    kind: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="bls signs bundles; p256 and ed25519 (PEM) sign statements, see huref statement.",
        ),
    ] = "bls",
    as_json: JsonOption = False,
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
            result_json(_said(key.public_key, out, public))
        else:
            result(key.public_key)
            note(f"secret key in {out}, keep it to yourself; publish {public}, which holds the line above")


def _make_pem(out: Path, kind: Kind, as_json: bool) -> None:
    from huref.verifier.publish.pem import generate, load_public

    public = generate(out, kind)
    name = load_public(public).name
    if as_json:
        result_json(_said(name, out, public))
    else:
        result(name)
        note(f"secret key in {out}, keep it to yourself; publish {public}; the line above is its SHA-256")


def pubkey(
    key: Annotated[str, typer.Argument(help="Key file, .pub file, or the key itself.")],
    as_json: JsonOption = False,
) -> None:
    """Print the public key of a key file."""
    with exit_on_error(as_json=as_json):
        from huref.common.files.keys import read_public_key

        public = read_public_key(key)
        if as_json:
            result_json(_said(public, None, None))
        else:
            result(public)


def _said(public_key: str, file: Path | None, public_file: Path | None) -> dict[str, str | None]:
    """What a program reads of a key; the files are those that were made."""
    files = {"file": file, "public_file": public_file}
    made = {name: None if path is None else str(path) for name, path in files.items()}
    return {"schema": SCHEMA, "public_key": public_key, **made}
