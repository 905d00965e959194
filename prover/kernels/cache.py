"""Where compiled kernels are kept when numba finds no place of its own: a read-only install and no home folder.

Numba looks beside the source and in the user's cache folder, and refuses to load a kernel if neither can be
written. A folder for temporary files then serves, reused while the sources stay the same. What lies there is run
as code, so it must be a real folder of this user that nobody else may enter.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from huref.common.errors import InputOutputError
from huref.common.files.atomic import check_writable

_SETTING = "NUMBA_CACHE_DIR"


def place_cache(package: Path) -> None:
    """Give numba a temporary cache if it has no other; `package` is the kernels' folder.

    Raises:
        InputOutputError: nothing at all can be written on this machine.
    """
    if any(_can_write(folder) for folder in _usual_places(package)):
        return
    try:
        os.environ[_SETTING] = str(_temporary(package))
    except OSError as error:
        raise InputOutputError(
            f"compiled kernels cannot be kept anywhere: {error.strerror or error}",
            hint=f"set {_SETTING} to a folder that can be written",
        ) from None
    from numba.core import config

    config.reload_config()


def _usual_places(package: Path) -> Iterator[Path]:
    if os.environ.get(_SETTING):
        yield Path(os.environ[_SETTING])
    yield package / "__pycache__"
    from numba.misc.appdirs import AppDirs  # the import takes a second: only if it is needed

    yield Path(AppDirs(appname="numba", appauthor=False).user_cache_dir)


def _can_write(folder: Path) -> bool:
    try:
        check_writable(folder)
    except InputOutputError:
        return False
    return True


def _temporary(package: Path) -> Path:
    user = os.geteuid() if hasattr(os, "geteuid") else 0
    sources = sorted((str(path), path.stat().st_mtime_ns) for path in package.rglob("*.py"))
    version = hashlib.sha256(repr(sources).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"huref-kernels-{user}-{version}"
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    private = os.name != "posix" or (state.st_uid == user and not state.st_mode & 0o077)
    if stat.S_ISDIR(state.st_mode) and private:
        return folder
    own = Path(tempfile.mkdtemp(prefix="huref-kernels-"))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return own
