"""kill -9 on commitments without range proof: a rerun succeeds, nothing half-written is trusted, counters only rise."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from huref.prover.commitment import folder as commitment_folder
from huref.prover.commitment.budget import OpeningBudget
from huref.verifier import inspect, verify
from tests import ROOT
from tests.support import tiny_models

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]
MOMENTS = 6
PAPER = ("--profile", "paper")


class Commands:
    """`huref` commands that can be killed; `folder` holds the checkpoint `model` and all that they make."""

    def __init__(self, folder: Path, profile: str) -> None:
        self.folder = folder
        tiny_models.build("llama", folder / "model", 0, **({"vocab_size": 600} if profile == "paper" else {}))
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.support.killable", "model", profile],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._answer() == "ready"

    def start(self, *args: str, replaces: int | None = None) -> int:
        """Start a command; its process number."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps({"args": args, "replaces": replaces}) + "\n")
        self._server.stdin.flush()
        return int(self._answer())

    def wait(self) -> int:
        """Exit code of the started command, or -9."""
        return os.waitstatus_to_exitcode(int(self._answer()))

    def run(self, *args: str, replaces: int | None = None) -> int:
        """Exit code of a command that is left to itself."""
        self.start(*args, replaces=replaces)
        return self.wait()

    def cpu_seconds(self, *args: str) -> float:
        """What a command takes when it is left alone."""
        pid = self.start(*args)
        seconds = 0.0
        while (now := _cpu_clock(pid)) is not None:
            seconds = now
            time.sleep(0.002)
        assert self.wait() == 0, self.log()
        return seconds

    def kill_after(self, cpu_seconds: float, *args: str) -> bool:
        """Kill a command when it has used so much time; whether it was still running."""
        pid = self.start(*args)
        while (now := _cpu_clock(pid)) is not None and now < cpu_seconds:
            time.sleep(0.001)
        if now is not None:
            os.kill(pid, signal.SIGKILL)
        code = self.wait()
        assert code in (0, -signal.SIGKILL), self.log()
        return code != 0

    def log(self) -> str:
        """What the last command printed."""
        return (self.folder / "log").read_text()

    def close(self) -> None:
        """End the process that forks."""
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def _answer(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()


def _cpu_clock(pid: int) -> float | None:
    """CPU seconds of a process, None when it has ended: delays in them do not depend on the machine's load."""
    state = Path(f"/proc/{pid}/stat")
    try:
        if state.read_text().rpartition(")")[2].split()[0] == "Z":
            return None
        return time.clock_gettime((~pid << 3) | 2)  # Linux: the process's CPU clock
    except OSError:
        return None


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """One forking process for all tests here."""
    made = Commands(tmp_path_factory.mktemp("kill"), "paper")
    yield made
    made.close()


def hidden(folder: Path, name: str) -> list[Path]:
    """Temporary names of a target."""
    return list(folder.glob(f".{name}.*"))


def remove_valid_commitment(folder: Path) -> bool:
    """The commitment is absent, or complete and consistent, and then removed; whether it was there."""
    if not folder.exists():
        return False
    commitment_folder.load(folder)  # recomputes the root
    OpeningBudget.load(folder / "private", commitment_folder.read_public(folder).root).close()
    shutil.rmtree(folder)
    return True


def test_commit_killed_at_random_moments(commands: Commands) -> None:
    folder = commands.folder / "c"
    order = ("commit", "model", "--out", "c", *PAPER)
    whole = commands.cpu_seconds(*order)
    assert remove_valid_commitment(folder)
    draw, killed = random.Random(5), 0
    for moment in range(MOMENTS):
        killed += commands.kill_after(whole * (moment + draw.random()) / MOMENTS, *order)
        remove_valid_commitment(folder)
        assert commands.run(*order) == 0, commands.log()
        assert remove_valid_commitment(folder)
        assert not hidden(commands.folder, "c"), "the rerun removes what the killed run left, seed and all"
    assert killed >= MOMENTS // 2


def test_commit_killed_after_every_rename(commands: Commands) -> None:
    folder = commands.folder / "c"
    made, code, step = [], -1, 0
    while code != 0:
        step += 1
        code = commands.run("commit", "model", "--out", "c", *PAPER, replaces=step)
        made.append(remove_valid_commitment(folder))
    assert made == [False] * (len(made) - 2) + [True] * 2, "only the last rename makes it appear"
    assert len(made) > 5 and not hidden(commands.folder, "c")


class Counter:
    """The private state as it lies on disk; `check` after every kill compares it with the last time."""

    def __init__(self, commitment: Path) -> None:
        self._private = commitment / "private"
        self._root = commitment_folder.read_public(commitment).root
        self.last = self.read()

    def read(self) -> dict[str, Any]:
        """The state file."""
        content = json.loads((self._private / "state").read_bytes())
        content["spent"] = content["forfeited"] + content["reserved"] + len(content["opened"])
        return dict(content)

    def check(self) -> dict[str, Any]:
        """Nothing went back; positions reserved by a dead process are spent for the next one."""
        now, last = self.read(), self.last
        assert now["spent"] >= last["spent"] and now["proofs"] >= last["proofs"]
        assert set(now["opened"]) >= set(last["opened"])
        assert now["forfeited"] >= last["forfeited"]
        with OpeningBudget.load(
            self._private, self._root, str
        ) as budget:  # the dead process's lock does not block
            assert budget.remaining == now["capacity"] - now["spent"]
            assert budget.proofs == now["proofs"]
        self.last = self.read()
        assert self.last["forfeited"] == now["forfeited"] + now["reserved"]
        return now


def check_leftover(commands: Commands, state: dict[str, Any]) -> bool:
    """Positions that a killed proof shows in what it left are counted; whether it came that far."""
    found = [folder for folder in hidden(commands.folder, "b.huref") if (folder / "manifest.json").exists()]
    for folder in found:
        shown = set(inspect(folder).proof.positions["opening.weights"])
        assert shown <= set(state["opened"]) or state["reserved"] >= len(shown)
    return bool(found)


def test_prove_killed_at_random_moments(commands: Commands) -> None:
    bundle, folder = commands.folder / "b.huref", commands.folder / "b.commitment"
    assert commands.run("commit", "model", "--out", "b.commitment", *PAPER, "--proofs", "40") == 0
    counter = Counter(folder)
    order = ("prove", "--commitment", "b.commitment", "--out", "b.huref")
    whole = commands.cpu_seconds(*order)
    shutil.rmtree(bundle)
    draw, killed = random.Random(6), 0
    for moment in range(MOMENTS):
        killed += commands.kill_after(whole * (moment + draw.random()) / MOMENTS, *order)
        check_leftover(commands, counter.check())
        if bundle.exists():
            verify(bundle)
            shutil.rmtree(bundle)
        assert commands.run(*order) == 0, commands.log()
        counter.check()
        verify(bundle)
        shutil.rmtree(bundle)
        assert not hidden(commands.folder, "b.huref")
    assert killed >= MOMENTS // 2
    assert counter.last["proofs"] >= MOMENTS + 1


def test_prove_killed_after_every_rename(commands: Commands) -> None:
    """The counter's reservation, every file of the bundle, the settlement, the bundle's own name."""
    bundle, folder = commands.folder / "b.huref", commands.folder / "s.commitment"
    assert commands.run("commit", "model", "--out", "s.commitment", *PAPER, "--proofs", "20") == 0
    counter = Counter(folder)
    order = ("prove", "--commitment", "s.commitment", "--out", "b.huref")
    reserved, complete, step = [], 0, 0
    while True:
        step += 1
        code = commands.run(*order, replaces=step)
        state = counter.check()
        complete += check_leftover(commands, state)
        if code == 0:
            break
        reserved.append(state["reserved"] > 0)
        if bundle.exists():
            verify(bundle)
            shutil.rmtree(bundle)
    verify(bundle)
    assert not hidden(commands.folder, "b.huref")
    assert reserved == [True] * (len(reserved) - 2) + [False] * 2, "then settled, then named"
    assert len(reserved) >= 8 and complete >= 2


def test_the_real_command_killed(commands: Commands) -> None:
    """The same through the console entry point, without a fork: killed as soon as its secret seed is on disk."""
    code = "from huref.common.cli import main; main()"
    order = [sys.executable, "-c", code, "commit", "model", "--out", "r", *PAPER]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(order, cwd=commands.folder, env=environment, stderr=subprocess.DEVNULL)
    while not any(path.joinpath("private/seed").exists() for path in hidden(commands.folder, "r")):
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    if process.returncode != 0:
        assert hidden(commands.folder, "r") and not (commands.folder / "r").exists()
        assert commands.run("commit", "model", "--out", "r", *PAPER) == 0
    assert remove_valid_commitment(commands.folder / "r") and not hidden(commands.folder, "r")
