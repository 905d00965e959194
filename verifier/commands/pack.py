"""`huref pack` and `huref unpack`: a bundle as one file, and as a folder again. Neither verifies it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from huref.common.errors import UsageError
from huref.common.options import JsonOption
from huref.common.output import exit_on_error, note, result, result_json

if TYPE_CHECKING:
    from huref.common.files.bundle import Bundle

SCHEMA = "huref-packed/1"
SUFFIX = ".zip"

ForceOption = Annotated[bool, typer.Option("--force", help="Replace an older one of this name.")]


def register(app: typer.Typer) -> None:
    """Add the two commands to the root command."""
    app.command("pack")(pack)
    app.command("unpack")(unpack)


def pack(
    bundle: Annotated[
        str, typer.Argument(help="Bundle: a folder, a zip of it, or the https address of a zip.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write; default: the folder's name and .zip.")
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a bundle as one file, a stored zip: equal bundles give equal bytes, and verify reads it as it is."""
    with exit_on_error(as_json=as_json):
        from huref.common.files.atomic import write_file
        from huref.common.files.bundle import pack_bundle, read_bundle

        target = out or Path(_plain(bundle) + SUFFIX)
        if os.path.lexists(target) and (target.is_dir() or not force):
            raise UsageError(f"{target} exists already", hint="choose another name: --out FILE")
        read = read_bundle(bundle)
        data = pack_bundle(read)
        write_file(target, data)
        _report(read, target, len(data), as_json)


def unpack(
    bundle: Annotated[str, typer.Argument(help="Bundle: a zip, its https address, or a folder.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to make; default: the zip's name without .zip.")
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a bundle as a folder; only its own files, each within its cap."""
    with exit_on_error(as_json=as_json):
        from huref.common.files.atomic import new_folder, write_file
        from huref.common.files.bundle import read_bundle

        if out is None and not bundle.lower().endswith(SUFFIX):
            raise UsageError(
                f"{bundle} does not end in {SUFFIX}", hint="say where the folder goes: --out FOLDER"
            )
        target = out or Path(_plain(bundle)[: -len(SUFFIX)])
        read = read_bundle(bundle)
        with new_folder(target, replace=force) as folder:
            for name, data in read.files.items():
                write_file(folder / name, data)
        _report(read, target, read.size, as_json)


def _plain(bundle: str) -> str:
    """A path without a slash at its end; of an address the last part."""
    path = bundle.rstrip("/")
    return path.rpartition("/")[2] if "://" in path else path


def _report(read: Bundle, target: Path, size: int, as_json: bool) -> None:
    said = {"schema": SCHEMA, "digest": read.digest.hex(), "path": str(target), "bytes": size}
    if as_json:
        result_json({**said, "ignored": list(read.ignored)})
        return
    result(f"{target}: digest {read.digest.hex()}, {size} bytes")
    if read.ignored:
        note(f"left out: {len(read.ignored)} foreign files")
    note(f"nothing was verified: huref verify {target}")
