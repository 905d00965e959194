"""Where commands may write is settled before the work; what they say in a log."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from huref.common.errors import InputOutputError
from huref.common.files.atomic import check_writable
from huref.prover.commands import progress as bars
from huref.prover.commands.progress import ProgressBar, step_bar
from tests import ROOT
from tests.conftest import Made


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom huref.common.cli import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("inside", "arguments"),
    [
        (".", (".",)),
        (".", ("model.safetensors",)),
        ("..", ("model", "--out", "model")),
        ("..", ("model", "--out", "model/new/folder")),
        ("..", ("model", "--out", "link/new")),
    ],
)
def test_nothing_is_written_into_a_checkpoint(
    tiny: Made, tmp_path: Path, inside: str, arguments: tuple[str, ...]
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for file in tiny.checkpoint.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    (tmp_path / "link").symlink_to(model)
    before = sorted(model.iterdir())
    done = run(model / inside, "fingerprint", *arguments)
    assert done.returncode == 2 and "--out DIR" in done.stderr
    assert "fingerprint: " not in done.stderr  # the line that ends the work
    assert sorted(model.iterdir()) == before


@pytest.mark.parametrize("command", ["commit", "prove"])
def test_no_secret_is_written_into_a_checkpoint(tiny: Made, tmp_path: Path, command: str) -> None:
    """Whoever publishes the folder would publish the seed."""
    model = shutil.copytree(tiny.checkpoint, tmp_path / "model")
    before = sorted(model.iterdir())
    done = run(model, command, ".", "--out", "a.huref")
    assert done.returncode == 2 and "secrets" in done.stderr and "--out DIR" in done.stderr
    assert sorted(model.iterdir()) == before


def test_an_unwritable_place_is_refused_before_the_work(tiny: Made, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    absent = tmp_path / "absent"
    for place in ("file", "file/below"):
        done = run(tmp_path, "fingerprint", absent, "--out", place)
        assert done.returncode == 4 and place in done.stderr and "absent" not in done.stderr
    done = run(tmp_path, "compare", tiny.checkpoint, absent, "--picture", "file/both.png")
    assert done.returncode == 4 and "file" in done.stderr and "absent" not in done.stderr


def test_check_writable(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder")
    assert not os.listdir(tmp_path)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.geteuid():  # root may write anywhere
        with pytest.raises(InputOutputError):
            check_writable(closed / "new")
    if Path("/proc/self").exists():
        with pytest.raises(InputOutputError, match="nothing can be written"):
            check_writable(Path("/proc/self"))


def test_one_line_a_stage_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(("load", "prove")) as progress:
        for name in ("load", "prove"):
            with progress.stage(name) as step:
                for number in range(50):
                    step(f"step {number}")
        progress.say("done")
    with step_bar("fingerprint", 3) as advance:
        for number in range(50):
            advance(f"step {number}")
    out, err = capsys.readouterr()
    assert out == "done\n"
    expected = [rf"{name}: \d+\.\d s" for name in ("load", "prove", "fingerprint")]
    lines = err.splitlines()
    assert len(lines) == 3 and all(map(re.fullmatch, expected, lines)), lines


@pytest.mark.parametrize("kind", ["stages", "steps"])
def test_the_clock_goes_on_while_a_step_takes_long(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(bars, "on_terminal", lambda: True)
    monkeypatch.setattr(bars, "TICK", 0.05)
    with ProgressBar(("load",)) if kind == "stages" else step_bar("load", 1) as progress:
        with progress.stage("load") if isinstance(progress, ProgressBar) else nullcontext():
            time.sleep(1.4)
            assert "00:00" in shown.getvalue() and "00:01" in shown.getvalue()
        if isinstance(progress, ProgressBar):
            progress.note("a line of its own")
    assert (kind == "steps") != ("\na line of its own\n" in "\n" + shown.getvalue().replace("\r", "\n"))
    assert not [thread for thread in threading.enumerate() if thread.name == "huref-bar"]
