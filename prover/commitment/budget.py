"""The persistent private state of a commitment: its seed and its budget of opened positions (protocol §4).

Any z distinct opened positions of a code with z random rows are jointly uniform, and y' costs one more, so
over all proofs at most z - 1 distinct positions may be opened. The state is a directory (mode 0700):

    seed      32 secret bytes (0600): random rows and salts
    instance  a random id (0600), rewritten only in place and locked while in use; its inode marks this copy
    state     JSON (0600), replaced atomically: the budget, the positions opened, and what is reserved

A proof first reserves t positions durably, then draws them, then settles: repeats are refunded. A crash or
an abort between the two forfeits the reservation, because the positions may have been shown to someone.
Copying the directory (a backup) gives `instance` another inode: the copy refuses to load, and `restore`
adopts it with all remaining positions declared spent. A snapshot of the whole disk keeps inodes and cannot
be noticed; whoever rolls one back must call `restore`.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np

from huref.common.errors import Malformed, ProverError
from huref.prover.commitment.randomness import SEED_BYTES, SecretSeed

_VERSION = 1
_STATE_KEYS = {"version", "instance", "inode", "capacity", "forfeited", "reserved", "proofs", "opened"}


@dataclass
class _State:
    instance: str
    inode: int
    capacity: int
    forfeited: int = 0
    reserved: int = 0
    proofs: int = 0
    opened: set[int] = field(default_factory=set)

    @property
    def remaining(self) -> int:
        return self.capacity - self.forfeited - self.reserved - len(self.opened)

    def encode(self) -> bytes:
        content = {
            "version": _VERSION,
            "instance": self.instance,
            "inode": self.inode,
            "capacity": self.capacity,
            "forfeited": self.forfeited,
            "reserved": self.reserved,
            "proofs": self.proofs,
            "opened": sorted(self.opened),
        }
        return json.dumps(content, sort_keys=True).encode()

    @classmethod
    def decode(cls, data: bytes) -> _State:
        try:
            content = json.loads(data)
        except ValueError as error:
            raise Malformed(f"private state is not JSON: {error}") from None
        if not isinstance(content, dict) or set(content) != _STATE_KEYS or content["version"] != _VERSION:
            raise Malformed("private state has other fields or another version")
        counts = [content[key] for key in ("inode", "capacity", "forfeited", "reserved", "proofs")]
        opened = content["opened"]
        if not isinstance(opened, list) or any(
            not isinstance(x, int) or isinstance(x, bool) or x < 0 for x in (*counts, *opened)
        ):
            raise Malformed("private state counts must be non-negative integers")
        del content["version"]
        return cls(**{**content, "opened": set(opened)})


class OpeningBudget:
    """The private state of one commitment, locked while open. Use as a context manager or call `close`.

    `create` makes it, `load` opens it; both take the exclusive lock and raise ProverError when another
    process (or another object of this one) holds it.
    """

    def __init__(self, directory: Path, lock: int, state: _State, seed: SecretSeed) -> None:
        self._directory = directory
        self._lock = lock
        self._state = state
        self.seed = seed

    @classmethod
    def create(cls, directory: Path, random_rows: int, *, seed: SecretSeed | None = None) -> OpeningBudget:
        """A new state for a commitment with z = `random_rows` random rows: z - 1 positions may be opened.

        ProverError if the directory already holds a state. `seed` is for tests and for re-creating a
        commitment; by default it is fresh.
        """
        if random_rows < 1:
            raise ValueError("a commitment needs at least one random row")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        secret = seed or SecretSeed.fresh()
        instance = os.urandom(16).hex()
        try:
            _write_new(directory / "instance", instance.encode())
        except FileExistsError:
            raise ProverError(f"{directory} already holds a private state") from None
        _replace(directory / "seed", secret.value)
        lock = _lock(directory)
        state = _State(instance, os.fstat(lock).st_ino, random_rows - 1)
        budget = cls(directory, lock, state, secret)
        budget._save()
        return budget

    @classmethod
    def load(cls, directory: Path) -> OpeningBudget:
        """Open an existing state; a reservation left by a crash is forfeited first.

        ProverError if it is locked or is a copy, Malformed if its files are damaged.
        """
        budget = cls._open(directory)
        if budget._is_copy():
            budget.close()
            raise ProverError(
                f"{directory} is a copy of a private state: positions opened since the copy are unknown",
                hint="declare its remaining positions spent (restore), or commit again with new random rows",
            )
        budget.abort()
        return budget

    @classmethod
    def restore(cls, directory: Path) -> OpeningBudget:
        """Adopt a copied or rolled-back state: a new instance id, all remaining positions declared spent."""
        budget = cls._open(directory)
        state = budget._state
        state.forfeited, state.reserved = state.capacity - len(state.opened), 0
        budget._save()  # spent first: a crash now leaves a copy that may open nothing
        instance = os.urandom(16).hex()
        os.ftruncate(budget._lock, 0)
        os.pwrite(budget._lock, instance.encode(), 0)
        os.fsync(budget._lock)
        state.instance, state.inode = instance, os.fstat(budget._lock).st_ino
        budget._save()
        return budget

    @classmethod
    def _open(cls, directory: Path) -> OpeningBudget:
        lock = _lock(directory)
        try:
            for name in ("seed", "state"):
                if (directory / name).stat().st_mode & 0o077:
                    raise ProverError(
                        f"{directory / name} is readable by others",
                        hint="chmod 0600 the files, 0700 the directory",
                    )
            seed = (directory / "seed").read_bytes()
            if len(seed) != SEED_BYTES:
                raise Malformed(f"{directory / 'seed'} must have {SEED_BYTES} bytes")
            state = _State.decode((directory / "state").read_bytes())
        except BaseException:
            os.close(lock)
            raise
        return cls(directory, lock, state, SecretSeed(seed))

    def _is_copy(self) -> bool:
        instance = os.pread(self._lock, 64, 0).decode(errors="replace")
        return self._state.instance != instance or self._state.inode != os.fstat(self._lock).st_ino

    @property
    def remaining(self) -> int:
        """How many more distinct positions may be opened."""
        return self._state.remaining

    @property
    def opened(self) -> frozenset[int]:
        """The positions opened so far."""
        return frozenset(self._state.opened)

    @property
    def proofs(self) -> int:
        """The number of reservations ever made: the counter of the per-proof seed."""
        return self._state.proofs

    def reserve(self, count: int) -> int:
        """Reserve `count` positions durably, before they are drawn. Returns the proof's counter.

        ProverError if fewer remain (nothing is then changed) or a reservation is already open.
        """
        if count < 1:
            raise ValueError("reserve at least one position")
        if self._state.reserved:
            raise ProverError("a reservation is already open: settle or abort it first")
        if count > self.remaining:
            raise ProverError(
                f"the opening budget allows {self.remaining} more positions, this proof needs {count}",
                hint="commit again with more random rows: each proof spends its query count",
            )
        self._state.reserved = count
        self._state.proofs += 1
        self._save()
        return self._state.proofs

    def settle(self, positions: Sequence[int] | np.ndarray) -> None:
        """Record the positions that were opened under the reservation and refund repeats."""
        drawn = {int(position) for position in positions}
        if not self._state.reserved or len(drawn) > self._state.reserved or min(drawn, default=0) < 0:
            raise ProverError("the positions opened do not fit the reservation")
        self._state.opened |= drawn
        self._state.reserved = 0
        self._save()

    def abort(self) -> None:
        """Forfeit the open reservation, if any: its positions may have been seen."""
        if self._state.reserved:
            self._state.forfeited += self._state.reserved
            self._state.reserved = 0
            self._save()

    def close(self) -> None:
        """Forfeit an unsettled reservation and release the lock."""
        if self._lock < 0:
            return
        try:
            self.abort()
        finally:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> OpeningBudget:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _save(self) -> None:
        if self._lock < 0:
            raise ProverError("the private state is closed")
        _replace(self._directory / "state", self._state.encode())


def _lock(directory: Path) -> int:
    try:
        descriptor = os.open(directory / "instance", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ProverError(f"{directory} holds no private state") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise ProverError(f"{directory} is in use by another process") from None
    return descriptor


def _write_new(path: Path, data: bytes) -> None:
    """Create a private file that must not exist, durably."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write_all(descriptor, data)
    finally:
        os.close(descriptor)


def _replace(path: Path, data: bytes) -> None:
    """Write a private file durably: a temporary file, fsync, rename, fsync of the directory."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    _write_new(temporary, data)
    os.replace(temporary, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)
