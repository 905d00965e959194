"""Files and folders that appear complete or not at all: written under a temporary name, then renamed.

The temporary name of NAME is .NAME.<16 hex digits>.tmp beside it, and .NAME.<…>.old is a folder on its way out.
Whoever makes one holds an exclusive flock on it. The system drops the lock when the process dies, however it dies,
so the next one to write NAME tells a dead process's leftovers from another's work in progress, and removes
them: they may hold secrets. Process numbers would not do, they are used again. Where a file system has no
locks on folders, nothing is removed.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from huref.common.errors import InputOutputError, Unsupported, UsageError
from huref.common.files.flags import BINARY, CLOEXEC, DIRECTORY, NOFOLLOW, NONBLOCK

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def write_file(path: Path, data: bytes | Iterable[bytes], mode: int = 0o644) -> None:
    """Write `data`, or its parts one by one, durably, replacing an older file.

    Raises:
        InputOutputError: the file cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | CLOEXEC | BINARY
    try:
        clear_leftovers(path)
        temporary, descriptor = _claim(path, lambda name: os.open(name, flags, mode))
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror or error}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines((data,) if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
            if fcntl:  # named while the lock is held
                os.replace(temporary, path)
        if not fcntl:  # Windows renames no open file
            os.replace(temporary, path)
        _sync(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InputOutputError(f"{path}: {error.strerror or error}") from None
        raise


def check_writable(folder: Path) -> None:
    """Make sure, before long work, that a file can be made in `folder`, or the folder itself; nothing is left there.

    Raises:
        InputOutputError: it cannot.
    """
    place = Path(os.path.abspath(folder))
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise InputOutputError(f"{folder}: nothing can be written here: {error.strerror or error}") from None


@contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its name when the block ends, and vanishes if it fails.

    With `replace` an older folder of that name is removed at the last moment.

    Raises:
        UsageError: `path` exists and may not be replaced.
        InputOutputError: the folder cannot be made or renamed.
    """
    path = Path(os.path.abspath(path))
    try:
        clear_leftovers(path)
        if os.path.lexists(path):
            _check_replaceable(path, replace)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, descriptor = _claim(path, _make_folder)
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror or error}") from None
    try:
        yield temporary
        _publish(temporary, path, replace)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        os.close(descriptor)


def clear_leftovers(path: Path) -> None:
    """Remove what dead processes left beside `path` while writing it; a folder caught on its way out comes back.

    Only names of this module's pattern, of this user, whose lock is free. InputOutputError if one stays.
    """
    pattern = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{16}\.(tmp|old)")
    try:
        names = [name for name in os.listdir(path.parent) if pattern.fullmatch(name)]
    except FileNotFoundError:
        return
    for name in names:
        leftover = path.with_name(name)
        try:
            _clear(leftover, path)
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputOutputError(
                f"{leftover}: a dead process left this and it cannot be removed: {reason}",
                hint="remove it by hand; it may hold secrets",
            ) from None


def _clear(leftover: Path, target: Path) -> None:
    try:
        descriptor = os.open(leftover, os.O_RDONLY | NOFOLLOW | NONBLOCK | CLOEXEC)
    except OSError:
        return  # gone meanwhile, or nothing of ours
    try:
        found = os.fstat(descriptor)
        if not fcntl or found.st_uid != os.geteuid() or not _lock(descriptor, if_unsupported=False):
            return
        if not _names(leftover, descriptor):
            return
        if leftover.suffix == ".old" and not os.path.lexists(target):
            os.replace(leftover, target)
            _sync(target.parent)
        elif stat.S_ISDIR(found.st_mode):
            shutil.rmtree(leftover)
        else:
            leftover.unlink()
    finally:
        os.close(descriptor)


def _claim(path: Path, make: Callable[[Path], int]) -> tuple[Path, int]:
    """A new temporary name and its locked descriptor; `make` makes it and opens it."""
    while True:
        temporary = _hidden(path, "tmp")
        descriptor = make(temporary)
        if _lock(descriptor, if_unsupported=True) and _names(temporary, descriptor):
            return temporary, descriptor
        os.close(descriptor)  # unlocked for a moment, it was taken for a leftover


def _make_folder(path: Path) -> int:
    if not DIRECTORY:
        raise Unsupported("commitments and bundles are made on Linux or macOS only")
    while True:
        path.mkdir(exist_ok=True)
        try:
            return os.open(path, os.O_RDONLY | DIRECTORY | CLOEXEC)
        except FileNotFoundError:
            continue  # taken for a leftover before it could be locked


def _publish(temporary: Path, path: Path, replace: bool) -> None:
    try:
        for folder, _, _ in os.walk(temporary, topdown=False):
            _sync(Path(folder))
        if os.path.lexists(path):
            _check_replaceable(path, replace)
            _exchange(temporary, path)
        else:
            os.replace(temporary, path)
            _sync(path.parent)
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror or error}") from None


def _exchange(temporary: Path, path: Path) -> None:
    """Retire the old folder, locked so that nobody takes it for a leftover, and put the new one in its place."""
    retired = _hidden(path, "old")
    descriptor = os.open(path, os.O_RDONLY | DIRECTORY | CLOEXEC)
    try:
        if not _lock(descriptor, if_unsupported=True):
            raise UsageError(f"{path} is being replaced by another process")
        os.replace(path, retired)
        try:
            os.replace(temporary, path)
        except BaseException:
            os.replace(retired, path)
            raise
        _sync(path.parent)
        shutil.rmtree(retired, ignore_errors=True)
    finally:
        os.close(descriptor)


def _check_replaceable(path: Path, replace: bool) -> None:
    if not replace:
        raise UsageError(f"{path} exists already", hint="choose another name, or say --force to replace it")
    if path.is_symlink() or not path.is_dir():
        raise UsageError(f"{path} is not a folder", hint="choose another name, or remove it first")


def _hidden(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.{suffix}")


def _lock(descriptor: int, *, if_unsupported: bool) -> bool:
    """Take the exclusive lock without waiting; False if it is held, `if_unsupported` if there are no locks."""
    if not fcntl:
        return if_unsupported
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return if_unsupported
    return True


def _names(path: Path, descriptor: int) -> bool:
    """Whether `path` still names what `descriptor` has open."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sync(folder: Path) -> None:
    if not DIRECTORY:  # Windows opens no folders; it writes their entries through
        return
    descriptor = os.open(folder, os.O_RDONLY | DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
