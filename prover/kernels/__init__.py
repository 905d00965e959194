"""Compiled kernels (numba). Nothing else imports a compiler; twins live in `common/`.

Numba's on-disk cache watches a function's own source file, not the files whose functions it inlines. So
cached code that is older than the modules everybody inlines is dropped before any kernel is loaded.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from huref.prover.kernels.cache import place_cache

_INLINED = (
    "field/field.py",
    "field/simd.py",
    "field/short_simd.py",
    "hashing/sha256.py",
    "transforms/ntt.py",
)


def _drop_stale_cache(folder: Path) -> None:
    newest = max((folder / name).stat().st_mtime_ns for name in _INLINED)
    for index in folder.rglob("__pycache__/*.nbi"):
        with suppress(OSError):  # a read-only install, or another process was faster
            if index.stat().st_mtime_ns < newest:
                index.unlink()


_drop_stale_cache(Path(__file__).parent)
place_cache(Path(__file__).parent)
