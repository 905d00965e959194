"""The distribution: what is in the wheel and the sdist, and the wheel in a fresh environment beside strangers."""

from __future__ import annotations

import email
import fnmatch
import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

from tests import ROOT
from tests.conftest import Made
from tests.project.test_release import PROJECT

pytestmark = pytest.mark.slow

ROOMS = ("common", "circuits", "verifier", "prover")
NEIGHBOUR = "circuits==3.2.5"
"""A package of the index whose name is that of one of our folders."""


@dataclass(frozen=True)
class Built:
    """A wheel and an sdist made from a clean copy of this repository."""

    wheel: Path
    sdist: Path


def sources() -> set[str]:
    """The repository's files, as git has them or, where there is no git, those that it would not ignore."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
        return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    ignored = ["*.egg-info", "__pycache__", ".*cache", ".venv", "build", "dist", "PKG-INFO", "setup.cfg"]
    files = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return {
        str(path) for path in files if not any(fnmatch.filter(path.parts, pattern) for pattern in ignored)
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """`python -m build`, as a release is made: the sdist, and the wheel from it."""
    source = tmp_path_factory.mktemp("source")
    for name in sources():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", source / "dist", source],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    (wheel,), (sdist,) = (list((source / "dist").glob(pattern)) for pattern in ("*.whl", "*.tar.gz"))
    return Built(wheel, sdist)


def test_the_wheel_holds_one_package_and_all_of_it(built: Built) -> None:
    names = {name for name in zipfile.ZipFile(built.wheel).namelist() if not name.endswith("/")}
    packed = {name for name in names if PurePosixPath(name).parts[0] == "huref"}
    assert {PurePosixPath(name).parts[0] for name in names - packed} == {
        f"huref-{PROJECT['version']}.dist-info"
    }
    tree = sources()
    expected = {f"huref/{name}" for name in tree if name.split("/")[0] in ROOMS}
    expected |= {name.replace("package/", "huref/", 1) for name in tree if name.startswith("package/")}
    assert packed == expected
    assert {"huref/py.typed", "huref/common/data/words.txt", "huref/verifier/data/answer_gaps.json"} <= packed


def test_the_sdist_holds_the_repository(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {member.name.split("/", 1)[1] for member in archive.getmembers() if member.isfile()}
    made = {name for name in names if name.startswith("huref.egg-info/") or name in ("PKG-INFO", "setup.cfg")}
    assert sources() - (names - made) <= {".gitignore", ".ci/run"}
    assert names - made <= sources()


def test_the_sdist_runs_its_own_tests(built: Built, tmp_path: Path) -> None:
    """Against the package of the wheel: nothing is taken from this repository."""
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    zipfile.ZipFile(built.wheel).extractall(tmp_path / "site")
    (folder,) = tmp_path.glob("huref-*")
    code = "import huref, pytest, sys; print(huref.__file__); sys.exit(pytest.main(sys.argv[1:]))"
    tests = ["tests/project/test_release.py", "tests/project/test_imports.py"]
    done = subprocess.run(
        [sys.executable, "-c", code, *tests, "-p", "no:cacheprovider", "-k", "not owner"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert Path(done.stdout.splitlines()[0]).is_relative_to(tmp_path)


def test_the_metadata(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        found = email.message_from_bytes(archive.read(name))
    assert (found["Name"], found["Version"]) == ("huref", PROJECT["version"])
    assert (found["Author"], found["License-Expression"]) == ("huref developers", "MIT")
    assert found["Requires-Python"] == ">=3.11" and found["Keywords"] and found["License-File"] == "LICENSE"
    assert found.get_all("Classifier") == PROJECT["classifiers"]
    assert set(found.get_all("Provides-Extra") or ()) == set(PROJECT["optional-dependencies"])
    assert found["Description-Content-Type"] == "text/markdown"
    payload = found.get_payload(decode=True)
    readme = (ROOT / "README.md").read_text(encoding="utf-8").split("\n")
    assert isinstance(payload, bytes)
    assert payload.decode().rstrip().split("\n") == "\n".join(
        line for line in readme if not line.startswith("![")
    ).rstrip().split("\n")


def test_a_fresh_environment_verifies(built: Built, tiny: Made, other: Made, tmp_path: Path) -> None:
    """The base install, beside a package of the index and a stray folder that have the names of our folders."""
    venv.create(tmp_path / "env")
    python, huref = (tmp_path / "env" / "bin" / name for name in ("python", "huref"))
    constraints, pip = ROOT / "constraints.txt", [sys.executable, "-m", "pip", "--python", python]
    install = [*pip, "install", "--quiet", "--constraint", constraints, built.wheel, NEIGHBOUR]
    subprocess.run(install, check=True, capture_output=True, text=True, timeout=600)
    listed = subprocess.run([*pip, "list", "--format", "json"], check=True, capture_output=True)
    names = {entry["name"].lower() for entry in json.loads(listed.stdout)}
    assert not names & {"torch", "numba", "safetensors", "gguf", "tokenizers", "wordfreq", "transformers"}
    stray = tmp_path / "stray"
    for name in ("common", "verifier"):
        (stray / name).mkdir(parents=True)
        (stray / name / "__init__.py").write_text("raise RuntimeError('a stranger was imported')\n")
    environment = {**os.environ, "PYTHONPATH": str(stray)}

    def run(*command: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*map(str, command)],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    neighbour = run(python, "-c", "import circuits; print(circuits.Component.__module__)")
    assert neighbour.stdout.startswith("circuits."), neighbour.stderr
    verified = run(huref, "verify", tiny.bundle, "--require-image", "--json")
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["fingerprint"] == tiny.proved.verdict.fingerprint
    module = run(python, "-m", "huref", "--version")
    assert module.stdout == f"huref {PROJECT['version']}\n", module.stderr
    inspected = run(huref, "inspect", tiny.bundle)
    assert inspected.returncode == 0 and "VERIFIED" in inspected.stdout
    compared = run(huref, "compare", tiny.bundle, other.bundle, "--json")
    assert compared.returncode == 0 and abs(json.loads(compared.stdout)["cosine"]) < 1
    assert run(huref, "keygen", "--out", "a.key").returncode == 0
    refused = run(huref, "prove", tiny.checkpoint, "--out", "x.huref")
    assert refused.returncode == 2 and "pip install 'huref[prover]'" in refused.stderr, refused.stderr
    assert sys.prefix not in verified.stdout
