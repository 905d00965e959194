"""Kernels as one `huref warmup` with nothing compiled leaves them, made once for all tests.

    python -m tests.support.warm_kernels

Two workers that begin with nothing would both compile what they meet; so `make` runs this first. A test asks whether
what it left is all that proofs need: nothing but a warm-up ever writes to the folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from huref.prover.kernels import cache
from tests import ROOT

SAID = "warmup.json"
"""What the warm-up wrote to standard output."""


def _place() -> Path:
    """Of these sources as they lie here: numba holds code for out of date when a file has another time."""
    times = (path.stat().st_mtime_ns for folder in cache.SOURCES for path in folder.rglob("*.py"))
    return ROOT / "build" / "kernels" / f"{cache.digest()}-{max(times)}"


def warmed() -> Path:
    """A folder for `NUMBA_CACHE_DIR`, not to be written; made by a warm-up if these sources have none."""
    folder = _place()
    if not folder.exists():
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.parent.mkdir(parents=True)
        with TemporaryDirectory(dir=folder.parent) as room:
            made = Path(room) / "made"
            made.mkdir()
            (made / SAID).write_text(warm_up(made))
            made.rename(folder)
    return folder


def warm_up(folder: Path) -> str:
    """Standard output of `huref warmup --json` with this folder; nothing else is written where there is no terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "huref", "warmup", "--json"],
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder)},
        cwd=ROOT, capture_output=True, text=True, timeout=600, check=True,
    )  # fmt: skip
    assert done.stderr == "", done.stderr
    return done.stdout


def main() -> None:
    """Into the folder that commands use, if that is empty or was filled for files of another time."""
    again, made, used = not _place().exists(), warmed(), cache.folder()
    if used is not None and (again or not any(used.iterdir())):
        shutil.copytree(made / used.name, used, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
