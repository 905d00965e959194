"""One remote file on this disk: as large as the whole, holding the blocks that came.

Beside it lies a map with a digest of every block that is there. A block counts only if its bytes have that digest,
checked when it is first used: a crash, a full disk or a second process can cost a block, never change one. When all
blocks are there and the server states a SHA-256, the whole file must have it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import Damaged
from huref.prover.checkpoint.formats.partial import Offsets

BLOCK = 1 << 16
_DIGEST = 16
_GAP = 2
"""Blocks that are fetched though nobody asked, to make one request of two."""
_MOST = 64
"""Blocks of one request."""
THREADS = 8
_FORMAT = "huref-ranges/1"

Fetch = Callable[[int, int], bytes]
Count = Callable[[int], None]


class SparseFile:
    """A file at `place` that `fetch(start, stop)` fills; implements `partial.PartialFile`. Thread-safe.

    `identity` names the version of the content: what came of another one is thrown away, and so is everything where it
    is None (the server names no versions).
    """

    def __init__(
        self, place: Path, size: int, identity: str | None, sha256: str | None, fetch: Fetch, count: Count
    ) -> None:
        self._place, self._size, self._identity, self._sha256 = place, size, identity, sha256
        self._fetch, self._count = fetch, count
        self._lock = threading.Lock()
        blocks = -(-size // BLOCK)
        self._digests: NDArray[np.uint8] = np.zeros((blocks, _DIGEST), np.uint8)
        self._checked = np.zeros(blocks, bool)
        self._whole = False
        self._open()

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self._size

    @property
    def sha256(self) -> str | None:
        """As the server states it."""
        return self._sha256

    def fill(self, starts: Offsets, stops: Offsets) -> Path:
        """See `PartialFile.fill`. Raises `Damaged` where content is not what it was or was stated to be."""
        with self._lock:
            wanted = self._blocks(starts, stops)
            self._recall(wanted)
            missing = wanted & ~self._checked
            if missing.any():
                self._get(_pieces(missing))
            if not self._whole and self._known().all():
                self._check_whole()
        return self._place

    def _blocks(self, starts: Offsets, stops: Offsets) -> NDArray[np.bool_]:
        steps = np.zeros(len(self._digests) + 1, np.int64)
        used = stops > starts
        np.add.at(steps, np.minimum(starts[used] // BLOCK, len(self._digests)), 1)
        np.add.at(steps, np.minimum(-(-stops[used] // BLOCK), len(self._digests)), -1)
        return np.asarray(np.cumsum(steps)[:-1] > 0)

    def _known(self) -> NDArray[np.bool_]:
        return np.asarray(self._digests.any(axis=1))

    def _recall(self, wanted: NDArray[np.bool_]) -> None:
        """Check blocks that an earlier run left."""
        with self._place.open("rb") as file:
            for block in np.flatnonzero(wanted & self._known() & ~self._checked).tolist():
                file.seek(block * BLOCK)
                if _digest(file.read(BLOCK)) == self._digests[block].tobytes():
                    self._checked[block] = True
                else:
                    self._digests[block], self._whole = 0, False

    def _get(self, pieces: list[tuple[int, int]]) -> None:
        descriptor = os.open(self._place, os.O_RDWR)
        pool = ThreadPoolExecutor(THREADS)
        try:
            waiting = [pool.submit(self._fetch_piece, descriptor, *piece) for piece in pieces]
            for one in waiting:
                one.result()
        finally:
            pool.shutdown(cancel_futures=True)
            os.close(descriptor)
            self._save()

    def _fetch_piece(self, descriptor: int, first: int, last: int) -> None:
        start, stop = first * BLOCK, min(last * BLOCK, self._size)
        data = self._fetch(start, stop)
        for block in range(first, last):
            digest = _digest(data[(block - first) * BLOCK : (block - first + 1) * BLOCK])
            if self._checked[block] and digest != self._digests[block].tobytes():
                raise Damaged(f"{self._place.name}: the file changed while it was read", hint="start again")
        _write(descriptor, data, start)
        for block in range(first, last):
            part = data[(block - first) * BLOCK : (block - first + 1) * BLOCK]
            self._digests[block] = np.frombuffer(_digest(part), np.uint8)
            self._checked[block] = True
        self._count(stop - start)

    def _check_whole(self) -> None:
        if self._sha256 is not None:
            with self._place.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != self._sha256:
                self._reset()
                raise Damaged(
                    f"{self._place.name}: SHA-256 {found}, but the server states {self._sha256}",
                    hint="start again; if it happens again, do not trust the server",
                )
        self._whole = True
        self._save()

    @property
    def _map(self) -> Path:
        return self._place.with_name(self._place.name + ".map")

    def _open(self) -> None:
        self._place.parent.mkdir(parents=True, exist_ok=True)
        if self._identity is None or not self._load():
            self._reset()

    def _reset(self) -> None:
        self._digests[:], self._checked[:], self._whole = 0, False, False
        self._map.unlink(missing_ok=True)
        temporary = self._place.with_name(f"{self._place.name}.{secrets.token_hex(8)}.tmp")
        with temporary.open("wb") as file:
            file.truncate(self._size)
        os.replace(temporary, self._place)  # a process that reads the old file keeps it

    def _load(self) -> bool:
        try:
            head, _, digests = self._map.read_bytes().partition(b"\n")
            said = json.loads(head)
            fits = (
                said == self._head(digests, bool(said.get("whole")))
                and self._place.stat().st_size == self._size
            )
        except (OSError, ValueError, AttributeError):
            return False
        if not fits or len(digests) != self._digests.size:
            return False
        self._digests = np.frombuffer(digests, np.uint8).reshape(self._digests.shape).copy()
        self._whole = bool(said["whole"])
        return True

    def _head(self, digests: bytes, whole: bool) -> dict[str, Any]:
        return {
            "format": _FORMAT, "identity": self._identity, "size": self._size, "sha256": self._sha256,
            "whole": whole, "digests": hashlib.sha256(digests).hexdigest(),
        }  # fmt: skip

    def _save(self) -> None:
        digests = self._digests.tobytes()
        temporary = self._map.with_name(f"{self._map.name}.{secrets.token_hex(8)}.tmp")
        temporary.write_bytes(json.dumps(self._head(digests, self._whole)).encode() + b"\n" + digests)
        os.replace(temporary, self._map)


def _pieces(missing: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Ranges [first, last) of blocks that cover the missing ones: near ones together, none too large."""
    blocks = np.flatnonzero(missing)
    cuts = np.flatnonzero(np.diff(blocks) > _GAP + 1)
    firsts = blocks[np.concatenate([[0], cuts + 1])]
    lasts = blocks[np.concatenate([cuts, [len(blocks) - 1]])] + 1
    return [
        (at, min(at + _MOST, last))
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)
        for at in range(first, last, _MOST)
    ]


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()


def _write(descriptor: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(descriptor, view, at)
        view, at = view[done:], at + done
