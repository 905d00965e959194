"""Files and folders that appear complete or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import InputOutputError, UsageError


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write `data` durably, replacing an older file.

    Raises:
        InputOutputError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputOutputError(f"{path}: {error.strerror or error}") from None


@contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its name when the block ends, and vanishes if it fails.

    With `replace` an older folder of that name is removed at the last moment.

    Raises:
        UsageError: `path` exists and may not be replaced.
        InputOutputError: the folder cannot be made or renamed.
    """
    path = Path(os.path.abspath(path))
    if os.path.lexists(path) and not replace:
        raise UsageError(f"{path} exists already", hint="choose another name, or say --force to replace it")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror or error}") from None
    try:
        yield temporary
        _publish(temporary, path, replace)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _publish(temporary: Path, path: Path, replace: bool) -> None:
    retired = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        _sync(temporary)
        if os.path.lexists(path):
            if not replace:
                raise UsageError(f"{path} was made by somebody else in the meantime")
            os.replace(path, retired)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror or error}") from None
    shutil.rmtree(retired, ignore_errors=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
