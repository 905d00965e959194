"""The one reader of files that somebody else made: regular files only, never more bytes than the caller allows."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from huref.common.errors import Damaged, InputOutputError, Malformed
from huref.common.files.flags import BINARY, CLOEXEC, NONBLOCK
from huref.common.text import shorten

_PLACEHOLDER = b"version https://git-lfs"
MAX_NAMES = 1000
MAX_NAME = 255
"""Foreign files that are named, and characters of each name; there may be more of both."""


def read_capped(path: Path, cap: int) -> bytes:
    """A regular file of at most `cap` bytes; links to one are followed, pipes and devices never read.

    Raises:
        InputOutputError: it cannot be read.
        Malformed: it is too large, or no regular file.
        Damaged: a link to nothing, or a Git LFS pointer instead of the file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | CLOEXEC | NONBLOCK | BINARY)
    except FileNotFoundError:
        if os.path.islink(path):
            raise Damaged(f"{path}: a link to a file that is not there", hint="download it again") from None
        raise InputOutputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        if os.path.isdir(path):  # systems differ in whether a folder can be opened
            raise Malformed(f"{path}: not a regular file") from None
        raise InputOutputError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise Malformed(f"{path}: not a regular file")
        if state.st_size > cap:
            raise Malformed(f"{path}: {state.st_size} bytes, at most {cap} are allowed")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read(cap + 1)
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror or error}") from None
    finally:
        os.close(descriptor)
    if len(data) > cap:
        raise Malformed(f"{path}: more than {cap} bytes")
    return refuse_placeholder(data, str(path))


def capped_names(names: Iterable[str]) -> tuple[str, ...]:
    """The first `MAX_NAMES` names, each cut to `MAX_NAME` characters, sorted; no more is taken from `names`."""
    return tuple(sorted(shorten(name, MAX_NAME) for name in islice(names, MAX_NAMES)))


def refuse_placeholder(data: bytes, name: str) -> bytes:
    """`data`, unless it is what Git puts in place of a large file. Raises `Damaged`."""
    if data.startswith(_PLACEHOLDER):
        raise Damaged(f"{name}: a Git LFS pointer, not the file", hint="run: git lfs pull")
    return data
