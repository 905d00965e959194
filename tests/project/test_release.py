"""What goes with a release: metadata, pinned versions, README, citation, workflow, image."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml

from tests import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FILE = re.compile(
    r"`((?:docs|benchmarks|tests|common|circuits|verifier|prover|package)/[\w./-]*|[A-Z]+\.(?:md|cff))`"
)


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower().replace("-", "_")


def _required() -> set[str]:
    extras = PROJECT["optional-dependencies"].values()
    found = {_name(line) for lines in (PROJECT["dependencies"], *extras) for line in lines}
    return found - {"huref"}


def test_metadata() -> None:
    assert (PROJECT["name"], PROJECT["license"]) == ("huref", "MIT")
    assert PROJECT["authors"] == [{"name": "huref developers"}]
    assert PROJECT["requires-python"] == ">=3.11" and len(PROJECT["keywords"]) >= 3
    versions = {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13, 14)}
    assert versions <= set(PROJECT["classifiers"])
    extras = {
        "prover",
        "gpu",
        "train",
        "onnx",
        "hub",
        "sign",
        "registry",
        "cluster",
        "fast",
        "bench",
        "docs",
        "dev",
    }
    assert set(PROJECT["optional-dependencies"]) == extras


def test_every_dependency_is_pinned() -> None:
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    names = {_name(name) for name in pinned}
    assert _required() <= names
    assert pinned["torch"] == "2.13.0"  # an open range brings gigabytes of CUDA
    makefile = (ROOT / "Makefile").read_text()
    assert "--constraint constraints.txt --editable '.[dev]'" in makefile
    for name in re.findall(r"--(?:constraint|requirement) (\S+)", makefile):
        assert (ROOT / name).is_file()


def test_dev_brings_everything_but_plots() -> None:
    extras = PROJECT["optional-dependencies"]
    (brought,) = (line for line in extras["dev"] if line.startswith("huref["))
    named = set(brought.removeprefix("huref[").removesuffix("]").split(","))
    assert named == set(extras) - {"prover", "bench", "dev"}
    assert all("huref[prover]" in extras[name] for name in ("gpu", "train", "onnx", "cluster"))


@pytest.mark.parametrize("page", PAGES)
def test_pages_read_the_same_away_from_the_repository(page: str) -> None:
    """An index page shows README.md without the files beside it: files are named, not linked."""
    whole = (ROOT / page).read_text(encoding="utf-8")
    text = "\n".join(
        line for line in whole.split("\n") if not line.startswith("![")
    )  # setup.py leaves these out
    assert all((ROOT / link).is_file() for link in set(LINK.findall(whole)) - set(LINK.findall(text)))
    links = LINK.findall(text)
    assert not [link for link in links if not link.startswith(("https://", "#"))]
    assert "<img" not in text and "<a " not in text
    missing = [name for name in FILE.findall(text) if not (ROOT / name).exists()]
    assert not missing, missing


def test_links_between_documents_lead_somewhere() -> None:
    missing = []
    for page in (*(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "README.md"):
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            target = link.split("#")[0]
            if target and "://" not in target and not (page.parent / target).exists():
                missing.append(f"{page.name}: {link}")
    assert not missing, missing


def test_citation() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0" and citation["message"]
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert citation["authors"] == PROJECT["authors"]
    (paper,) = citation["references"]
    assert "HuRef" in paper["title"] and paper["year"] == 2024 and paper["authors"]


def test_changelog_knows_this_version() -> None:
    assert re.search(rf"^## {re.escape(PROJECT['version'])}\b", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_the_workflow_runs_make_test() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
    (job,) = workflow["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == ["make test"]
    assert workflow["permissions"] == {"contents": "read"}
    (python,) = (
        step["with"]["python-version"] for step in job["steps"] if "python-version" in step.get("with", {})
    )
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]


def test_the_image_holds_the_verifier_alone() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [
        name
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for name in line.split()[1:-1]
    ]
    assert all((ROOT / name).exists() for name in copied)
    assert {"common", "circuits", "verifier", "prover", "package", "pyproject.toml", "setup.py"} <= set(
        copied
    )
    assert "README.md" in copied and set(PROJECT["license-files"]) <= set(copied)
    assert not any("[" in line for line in lines if line.startswith("RUN "))  # no extra
    assert "USER nobody" in lines and 'ENTRYPOINT ["huref"]' in lines
