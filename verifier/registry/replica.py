"""A client's copy of a registry: it believes nothing but the log's key, and remembers what it saw.

It fetches the signed checkpoint, has the server show that the log it saw before is the beginning of this one, fetches
the entries that are new, and recomputes every vector's name and the root over all of them. So a registry can neither
take back an entry, nor show different logs to one client, nor leave a match out of a search, which happens here.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huref.common.errors import InputOutputError, Malformed, Rejected, UsageError
from huref.common.files.address import is_address
from huref.common.files.canonical import parse_json
from huref.common.files.download import download
from huref.verifier.registry.entry import Checkpoint, Entry
from huref.verifier.registry.merkle import consistent, included
from huref.verifier.registry.store import Item, Store

_PAGE = 200
_CAP = 8 << 20
_MOST_HASHES = 128
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Server:
    """A registry at an https address (http where it is on this machine)."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._schemes = ("https", "http") if urlsplit(url).hostname in _LOOPBACK else ("https",)

    def get(self, path: str, cap: int = _CAP) -> bytes:
        """What is at a path. Raises what `download` raises."""
        return download(f"{self.url}{path}", cap, schemes=self._schemes)

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        """The latest checkpoint, or that of a size; its signature is not checked here."""
        data = self.get("/api/checkpoint" + ("" if size is None else f"?size={size}"))
        return Checkpoint.decode(data, f"{self.url}: checkpoint")

    def consistency(self, old: int, size: int) -> list[bytes]:
        """The proof that the log of `old` entries is the beginning of that of `size`."""
        return _hashes(self._object(f"/api/consistency?old={old}&size={size}"), self.url)

    def inclusion(self, digest: str, size: int) -> tuple[int, Entry, list[bytes]] | None:
        """Number, entry and proof of a bundle in the log of `size` entries; None if it is not entered."""
        said = self._object(f"/api/inclusion?digest={digest}&size={size}")
        if said.get("entry") is None:
            return None
        entry, number = said.get("entry"), said.get("number")
        if not isinstance(entry, dict) or type(number) is not int:
            raise Malformed(f"{self.url}: not an answer of a registry")
        return number, Entry.read(entry, "entry"), _hashes(said, self.url)

    def items(self, start: int, stop: int) -> list[Item]:
        """Entries `start` to `stop`, each with the vector that it names."""
        found: list[Item] = []
        while start + len(found) < stop:
            count = min(_PAGE, stop - start - len(found))
            lines = self._object(f"/api/entries?start={start + len(found)}&count={count}").get("entries")
            if not isinstance(lines, list) or not 0 < len(lines) <= count:
                raise Malformed(f"{self.url}: not an answer of a registry")
            found += [_item(line, self.url) for line in lines]
        return found

    def _object(self, path: str) -> dict[str, Any]:
        return parse_json(self.get(path), self.url)


def follow(url: str, signer: str | None, folder: Path | None = None) -> Store:
    """The copy here of the registry at an address, up to date and checked. `signer`: the key its log must have.

    Raises:
        Rejected: a signature, proof, root or vector does not hold; the log got shorter or is another one.
        Malformed, InputOutputError: the server's answers.
    """
    server = Server(url)
    place = (folder or _folder()) / f"{hashlib.sha256(server.url.encode()).hexdigest()[:32]}.sqlite"
    latest = server.checkpoint()
    latest.check(signer)
    if place.exists():
        store = Store.open(place, write=True)
        check_growth(store.checkpoint(), latest, server)
    else:
        first = server.checkpoint(0)
        first.check(latest.signer)
        if first.size != 0 or first.origin != latest.origin:
            raise Rejected(
                "registry.origin",
                "its first checkpoint is of another log",
                expected=latest.origin,
                got=first.origin,
            )
        store = Store.create(place, first)
    known = store.checkpoint().size
    if latest.size > known:
        store.follow(server.items(known, latest.size), latest)
    return store


def check_growth(known: Checkpoint, latest: Checkpoint, server: Server) -> None:
    """Reject a log that is not the known one, longer or as it was."""
    for name in ("origin", "signer"):
        if getattr(known, name) != getattr(latest, name):
            raise Rejected(
                f"registry.{name}",
                "another log than before",
                expected=getattr(known, name),
                got=getattr(latest, name),
            )
    if latest.size < known.size:
        raise Rejected(
            "registry.size", "the log got shorter", expected=f"at least {known.size}", got=latest.size
        )
    proof = server.consistency(known.size, latest.size) if 0 < known.size < latest.size else []
    if not consistent(known.size, bytes.fromhex(known.root), latest.size, bytes.fromhex(latest.root), proof):
        raise Rejected(
            "registry.consistency", "the log does not begin with what was seen before", expected=known.root
        )


def find_bundle(url: str, digest: str, signer: str | None) -> tuple[int, Entry, Checkpoint] | None:
    """Number and entry of a bundle, proven to be in the signed log; None if the registry says it is not entered."""
    server = Server(url)
    latest = server.checkpoint()
    latest.check(signer)
    found = server.inclusion(digest, latest.size)
    if found is None:
        return None
    number, entry, proof = found
    if entry.digest != digest:
        raise Rejected("registry.entry", "the entry is of another bundle", expected=digest, got=entry.digest)
    if not included(entry.leaf, number, latest.size, proof, bytes.fromhex(latest.root)):
        raise Rejected("registry.inclusion", "the entry is not in the signed log")
    return number, entry, latest


def open_registry(place: str, signer: str | None) -> Store:
    """A registry for reading: a file, or this client's checked copy of one at an address.

    A file is recomputed from its entries where the log's key is given: who names one does not trust the file.
    """
    if is_address(place):
        return follow(place, signer)
    store = Store.open(Path(place))
    store.checkpoint().check(signer)
    if signer is not None:
        store.audit()
    return store


def _folder() -> Path:
    """$XDG_STATE_HOME/huref/registries, or the same in ~/.local/state."""
    named = os.environ.get("XDG_STATE_HOME", "")
    try:
        home = Path(named) if os.path.isabs(named) else Path.home() / ".local" / "state"
        folder = home / "huref" / "registries"
        folder.mkdir(parents=True, exist_ok=True)
    except RuntimeError:
        raise UsageError("no home folder to remember the registry in", hint="set XDG_STATE_HOME") from None
    except OSError as error:
        raise InputOutputError(f"{error.filename}: {error.strerror}", hint="set XDG_STATE_HOME") from None
    return folder


def _hashes(said: dict[str, Any], url: str) -> list[bytes]:
    proof = said.get("proof")
    if not isinstance(proof, list) or len(proof) > _MOST_HASHES:
        raise Malformed(f"{url}: not an answer of a registry")
    try:
        found = [bytes.fromhex(one) for one in proof]
    except (TypeError, ValueError):
        raise Malformed(f"{url}: not an answer of a registry") from None
    return found


def _item(line: Any, url: str) -> Item:
    if not isinstance(line, dict) or not isinstance(line.get("entry"), dict):
        raise Malformed(f"{url}: not an answer of a registry")
    entry, v = Entry.read(line["entry"], "entry"), line.get("v")
    if not isinstance(v, list) or not all(type(x) is int and abs(x) < 1 << 61 for x in v):
        raise Malformed(f"{url}: not an answer of a registry")
    entry.check_vector(v)
    return Item(entry, v)
