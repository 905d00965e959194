"""A registry's file: SQLite, append-only, every change with a signed checkpoint in one transaction.

The bundles lie beside it in FILE.bundles/, each written whole before its entry exists. A process that is killed leaves
either the old log or the new one. Updates and deletions are refused by the file itself; who gets round that breaks
the log's root, which `Store.audit` and every client recompute.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.outputs import standardize
from huref.circuits.fingerprint.profiles import get_profile
from huref.common.errors import InputOutputError, Malformed, Rejected, UsageError
from huref.common.files.keys import SecretKey
from huref.verifier.registry.entry import Checkpoint, Entry
from huref.verifier.registry.merkle import tree_root

_FORMAT = 0x48554652
_SCHEMA = """
CREATE TABLE entries (number INTEGER PRIMARY KEY, leaf BLOB NOT NULL, body BLOB NOT NULL, digest TEXT NOT NULL UNIQUE,
                      v BLOB NOT NULL, unit BLOB NOT NULL, picture BLOB);
CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER entries_last BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER checkpoints_stay BEFORE UPDATE ON checkpoints BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER checkpoints_last BEFORE DELETE ON checkpoints BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""
_WAIT = 30.0


@dataclass(frozen=True)
class Item:
    """An entry with its vector (512 integers) and a small picture (PNG), if there is one."""

    entry: Entry
    v: list[int]
    picture: bytes | None = None


@dataclass(frozen=True)
class Row:
    """An entry and its vector as they are stored, not yet checked."""

    body: bytes
    v: bytes

    def vector(self) -> list[int]:
        """The vector's integers."""
        return [int(x) for x in np.frombuffer(self.v, "<i8").tolist()]


