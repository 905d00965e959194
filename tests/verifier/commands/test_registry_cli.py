"""A registry as its keeper and its readers use it: create, add, list, serve, check, identify."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from huref.common.errors import ExitCode
from huref.common.files.bundle import COMMITMENT, PICTURE
from huref.common.image.png import png_pixels
from huref.common.words import ALONE
from tests.conftest import Made
from tests.support.command import Ran, huref
from tests.support.registries import key
from tests.support.schemas import validate


@pytest.fixture(scope="module")
def registry(tiny: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with the tiny model in it; `key` beside it signs the log."""
    file = tmp_path_factory.mktemp("registry") / "r.sqlite"
    key().save(file.parent / "key")
    assert huref("registry", "create", file, "--key", file.parent / "key").out.strip() == key().public_key
    assert add(file, tiny.bundle, "tiny/llama").code == 0
    return file


def add(registry: Path, bundle: Path, name: str, *more: object) -> Ran:
    return huref("registry", "add", registry, bundle, "--name", name, "--key", registry.parent / "key", *more)


@contextmanager
def serving(registry: Path) -> Iterator[str]:
    """`huref registry serve` as a process of its own."""
    command = [sys.executable, "-m", "huref", "registry", "serve", str(registry), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())
            assert found is not None
            yield found[0]
        finally:
            process.send_signal(signal.SIGKILL)


def test_only_what_verifies_is_entered_and_once(
    registry: Path, tiny: Made, other: Made, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.huref"
    bad.mkdir()
    for file in other.bundle.iterdir():
        (bad / file.name).write_bytes(file.read_bytes())
    (bad / "proof.bin").write_bytes((bad / "proof.bin").read_bytes()[::-1])
    root = tiny.bundle / COMMITMENT
    assert add(registry, bad, "a/b").code == ExitCode.REJECTED
    assert add(registry, other.bundle, "a/b", "--root", root).code == ExitCode.REJECTED
    assert add(registry, tiny.bundle, "a/b").code == ExitCode.USAGE
    assert add(registry, other.bundle, "no name").code == ExitCode.MALFORMED
    listed = validate(huref("registry", "list", registry, "--json").json, "entries")
    assert [entry["name"] for entry in listed["entries"]] == ["tiny/llama"] and listed["log"]["size"] == 1
    assert len(list((registry.parent / "r.sqlite.bundles").iterdir())) == 1


def test_identify(registry: Path, tiny: Made, other: Made) -> None:
    own = validate(huref("identify", tiny.bundle, "--registry", registry, "--json").json, "identified")
    assert own["kind"] == "bundle" and own["nearest"][0]["name"] == "tiny/llama"
    assert own["nearest"][0]["cosine"] == pytest.approx(1) and own["nearest"][0]["verdict"] == "same base"
    foreign = huref("identify", other.bundle / "fingerprint.json", "--registry", registry)
    assert "same base" not in foreign.out and "tiny/llama" in foreign.out
    checkpoint = huref("identify", tiny.checkpoint, "--registry", registry, "--json").json
    assert checkpoint["kind"] == "checkpoint" and checkpoint["nearest"][0]["verdict"] == "same base"


def test_identify_shows_pictures(registry: Path, tiny: Made, tmp_path: Path) -> None:
    """The model beside the nearest; a bare vector's words say that no model id goes with them."""
    sheet = tmp_path / "nearest.png"
    ran = huref("identify", tiny.bundle, "--registry", registry, "--picture", sheet, "--show")
    assert ran.code == 0 and "\x1b[48;2;" in ran.out and "+1.0000 same base" in ran.out
    words = tiny.proved.verdict.words.split()
    assert ran.out.count(" ".join(words[:3])) == 2 and ALONE not in ran.out
    drawn = np.asarray(Image.open(sheet))
    own, gap = png_pixels((tiny.bundle / PICTURE).read_bytes()), 8
    assert drawn.shape[1] == 2 * 512 + gap
    assert (drawn[:512, :512] == own).all() and (drawn[:512, 512 + gap :] == own).all()
    bare = huref("identify", tiny.bundle / "fingerprint.json", "--registry", registry, "--show")
    assert (
        ALONE[:30] in bare.out and "\x1b[" not in huref("identify", tiny.bundle, "--registry", registry).out
    )


def test_how_a_checkpoint_is_read_does_not_depend_on_the_bundles(
    registry: Path, tiny: Made, tmp_path: Path
) -> None:
    """They lie outside the log: who serves them could name a challenge there, and hide every match."""
    for file in registry.parent.glob("r.sqlite*"):
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    bundles = tmp_path / "r.sqlite.bundles"
    bundles.mkdir()
    for kept in (registry.parent / bundles.name).iterdir():
        (bundles / kept.name).write_bytes(b"anything")
    found = huref("identify", tiny.checkpoint, "--registry", tmp_path / "r.sqlite", "--json").json
    assert found["kind"] == "checkpoint" and found["nearest"][0]["verdict"] == "same base"


def test_at_an_address_and_after_kill_9(
    registry: Path, tiny: Made, other: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    named = ("--log-key", key().public_key)
    with serving(registry) as url:
        listed = huref("registry", "list", url, *named)
        assert listed.code == 0 and "tiny/llama" in listed.out
        assert huref("registry", "check", url, tiny.bundle, *named).out.startswith(
            "ENTERED  tiny/llama: entry 0 of 1"
        )
        assert huref("registry", "check", url, other.bundle).code == ExitCode.REJECTED
        assert huref("registry", "list", url, "--log-key", key(1).public_key).code == ExitCode.REJECTED
        found = huref("identify", tiny.bundle / "fingerprint.json", "--registry", url, "--json").json
        assert found["nearest"][0]["verdict"] == "same base"
    assert huref("identify", tiny.bundle / "fingerprint.json", "--registry", url).code == ExitCode.IO
    with serving(registry) as url:
        assert huref("registry", "list", url, *named).code == 0
    assert len(list((tmp_path / "huref" / "registries").glob("*.sqlite"))) == 2  # the port is another one


def test_pictures_are_small(registry: Path) -> None:
    ((data,),) = sqlite3.connect(registry).execute("SELECT picture FROM entries").fetchall()
    (registry.parent / "thumb.png").write_bytes(data)
    assert Image.open(registry.parent / "thumb.png").size == (256, 256) and len(data) < 200_000


def test_registries_that_are_none(tiny: Made, tmp_path: Path) -> None:
    key().save(tmp_path / "key")
    assert huref("registry", "list", tmp_path / "none").code == ExitCode.IO
    assert (
        huref("registry", "create", tmp_path / "r", "--key", tmp_path / "key", "--origin", "a b").code
        == ExitCode.MALFORMED
    )
    assert huref("registry", "create", tmp_path / "r", "--key", tmp_path / "key").code == 0
    assert huref("registry", "create", tmp_path / "r", "--key", tmp_path / "key").code == ExitCode.USAGE
    assert huref("identify", tiny.checkpoint, "--registry", tmp_path / "r").code == ExitCode.USAGE
    ran = huref("identify", tiny.bundle / "fingerprint.json", "--registry", tmp_path / "r")
    assert ran.code == 0 and "none of the 0 entries" in ran.out
