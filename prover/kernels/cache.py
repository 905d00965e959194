"""Where compiled kernels are kept.

The machine code in this folder is run, so it must be nobody else's to write: the folder is ours, mode 0700, and one
that is found with another owner, or open to everybody, is not used. Its name is a digest of the kernels' sources
and of the compiler's versions: numba watches a function's own file only, not those whose functions it inlines.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import llvmlite  # type: ignore[import-untyped]
import numba

_ROOM = Path(__file__).parent
SOURCES = (_ROOM, _ROOM.parents[1] / "common" / "algebra")
"""Kernels, and the constants that are compiled into them."""

_PREFIX, _TEMPORARY = "huref-kernels-", "huref-once-"


def digest(folders: tuple[Path, ...] = SOURCES) -> str:
    """Name of what would be compiled: source files by place, path and content, and the compiler's versions.

    By place too, because numba compares times of files: to one installation the code of another one is out of date.
    """
    total = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for folder in folders:
        total.update(str(folder.resolve()).encode())
        for path in sorted(folder.rglob("*.py")):
            total.update(f"\0{path.relative_to(folder)}\0".encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:24]


def private_folder(path: Path) -> Path | None:
    """`path`, made if it is not there; None if it cannot be written or others could write it."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found, above = path.lstat(), path.parent.stat().st_mode
        mine = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
        if not (stat.S_ISDIR(found.st_mode) and mine and not found.st_mode & 0o022):
            return None
        if above & 0o002 and not above & stat.S_ISVTX:
            return None  # others could put another folder in its place
        tempfile.TemporaryFile(dir=path).close()
    except (OSError, RuntimeError):
        return None
    return path


def _bases() -> Iterator[Path]:
    """Where kernels may be kept for the next command: as told, beside the sources, in the user's cache."""
    told = os.environ.get("NUMBA_CACHE_DIR")
    if told:
        yield Path(told)
    yield _ROOM / "__pycache__"
    with suppress(RuntimeError):  # no home directory
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huref"


@cache
def folder() -> Path | None:
    """The folder in use, made when first asked for; None if there is no room even for a temporary one."""
    name = _PREFIX + digest()
    for base in _bases():
        found = private_folder(base / name)
        if found is not None:
            if base == _ROOM / "__pycache__":
                _drop_others(found)
            return found
    temporary = _temporary()
    return None if temporary is None else private_folder(temporary / name)


def lasting() -> bool:
    """Whether the next command will find what this one compiles."""
    found = folder()
    return found is not None and not found.parent.name.startswith(_TEMPORARY)


def _drop_others(current: Path) -> None:
    """Beside the sources, kernels of other sources are of no use any more."""
    for path in current.parent.glob(f"{_PREFIX}*"):
        if path != current:
            shutil.rmtree(path, ignore_errors=True)


def _temporary() -> Path | None:
    """A private folder for this process and its workers, gone when it ends."""
    try:
        made = Path(tempfile.mkdtemp(prefix=_TEMPORARY))
    except OSError:
        return None
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made
