"""Keeping freed memory: on many machines a page that a process touches for the first time costs as much as
several passes over it, and large arrays come and go in a proof.
"""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of glibc's malloc.h


def keep_freed_memory() -> None:
    """Let the allocator of this process reuse large freed blocks instead of returning them to the system.

    For the commands, whose process ends with the job. Only glibc has the switch; elsewhere, and where the user
    tunes the allocator through MALLOC_MMAP_MAX_, nothing happens.
    """
    if "MALLOC_MMAP_MAX_" in os.environ:
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, -1)
        mallopt(_MMAP_MAX, 0)
