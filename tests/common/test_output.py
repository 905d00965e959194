"""A result that cannot be written is exit code 4; a note that nobody can read changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from huref.common.output import exit_on_error
from tests import ROOT
from tests.conftest import Made

_HUREF = [sys.executable, "-m", "huref"]
_BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
"""As people have it: what is written stays in a buffer, which the interpreter flushes once more when it ends."""


def huref(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [*_HUREF, *map(str, arguments)]
    settings = {"env": _BUFFERED, **options}
    return subprocess.run(command, cwd=ROOT, text=True, timeout=120, check=False, **settings)


def assert_unwritten(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 4, (done.returncode, done.stderr)
    assert done.stderr.count("\n") == 1 and "standard output" in done.stderr, done.stderr


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_a_full_stdout(tiny: Made, extra: tuple[str, ...]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with Path("/dev/full").open("w") as full:
        assert_unwritten(huref("verify", tiny.bundle, *extra, stdout=full, stderr=subprocess.PIPE))
        assert_unwritten(huref("inspect", tiny.bundle, *extra, stdout=full, stderr=subprocess.PIPE))
        shown = huref("--help", stdout=full, stderr=subprocess.PIPE)
    assert shown.returncode == 4 and "standard output" in shown.stderr and shown.stderr.count("\n") == 1


def test_a_closed_pipe(tiny: Made) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        assert_unwritten(huref("verify", tiny.bundle, stdout=pipe, stderr=subprocess.PIPE))


def test_a_closed_stdout(tiny: Made) -> None:
    command = '"$0" -m huref verify "$1" >&-'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, tiny.bundle],
        cwd=ROOT, text=True, stderr=subprocess.PIPE, timeout=120, check=False, env=_BUFFERED,
    )  # fmt: skip
    assert_unwritten(done)


def test_a_full_or_closed_stderr(tiny: Made, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with Path("/dev/full").open("w") as full:
        done = huref("keygen", "--out", tmp_path / "a.key", stdout=subprocess.PIPE, stderr=full)
        assert done.returncode == 0 and len(done.stdout) == 97
        failed = huref("verify", tmp_path / "absent", stdout=subprocess.PIPE, stderr=full)
        assert failed.returncode == 4


def test_an_output_without_our_letters(tiny: Made, tmp_path: Path) -> None:
    folder = tmp_path / "模型.huref"
    folder.symlink_to(tiny.bundle)
    environment = {**_BUFFERED, "PYTHONIOENCODING": "ascii"}
    done = huref("inspect", folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert done.returncode == 0, done.stderr
    assert "\\u6a21\\u578b.huref" in done.stdout


def test_memory_that_runs_out_is_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left, exit_on_error():
        raise MemoryError
    assert left.value.code == 4
    assert capsys.readouterr().err.startswith("error: memory ran out\nhint: ")
