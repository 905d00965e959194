"""A folder on this disk that stands for a checkpoint elsewhere: every reader works on it as on any other.

Small files (configuration, tokenizer) are fetched whole. A weights file is a placeholder whose bytes come when a reader
asks (`huref.prover.checkpoint.formats.partial`): headers first, then exactly the tensors and rows that are read.
"""

from __future__ import annotations

import functools
import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from huref.common.errors import Damaged, UsageError
from huref.common.files.address import WEIGHTS
from huref.prover.checkpoint.formats.partial import PartialFile, opened, ready_whole
from huref.prover.checkpoint.remote import hub
from huref.prover.checkpoint.remote.address import HubAddress, parse_address
from huref.prover.checkpoint.remote.client import Client, Patience, RemoteFile
from huref.prover.checkpoint.remote.listing import Listing
from huref.prover.checkpoint.remote.site import identity, list_site
from huref.prover.checkpoint.remote.sparse import THREADS, SparseFile

_SMALL = (".json", ".txt", ".model", ".tiktoken")
_MAX_SMALL = 64_000_000
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")

Count = Callable[[int], None]


class Traffic:
    """Bytes that came (`read`), and bytes of the weights files (`total`), known once they are listed.

    `seen` is called with every few bytes that came.
    """

    def __init__(self) -> None:
        self.total = self.read = 0
        self.seen: Count | None = None
        self._lock = threading.Lock()

    def count(self, size: int) -> None:
        """`size` more bytes came."""
        with self._lock:
            self.read += size
            if self.seen is not None:
                self.seen(size)


@contextmanager
def mirrored(text: str, traffic: Traffic | None = None, patience: Patience | None = None) -> Iterator[Path]:
    """The folder or file that stands for the checkpoint at an address, while the block lasts.

    Raises:
        UsageError: not an address. InputOutputError: refused, not there, unreachable, too slow, offline.
        Damaged: the server contradicts itself, or content is not what it states. Malformed: nonsense from a server.
    """
    traffic = traffic or Traffic()
    address = parse_address(text, hub.endpoint())
    if isinstance(address, HubAddress):
        local = hub.downloaded(address)
        if local is not None:
            yield local
            return
        client = hub.client(patience)
        listing = hub.list_repository(address)
    else:
        client = Client(text, {}, patience)
        listing = list_site(address, client)
    listing.store.mkdir(parents=True, exist_ok=True)
    commit = listing.folder.name[:40] if isinstance(address, HubAddress) else None
    partial = _lay_out(listing, client, traffic, address if isinstance(address, HubAddress) else None, commit)
    if isinstance(address, HubAddress):
        listing.keep()  # another site's addresses may hold passwords, and have no offline mode
    traffic.total = sum(file.size for file in partial.values())
    with opened(partial):
        for path in partial:
            if path.suffix.lower() == ".onnx" and (listing.chosen == path.name or len(partial) == 1):
                _place(path, ready_whole(path))
        yield listing.folder / listing.chosen if listing.chosen else listing.folder


def _lay_out(
    listing: Listing, client: Client, traffic: Traffic, address: HubAddress | None, commit: str | None
) -> dict[Path, PartialFile]:
    """Put the small files and the placeholders into the folder; the partial files by their paths."""
    weights, small = [], []
    for file in listing.files:
        suffix = Path(file.name).suffix.lower()
        if suffix in WEIGHTS or file.name == listing.chosen:
            weights.append(file)
        elif suffix in _SMALL and file.size <= _MAX_SMALL:
            small.append(file)
        elif suffix in _PICKLES:
            _write(listing.folder / file.name, _pointer(file))
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(lambda file: _fetch_small(file, listing, client, traffic), small):
            pass
    _clear(listing)
    partial: dict[Path, PartialFile] = {}
    for file in weights:
        path = listing.folder / file.name
        known = hub.cached_file(file, address, commit) if address is not None and commit is not None else None
        if known is not None:
            _place(path, known)
            continue
        _write(path, _pointer(file))
        fetch = functools.partial(client.read, file)
        place = listing.store / file.name
        partial[path] = SparseFile(place, file.size, identity(file), file.sha256, fetch, traffic.count)
    return partial


def _clear(listing: Listing) -> None:
    """Remove files that are no longer there."""
    listed = {file.name for file in listing.files}
    for path in listing.folder.iterdir():
        if path.name not in listed and not path.name.startswith("."):
            path.unlink()


def _fetch_small(file: RemoteFile, listing: Listing, client: Client, traffic: Traffic) -> None:
    """Fetch a file whole, unless the one here has the content that the server states."""
    path = listing.folder / file.name
    if path.is_file() and path.stat().st_size == file.size and _is_stated(file, path.read_bytes()):
        return
    data = client.read(file, 0, file.size) if file.size else b""
    if _is_stated(file, data) is False:
        raise Damaged(f"{file.url}: not the content that the server states", hint="start again")
    traffic.count(len(data))
    _write(path, data)


def _is_stated(file: RemoteFile, data: bytes) -> bool | None:
    """Whether `data` has the digest that the server states; None where it states none."""
    if file.sha256 is not None:
        return hashlib.sha256(data).hexdigest() == file.sha256
    if file.git_sha1 is not None:
        return (
            hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == file.git_sha1
        )
    return None


def _pointer(file: RemoteFile) -> bytes:
    """What stands in the folder for a weights file: no reader takes it for one."""
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{file.sha256 or '0' * 64}\nsize {file.size}\n"
    return text.encode("ascii")


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def _place(path: Path, target: Path) -> None:
    """Make `path` a link to a whole file."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        os.symlink(target, temporary)
    except OSError as error:
        raise UsageError(f"{path}: no link can be made here: {error.strerror}") from None
    os.replace(temporary, path)