class Store:
    """An open registry file. Raises `InputOutputError` (the file cannot be used), `Malformed` (it is no registry)."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self._connection = path, connection

    @classmethod
    def create(cls, path: Path, first: Checkpoint) -> Store:
        """A new file whose log begins with `first`, of size 0. Raises `UsageError` if there is one."""
        if path.exists():
            raise UsageError(f"{path} exists already", hint="a registry is never overwritten")
        path.parent.mkdir(parents=True, exist_ok=True)
        with _named(path):
            connection = sqlite3.connect(path, timeout=_WAIT, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(f"BEGIN IMMEDIATE; PRAGMA application_id={_FORMAT}; {_SCHEMA} COMMIT;")
            connection.execute("INSERT INTO checkpoints VALUES (0, ?)", (first.encode(),))
        return cls(path, connection)

    @classmethod
    def open(cls, path: Path, *, write: bool = False) -> Store:
        """An existing file, to be read only unless `write`."""
        if not path.is_file():
            raise InputOutputError(f"{path}: no such registry", hint="make one: huref registry create")
        with _named(path):
            mode = "rw" if write else "ro"
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=_WAIT, isolation_level=None
            )
            connection.execute("PRAGMA synchronous=FULL")
            (found,) = connection.execute("PRAGMA application_id").fetchone()
        if found != _FORMAT:
            raise Malformed(f"{path}: not a registry")
        return cls(path, connection)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @property
    def bundles(self) -> Path:
        """The folder of the bundles."""
        return self.path.with_name(self.path.name + ".bundles")

    def bundle_file(self, digest: str) -> Path:
        """Where the bundle of an entry lies."""
        return self.bundles / f"{digest}.huref"

    def checkpoint(self) -> Checkpoint:
        """The latest one, as it is signed; `Checkpoint.check` checks it."""
        with _named(self.path):
            row = self._connection.execute(
                "SELECT body FROM checkpoints ORDER BY size DESC LIMIT 1"
            ).fetchone()
        if row is None:
            raise Malformed(f"{self.path}: a registry without a checkpoint")
        return Checkpoint.decode(_blob(row[0], self.path), f"{self.path}: checkpoint")

    def checkpoint_of(self, size: int) -> Checkpoint | None:
        """The checkpoint that was signed at a size, if there was one."""
        with _named(self.path):
            row = self._connection.execute("SELECT body FROM checkpoints WHERE size = ?", (size,)).fetchone()
        if row is None:
            return None
        return Checkpoint.decode(_blob(row[0], self.path), f"{self.path}: checkpoint")

    def append(self, items: Sequence[Item], key: SecretKey) -> Checkpoint:
        """Add entries and a checkpoint signed with `key`, all or nothing.

        Raises:
            UsageError: a bundle that is entered already, or another key than the log's.
        """
        with self._changing() as size:
            earlier = self.checkpoint()
            if key.public_key != earlier.signer:
                raise UsageError(
                    "the registry's log is signed by another key", hint=f"its key is {earlier.signer}"
                )
            leaves = [*self.leaves(size), *(item.entry.leaf for item in items)]
            checkpoint = Checkpoint.sign(earlier.origin, len(leaves), tree_root(leaves), key)
            self._insert(size, items, checkpoint)
        return checkpoint

    def follow(self, items: Sequence[Item], checkpoint: Checkpoint) -> None:
        """Add entries of another copy of this registry, whose checkpoint was checked to hold for them."""
        with self._changing() as size:
            leaves = [*self.leaves(size), *(item.entry.leaf for item in items)]
            if len(leaves) != checkpoint.size or tree_root(leaves).hex() != checkpoint.root:
                raise Rejected(
                    "registry.root", "the entries are not those of the signed log", expected=checkpoint.root
                )
            self._insert(size, items, checkpoint)

    def audit(self) -> Checkpoint:
        """Recompute all that is searched or shown: the root from all entries, every vector and its name, the signature.

        Raises `Rejected`.
        """
        checkpoint = self.checkpoint()
        checkpoint.check()
        items = list(self.items(0, checkpoint.size))
        leaves = [item.entry.leaf for item in items]
        if len(leaves) != checkpoint.size or tree_root(leaves).hex() != checkpoint.root:
            raise Rejected(
                "registry.root", "the entries are not those of the signed log", expected=checkpoint.root
            )
        if leaves != self.leaves(checkpoint.size):
            raise Rejected("registry.leaf", "a stored hash is not that of its entry")
        for item, unit in zip(items, self.units(0, checkpoint.size), strict=True):
            item.entry.check_vector(item.v)
            if not np.allclose(unit, unit_vector(item.v, item.entry.profile), rtol=0, atol=1e-5):
                raise Rejected("registry.vector", "the vector that is searched is not the one of this entry")
        return checkpoint

    def leaves(self, size: int) -> list[bytes]:
        """Hashes of the first `size` entries."""
        query = "SELECT leaf FROM entries WHERE number < ? ORDER BY number"
        with _named(self.path):
            return [_blob(leaf, self.path, 32) for (leaf,) in self._connection.execute(query, (size,))]

    def rows(self, start: int, stop: int) -> list[Row]:
        """Entries `start` to `stop` in order, as they are stored."""
        query = "SELECT body, v FROM entries WHERE number >= ? AND number < ? ORDER BY number"
        with _named(self.path):
            found = self._connection.execute(query, (start, stop))
            return [Row(_blob(body, self.path), _blob(v, self.path, 8 * 512)) for body, v in found]

    def items(self, start: int, stop: int) -> Iterator[Item]:
        """The same, well-formed; without pictures. Raises `Malformed`."""
        for row in self.rows(start, stop):
            yield Item(Entry.decode(row.body, f"{self.path}: entry"), row.vector())

    def numbered(self, digest: str) -> int | None:
        """The number of the entry of a bundle; None if it is not entered."""
        with _named(self.path):
            row = self._connection.execute(
                "SELECT number FROM entries WHERE digest = ?", (digest,)
            ).fetchone()
        return None if row is None else int(row[0])

    def picture(self, digest: str) -> bytes | None:
        """The small picture of an entry."""
        with _named(self.path):
            row = self._connection.execute(
                "SELECT picture FROM entries WHERE digest = ?", (digest,)
            ).fetchone()
        return None if row is None else row[0]

    def units(self, start: int, stop: int) -> NDArray[np.float32]:
        """Standardized vectors of entries `start` to `stop` with length 1, (count, 512)."""
        query = "SELECT unit FROM entries WHERE number >= ? AND number < ? ORDER BY number"
        with _named(self.path):
            found = self._connection.execute(query, (start, stop))
            data = b"".join(_blob(unit, self.path, 4 * 512) for (unit,) in found)
        return np.frombuffer(data, "<f4").reshape(-1, 512)

    @contextmanager
    def _changing(self) -> Iterator[int]:
        """A transaction that no other writer interrupts; yields the number of entries."""
        with _named(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.checkpoint().size
            with _named(self.path):
                self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise

    def _insert(self, size: int, items: Sequence[Item], checkpoint: Checkpoint) -> None:
        rows = []
        for number, item in enumerate(items, size):
            entry, v = item.entry, np.array(item.v, dtype="<i8")
            unit = unit_vector(item.v, entry.profile)
            vectors = v.tobytes(), unit.tobytes()
            rows.append((number, entry.leaf, entry.encode(), entry.digest, *vectors, item.picture))
        try:
            with _named(self.path):
                self._connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
                self._connection.execute(
                    "INSERT INTO checkpoints VALUES (?, ?)", (checkpoint.size, checkpoint.encode())
                )
        except sqlite3.IntegrityError:
            raise UsageError("a bundle that is entered already") from None


def _blob(value: object, path: Path, size: int | None = None) -> bytes:
    """A stored value, which a file of somebody else's may have of any kind and size. Raises `Malformed`."""
    if not isinstance(value, bytes) or size not in (None, len(value)):
        raise Malformed(f"{path}: not a registry (a stored value of another kind or size)")
    return value


def unit_vector(v: Sequence[int], profile: str) -> NDArray[np.float32]:
    """The standardized vector with length 1, (512,); zeros for a constant one."""
    standard = standardize(np.array(v, dtype=np.int64), get_profile(profile))
    length = float(np.linalg.norm(standard))
    return (standard / length if length else standard).astype("<f4")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise InputOutputError(f"{path}: {error}") from None
        raise Malformed(f"{path}: not a registry ({error})") from None
