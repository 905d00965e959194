"""A place for compiled kernels where numba has none: a read-only install, no home folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from huref.common.errors import InputOutputError
from huref.prover.kernels import cache
from tests import ROOT


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package whose usual places cannot be written; the folder for temporary files is `tmp_path`/tmp."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "kernel.py").write_text("")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(cache, "_usual_places", lambda _: iter([package / "kernel.py" / "below"]))
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    return package


def test_a_private_folder_is_made_and_used_again(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = []
    for _ in range(2):
        cache.place_cache(nowhere)
        places.append(Path(os.environ["NUMBA_CACHE_DIR"]))
    assert places[0] == places[1] and places[0].parent == nowhere.parent / "tmp"
    assert places[0].stat().st_mode & 0o777 == 0o700
    os.utime(nowhere / "kernel.py", ns=(1, 1))  # other sources: numba would not notice
    cache.place_cache(nowhere)
    assert Path(os.environ["NUMBA_CACHE_DIR"]) != places[0]


@pytest.mark.parametrize("trap", ["open", "link"])
def test_a_folder_that_others_may_enter_is_not_trusted(nowhere: Path, trap: str, tmp_path: Path) -> None:
    cache.place_cache(nowhere)
    place = Path(os.environ["NUMBA_CACHE_DIR"])
    if trap == "open":
        place.chmod(0o777)
    else:
        place.rmdir()
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "elsewhere")
    cache.place_cache(nowhere)
    other = Path(os.environ["NUMBA_CACHE_DIR"])
    assert other != place and other.is_dir() and other.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(other)


def test_no_place_at_all(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(nowhere / "kernel.py"))
    with pytest.raises(InputOutputError, match="cannot be kept"):
        cache.place_cache(nowhere)


_READ_ONLY = """
import builtins, os, sys, tempfile
from pathlib import Path
import huref
temporary = tempfile.gettempdir()
real = tempfile.TemporaryFile
def refuse(*args, dir=None, **options):
    if dir is not None and not str(dir).startswith(temporary):
        raise OSError(30, "Read-only file system", str(dir))
    return real(*args, dir=dir, **options)
tempfile.TemporaryFile = refuse  # what numba and huref try a place with
import huref.prover.kernels.field.vectors as vectors
print(vectors.__name__, os.environ["NUMBA_CACHE_DIR"])
"""


def test_kernels_load_from_a_read_only_install(tmp_path: Path) -> None:
    home = {"HOME": "/proc/nobody", "XDG_CACHE_HOME": "/proc/nobody", "TMPDIR": str(tmp_path)}
    environment = {**os.environ, **home}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", _READ_ONLY],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    name, place = done.stdout.split()
    assert name.endswith("vectors") and Path(place).parent == tmp_path
