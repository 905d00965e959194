"""kill -9 on whole-model commitments: the range proof is whole or absent, the next run makes it, budgets only fall."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from huref.common.files.bundle import RANGE
from huref.prover.commitment import folder as commitment_folder
from huref.prover.commitment.budget import OpeningBudget
from huref.verifier import verify
from huref.verifier.ranges import verify_range
from tests.prover.test_kill import Commands, Counter, hidden

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]
MOMENTS = 6
ORDER = ("commit", "model", "--out", "c", "--proofs", "40")
OURS = {"seed", "state", "lock", "witness.0", "witness.1", "leaves", "steps.json", "tokenizer-place.json"}


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """One forking process for all tests here."""
    made = Commands(tmp_path_factory.mktemp("kill-whole"), "hardened")
    yield made
    made.close()


@pytest.fixture(scope="module")
def kept(commands: Commands) -> Path:
    """A commitment of which only the recipe is kept."""
    order = (*ORDER[:3], "k.commitment", *ORDER[4:], "--keep", "recipe")
    assert commands.run(*order) == 0, commands.log()
    return commands.folder / "k.commitment"


def has_range(folder: Path) -> bool:
    """Whether the range proof is there; then it is whole."""
    if not (folder / RANGE).exists():
        return False
    verify_range(commitment_folder.read_public(folder), (folder / RANGE).read_bytes())
    return True


def finished(commands: Commands, folder: Path) -> bool:
    """A commitment that a killed run left is absent, or good as soon as its range is proven; whether it was there."""
    if not folder.exists():
        return False
    public = commitment_folder.read_public(folder)
    assert commitment_folder.load(folder).committed.root.hex() == public.root
    if not has_range(folder):
        assert commands.run("range", folder.name) == 0, commands.log()
        assert has_range(folder) and not hidden(folder, RANGE)
    OpeningBudget.load(folder / "private", public.root, str).close()
    shutil.rmtree(folder)
    return True


def test_commit_killed_at_random_moments(commands: Commands) -> None:
    folder, draw = commands.folder / "c", random.Random(7)
    whole = commands.cpu_seconds(*ORDER)
    assert has_range(folder) and finished(commands, folder)
    killed = 0
    for moment in range(MOMENTS):
        killed += commands.kill_after(whole * (moment + draw.random()) / MOMENTS, *ORDER)
        if not finished(commands, folder):
            assert commands.run(*ORDER) == 0, commands.log()
            assert has_range(folder) and finished(commands, folder)
            assert not hidden(commands.folder, "c")
    assert killed >= MOMENTS // 2


def test_commit_killed_after_every_rename(commands: Commands) -> None:
    """The folder's own rename comes before those of the range proof."""
    folder, made, proven, code, step = commands.folder / "c", list[bool](), list[bool](), -1, 0
    while code != 0:
        step += 1
        code = commands.run(*ORDER, replaces=step)
        proven.append(has_range(folder))
        made.append(finished(commands, folder))
    assert made == sorted(made) and proven == sorted(proven), "what is there stays"
    assert made.count(True) > proven.count(True) >= 2 and made.count(False) > 3
    assert not hidden(commands.folder, "c")


def check_recipe(folder: Path) -> None:
    """No integers are on disk under a name."""
    left = {path.name for path in (folder / "private").iterdir()}
    assert left <= OURS | {"recipe.json", "weights.tmp", "state.tmp"}
    assert (
        not (folder / "private" / "weights.tmp").exists()
        or not (folder / "private" / "weights.tmp").stat().st_size
    )


def test_range_killed_at_random_moments(commands: Commands, kept: Path) -> None:
    counter, order, draw = Counter(kept), ("range", kept.name, "--again"), random.Random(8)
    whole = commands.cpu_seconds(*order)
    killed = 0
    for moment in range(MOMENTS):
        (kept / RANGE).unlink()
        killed += commands.kill_after(whole * (moment + draw.random()) / MOMENTS, *order)
        counter.check()
        check_recipe(kept)
        if not has_range(kept):
            assert commands.run("range", kept.name) == 0, commands.log()
        counter.check()
        assert has_range(kept) and not hidden(kept, RANGE)
    assert {path.name for path in (kept / "private").iterdir()} == OURS | {"recipe.json"}
    assert killed >= MOMENTS // 2 and counter.last["proofs"] >= MOMENTS


def test_range_killed_after_every_rename(commands: Commands, kept: Path) -> None:
    """The reservation's, then the proof's own, then the settlement's."""
    counter, reserved, proven, code, step = Counter(kept), list[bool](), list[bool](), -1, 0
    while code != 0:
        (kept / RANGE).unlink(missing_ok=True)
        step += 1
        code = commands.run("range", kept.name, replaces=step)
        reserved.append(counter.check()["reserved"] > 0)
        proven.append(has_range(kept))
    assert proven == sorted(proven) and proven[-1] and not proven[0]
    assert reserved[:-2] == [True] * (len(reserved) - 2) and not reserved[-1]


def test_prove_killed_at_random_moments(commands: Commands) -> None:
    bundle, folder = commands.folder / "b.huref", commands.folder / "p.commitment"
    assert commands.run(*ORDER[:3], folder.name, *ORDER[4:]) == 0, commands.log()
    counter, draw = Counter(folder), random.Random(9)
    order = ("prove", "--commitment", folder.name, "--out", bundle.name)
    whole = commands.cpu_seconds(*order)
    shutil.rmtree(bundle)
    killed = 0
    for moment in range(MOMENTS // 2):
        if moment == 1:
            (folder / RANGE).unlink()  # then the proof makes it first
        killed += commands.kill_after(whole * (moment + draw.random()) / (MOMENTS // 2), *order)
        counter.check()
        if bundle.exists():
            verify(bundle)
            shutil.rmtree(bundle)
    assert commands.run(*order) == 0, commands.log()
    counter.check()
    verify(bundle)
    assert has_range(folder) and not hidden(folder, RANGE) and not hidden(commands.folder, bundle.name)
    assert killed
