"""`huref registry`: keep a registry of fingerprints, look into one, serve it."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from huref.common.errors import UsageError
from huref.common.help import WholeHelp
from huref.common.options import JsonOption
from huref.common.output import exit_on_error, note, result, result_json
from huref.common.text import counted

if TYPE_CHECKING:
    from huref.verifier.registry.entry import Checkpoint, Entry

SCHEMA = "huref-registry/1"
_THUMB = 256

PlaceArgument = Annotated[
    str, typer.Argument(metavar="FILE|URL", help="The registry: its file, or its address.")
]
LogKeyOption = Annotated[
    str | None, typer.Option(metavar="KEY|FILE", help="Public key that must have signed the registry's log.")
]


def register(app: typer.Typer) -> None:
    """Add `huref registry` to the root command."""
    group = typer.Typer(
        cls=WholeHelp,
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Keep a registry of fingerprints, or look into one.",
    )
    for name, command in (
        ("create", create),
        ("add", add),
        ("list", list_entries),
        ("check", check),
        ("serve", serve),
    ):
        group.command(name)(command)
    app.add_typer(group, name="registry")


def create(
    registry: Annotated[Path, typer.Argument(help="File to make.")],
    key: Annotated[Path, typer.Option(help="Key file (huref keygen) that signs the log.")],
    origin: Annotated[str, typer.Option(metavar="NAME", help="The registry's own name.")] = "registry",
    as_json: JsonOption = False,
) -> None:
    """Make an empty registry, an SQLite file; bundles will lie beside it in FILE.bundles."""
    with exit_on_error(as_json=as_json):
        from huref.common.files.keys import SecretKey
        from huref.verifier.registry.entry import Checkpoint
        from huref.verifier.registry.merkle import tree_root
        from huref.verifier.registry.store import Store

        secret = SecretKey.load(key)
        empty = {
            "origin": origin,
            "size": 0,
            "root": tree_root([]).hex(),
            "signer": secret.public_key,
            "signature": "0" * 192,
        }
        Checkpoint.read(empty, "registry")
        log = Checkpoint.sign(origin, 0, tree_root([]), secret)
        Store.create(registry, log).close()
        if as_json:
            result_json({"schema": "huref-created/1", "file": str(registry), "log": log.model_dump()})
            return
        result(secret.public_key)
        note(f"an empty registry in {registry}; publish the key above, by which its log is known")


def add(
    registry: Annotated[Path, typer.Argument(help="The registry's file.")],
    bundle: Annotated[
        str, typer.Argument(help="Bundle: a folder, a zip of it, or the https address of a zip.")
    ],
    name: Annotated[str, typer.Option(metavar="OWNER/MODEL", help="What the model is called.")],
    key: Annotated[Path, typer.Option(help="The key file that signs the log.")],
    root: Annotated[
        str | None, typer.Option(metavar="ID|FILE", help="Model id that the bundle must be about.")
    ] = None,
    signer: Annotated[
        str | None, typer.Option(metavar="KEY|FILE", help="Key that must have signed the bundle.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a bundle and enter it; the log grows by one entry and a signed checkpoint, or not at all."""
    with exit_on_error(as_json=as_json):
        from huref.common.files.atomic import write_file
        from huref.common.files.bundle import PICTURE, pack_bundle, read_bundle
        from huref.common.files.keys import SecretKey
        from huref.verifier.registry.entry import Entry
        from huref.verifier.registry.picture import thumbnail
        from huref.verifier.registry.store import Item, Store
        from huref.verifier.verification import verify

        secret = SecretKey.load(key)
        with closing(Store.open(registry, write=True)) as store:
            read = read_bundle(bundle)
            verdict = verify(read, root, signer=signer, require_image=True)
            entry = Entry.of(verdict, name, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
            if store.numbered(entry.digest) is not None:
                raise UsageError("a bundle that is entered already")
            store.bundles.mkdir(exist_ok=True)
            write_file(store.bundle_file(entry.digest), pack_bundle(read))
            small = thumbnail(read.files[PICTURE], _THUMB)
            checkpoint = store.append([Item(entry, verdict.v, small)], secret)
        number = checkpoint.size - 1
    if as_json:
        result_json(_entered(number, entry, checkpoint))
        return
    result(f"entry {number}: {entry.name}, model id {entry.model_id}")
    note(f"log: {_entries(checkpoint.size)}, root {checkpoint.root}")


def list_entries(
    registry: PlaceArgument,
    log_key: LogKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the entries, after recomputing the log's root, every vector's name and the signature."""
    with exit_on_error(as_json=as_json):
        from huref.verifier.commands.registries import opened

        with opened(registry, log_key) as store:
            checkpoint = store.audit()
            entries = [item.entry for item in store.items(0, checkpoint.size)]
    if as_json:
        result_json(
            {
                "schema": "huref-entries/1",
                "entries": [one.model_dump() for one in entries],
                "log": checkpoint.model_dump(),
            }
        )
        return
    result(*(f"{number:>6}  {one.name}  {one.model_id}  {one.added}" for number, one in enumerate(entries)))
    note(
        f"log of {checkpoint.origin}: {_entries(checkpoint.size)}, root {checkpoint.root}, "
        f"signed by {checkpoint.signer}"
    )


def check(
    registry: Annotated[str, typer.Argument(metavar="URL", help="The registry's address.")],
    bundle: Annotated[
        str, typer.Argument(help="Bundle: a folder, a zip of it, or the https address of a zip.")
    ],
    log_key: LogKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a bundle and have the registry prove that it is entered, without the log. Exit code 1: it is not."""
    with exit_on_error(as_json=as_json):
        from huref.common.errors import Rejected
        from huref.common.files.bundle import read_bundle
        from huref.common.files.keys import read_public_key
        from huref.verifier.registry.replica import find_bundle
        from huref.verifier.verification import verify

        read = read_bundle(bundle)
        verdict = verify(read)
        found = find_bundle(registry, verdict.digest, None if log_key is None else read_public_key(log_key))
        if found is None:
            raise Rejected(
                "registry.entry", "the registry has no entry of this bundle", expected=verdict.digest
            )
        number, entry, checkpoint = found
        if as_json:
            result_json(_entered(number, entry, checkpoint))
            return
        result(f"ENTERED  {entry.name}: entry {number} of {checkpoint.size}, added {entry.added}")
        note(f"the log is signed by {checkpoint.signer}")


def _entered(number: int, entry: Entry, log: Checkpoint) -> dict[str, object]:
    """What a program reads of an entry, new or found."""
    return {"schema": SCHEMA, "number": number, "entry": entry.model_dump(), "log": log.model_dump()}


def serve(
    registry: Annotated[Path, typer.Argument(help="The registry's file.")],
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen at; 0: any that is free.")
    ] = 8000,
) -> None:
    """Serve a registry, read-only: pages, and what huref identify --registry URL asks for. Put TLS in front of it."""
    with exit_on_error():
        import socket

        import uvicorn

        from huref.verifier.registry.app import make_app
        from huref.verifier.registry.store import Store

        with closing(Store.open(registry)) as store:
            checkpoint = store.audit()
        app = make_app(registry)
        listener = socket.create_server((host, port))
        note(f"{_entries(checkpoint.size)} checked; http://{host}:{listener.getsockname()[1]}/")
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        uvicorn.Server(config).run(sockets=[listener])


def _entries(count: int) -> str:
    return counted(count, "entry", "entries")
