"""Every command of these pages is run, line by line and in order, with real things in place of the placeholders."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from huref.common.files.fingerprint_file import read_fingerprint
from tests import ROOT
from tests.conftest import Made
from tests.prover.checkpoint.remote.conftest import Serve, checkpoint, serve
from tests.prover.checkpoint.test_gguf_families import CASES, convert
from tests.support.command import huref
from tests.support.range_server import REPO
from tests.support.registries import served

__all__ = ["checkpoint", "serve"]


def commands(page: str, first: str = "huref ") -> list[str]:
    """Lines `huref …` of code blocks, fenced or indented, without remarks; options in brackets are left out."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```", text, re.M | re.S)
    blocks += re.findall(r"^    .+$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    lines = [
        re.sub(r" \[[^\]]*\]", "", line.split("  #")[0]).strip()
        for block in blocks
        for line in block.splitlines()
    ]
    return [re.sub(" +", " ", line) for line in lines if line.startswith(first)]


def run(line: str, replaced: dict[str, str], *more: str) -> None:
    """One line of a page."""
    for name, value in replaced.items():
        line = line.replace(name, value)
    ran = huref(*shlex.split(line)[1:], *more)
    assert ran.code == 0, f"{line}: {ran.out}{ran.err}"


@pytest.fixture
def folder(tiny: Made, other: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the pages: model.huref, and base.huref, which is the same model under another name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    shutil.copytree(tiny.bundle, tmp_path / "model.huref")
    shutil.copytree(tiny.bundle, tmp_path / "base.huref")
    return tmp_path


def test_publishing(folder: Path, tiny: Made) -> None:
    lines = commands("publishing.md")
    assert len(lines) == 6
    for line in lines:
        run(line, {"CHECKPOINT": str(tiny.checkpoint)})


def test_registry(folder: Path, tiny: Made) -> None:
    lines = commands("registry.md")
    assert len(lines) == 8
    for line in lines[:4]:
        run(line, {})
    assert (
        lines[4] == "huref registry serve models.sqlite --port 8000"
    )  # tests/verifier/commands/test_registry_cli.py
    with served(folder / "models.sqlite") as url:
        for line in lines[5:]:
            run(line, {"https://models.example": url, "MODEL": str(tiny.checkpoint)})


def test_remote(checkpoint: Path, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    published, tokens = tmp_path / "published", tmp_path / "tokens.json"
    shutil.copytree(checkpoint, published)
    shutil.copytree(checkpoint, published / "sub")
    convert(checkpoint, published / "sub" / "m.gguf", *CASES["llama"])
    for shard in (published / "sub").glob("*.safetensors*"):
        shard.unlink()
    pieces = {"token_ids": list(range(300)), "token_pieces": [f"{i:04x}" for i in range(300)]}
    tokens.write_text(json.dumps(pieces))
    url = serve(published).url
    replaced = {
        "https://SITE/FOLDER/FILE.gguf": f"{url}/files/sub/m.gguf",
        "OWNER/MODEL/FILE.gguf": f"{REPO}/sub/m.gguf",
        "OWNER/MODEL": REPO, "@REVISION": "@v1", "FOLDER": "sub",
    }  # fmt: skip
    lines = commands("remote.md")
    assert len(lines) == 4
    found = []
    for line in lines:
        run(line, replaced, "--tokens", str(tokens))
        found.append(read_fingerprint(tmp_path / "there").v)
    assert found[1:] == found[:-1]
