"""A small file that cannot be put back unnoticed: a state, and a witness that the state names (protocol §4.5).

    lock        empty, locked (flock) while the directory is open
    state       JSON, replaced atomically: the content, and the seal, which names the witness of the latest step
    witness.0   a step number and a random id, written in place; the seal names them and the file's inode and
    witness.1   ctime; no other link to it may exist. The two take turns, and the one that is not named is blank

A step writes a fresh id into the blank witness, replaces the state, then blanks the old witness. So a process that
dies in between leaves the state before or after the step, with its witness whole; and once the step is over, the
older state names an id that is nowhere. Putting back the witness too gives it another ctime, which no ordinary call
can set, and mostly another inode. What keeps inodes and times (a snapshot of the volume) is not seen here.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from huref.common.errors import HurefError, Malformed, ProverError
from huref.common.files.canonical import MAX_NESTING, nesting

MAX_STEP = 1 << 62
_STATE, _LOCK, _WITNESSES = "state", "lock", ("witness.0", "witness.1")
_MAX_BYTES = 1 << 26
_LINE = 54  # 20 digits, a space, 32 hex digits, a newline


@dataclass(frozen=True)
class Seal:
    """The latest step: its number and random id, the witness (0 or 1) that holds both, its inode and ctime in ns."""

    step: int
    id: str
    witness: int
    inode: int
    ctime: int

    @property
    def line(self) -> bytes:
        """What the witness holds."""
        return f"{self.step:020d} {self.id}\n".encode()


class SealedFile:
    """A directory with a sealed state, locked until `close`.

    `content` is None where there is no state yet, or a damaged one: then `damage` says so. `fault` says in words
    what contradicts the seal; None if nothing does. `seal` is the last known one.
    """

    def __init__(self, directory: Path, lock: int) -> None:
        self.directory = directory
        self.content: dict[str, Any] | None = None
        self.seal: Seal | None = None
        self.damage: HurefError | None = None
        self.fault: str | None = None
        self._lock = lock
        self._data = b""

    @classmethod
    def open(cls, directory: Path, *, create: bool = False) -> SealedFile:
        """Lock a directory (with `create`, make it first) and read its state.

        Raises:
            ProverError: it is in use, there is none, or the system has no file locks. OSError: it cannot be used.
        """
        if create:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not os.path.lexists(directory / _STATE):
            raise ProverError(f"{directory} holds no private state", hint="it has a file named state")
        opened = cls(directory, _take_lock(directory / _LOCK))
        try:
            opened._read()
        except BaseException:
            opened.close()
            raise
        return opened

    def examine(self) -> str | None:
        """What on disk contradicts the state as it was last read or written; None if nothing does."""
        if self.seal is None:
            return "there is no state"
        name = _WITNESSES[self.seal.witness]
        try:
            if _read(self.directory / _STATE, _MAX_BYTES) != self._data:
                return "state was changed by somebody else"
            descriptor = os.open(self.directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            return f"{error.filename or name}: {error.strerror or error}"
        try:
            found, line = os.fstat(descriptor), os.pread(descriptor, _LINE + 1, 0)
        finally:
            os.close(descriptor)
        if line != self.seal.line:
            got = line.decode(errors="replace").strip(" \n\0") or "nothing"
            return f"{name} holds {got[:_LINE]!a}, expected {self.seal.line.decode().strip()!r}"
        for what, got_number, expected in (
            ("inode", found.st_ino, self.seal.inode),
            ("link count", found.st_nlink, 1),
            ("ctime", found.st_ctime_ns, self.seal.ctime),
        ):
            if got_number != expected:
                return f"{name} has {what} {got_number}, expected {expected}"
        return None

    def write(self, content: Mapping[str, Any]) -> None:
        """Replace the content, durably, without a step: an older content of this step may come back unnoticed."""
        assert self.seal is not None, "the first content takes a step"
        self._replace(content, self.seal)

    def advance(self, content: Mapping[str, Any], step: int, id: str | None = None) -> Seal:
        """Replace the content, durably, in a step of its own, so that no older content is accepted from now on."""
        id = id or os.urandom(16).hex()
        old = self.seal.witness if self.seal else 1
        seal = Seal(step, id, 1 - old, 0, 0)
        found = self._write_witness(1 - old, seal.line)
        self._replace(content, Seal(step, id, 1 - old, found.st_ino, found.st_ctime_ns))
        self._write_witness(old, b"")
        assert self.seal is not None
        return self.seal

    def close(self) -> None:
        """Release the lock."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _read(self) -> None:
        path = self.directory / _STATE
        try:
            self._data = _read(path, _MAX_BYTES)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EINVAL):
                raise
            raise ProverError(
                f"{path} is not a regular file", hint="put the file itself there, not a link"
            ) from None
        try:
            self.content, self.seal = _decode(self._data, path)
        except Malformed as error:
            self.damage = error
            return
        self.fault = self.examine()
        if self.fault is None:
            self._write_witness(1 - self.seal.witness, b"")  # a process that died in a step may have left it

    def _replace(self, content: Mapping[str, Any], seal: Seal) -> None:
        if self._lock < 0:
            raise ProverError("the private state is closed")
        self._data = json.dumps({**content, "seal": asdict(seal)}, sort_keys=True).encode()
        replace_file(self.directory / _STATE, self._data)
        self.content, self.seal, self.damage, self.fault = dict(content), seal, None, None

    def _write_witness(self, number: int, line: bytes) -> os.stat_result:
        """Write a witness in place, durably; a new file only where there is none, or it has another name too."""
        path = self.directory / _WITNESSES[number]
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            if os.fstat(descriptor).st_nlink != 1:
                os.close(descriptor)
                raise FileNotFoundError
        except OSError as error:
            if not isinstance(error, FileNotFoundError) and error.errno != errno.ELOOP:
                raise
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, line.ljust(_LINE, b"\0"), 0)
            os.ftruncate(descriptor, _LINE)
            os.fsync(descriptor)
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Write a private file durably: a temporary file, fsync, rename, fsync of the directory."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path, limit: int) -> bytes:
    """A regular file's bytes, at most `limit` + 1; a link is not followed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return file.read(limit + 1)


def _take_lock(path: Path) -> int:
    try:
        import fcntl  # absent on Windows
    except ImportError:
        raise ProverError("proving needs POSIX file locks, which this system does not have") from None
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ProverError(f"{path.parent} is in use by another process", hint="wait until it ends") from None
    except OSError as error:
        os.close(descriptor)
        raise OSError(error.errno, "the file system has no locks", str(path)) from None
    return descriptor


def _decode(data: bytes, path: Path) -> tuple[dict[str, Any], Seal]:
    try:
        if len(data) > _MAX_BYTES or nesting(data) > MAX_NESTING:
            raise ValueError("too long or too deep")
        content = json.loads(data)
        seal = Seal(**content.pop("seal"))
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        raise Malformed(
            f"{path}: not a sealed state", hint="commit again; a lost state cannot be made up"
        ) from None
    numbers = (seal.step, seal.witness, seal.inode, seal.ctime)
    if any(type(x) is not int for x in numbers) or type(seal.id) is not str:
        raise Malformed(f"{path}: its seal has other types")
    if not (
        0 <= seal.step < MAX_STEP and seal.witness in (0, 1) and len(seal.id) == 32 and seal.id.isascii()
    ):
        raise Malformed(f"{path}: its seal is out of range")
    return content, seal
