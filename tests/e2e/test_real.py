"""Real pretrained checkpoints, and a verifier that has only the base install."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from huref.circuits.fingerprint.profiles import HARDENED
from huref.circuits.fingerprint.similarity import compare_vectors
from huref.prover.checkpoint.families import open_model
from huref.prover.demo import checkpoints as demo_checkpoints
from huref.prover.demo.demo import demo
from huref.prover.derivatives.catalogue import derive as derive_model
from huref.prover.owner import Options, prove
from huref.prover.run.fingerprint import derive
from huref.verifier import verify
from tests import ROOT
from tests.conftest import Made

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "profile", "encoder"),
    [
        ("minilm", "hardened", "cnn"),
        ("smollm2", "hardened", "sketch"),
        ("smollm2", "paper", "meanpool"),
    ],
)
def test_real_checkpoints(name: str, profile: str, encoder: str, tmp_path: Path) -> None:
    checkpoint = demo_checkpoints.find(name)
    done = prove(checkpoint, tmp_path / "a.huref", Options(profile=profile), encoder=encoder)
    verdict = verify(done.path, min_security=100)
    assert verdict.statement.k == 4096 and verdict.statement.p == 256
    assert verdict.size < 1.5e6


@pytest.mark.parametrize("name", ["minilm", "smollm2"])
def test_half_of_the_linear_weights_pruned(name: str, tmp_path: Path) -> None:
    checkpoint = demo_checkpoints.find(name)
    pruned = derive_model(checkpoint, "prune-50-linear", tmp_path / "pruned")
    found = [derive(open_model(path), HARDENED).trace.v for path in (checkpoint, pruned)]
    assert compare_vectors(*found, "sketch").cosine >= 0.95


def test_demo(tmp_path: Path) -> None:
    lines: list[str] = []
    done = demo(tmp_path / "demo", say=lines.append)
    paths = [path for _, path in done.rejections]
    assert all(path.startswith(("opening", "lookup")) for path in paths)
    related, unrelated = done.comparisons
    assert related.cosine > 0.95 and abs(unrelated.cosine) < 0.2
    assert verify(done.proved.path).size < 1.5e6
    assert (done.folder / "pictures.png").stat().st_size > 1000 and len(lines) >= 8


def test_a_verifier_only_install_verifies(tiny: Made, tmp_path: Path) -> None:
    """The base install, as `pip install huref` makes it: no torch, no numba, nothing of the prover's."""
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", str(ROOT)]
    subprocess.run(install, check=True, capture_output=True, text=True, timeout=600)
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format", "json"], check=True, capture_output=True
    )
    names = {entry["name"].lower() for entry in json.loads(listed.stdout)}
    assert not names & {"torch", "numba", "safetensors", "gguf", "tokenizers", "wordfreq", "transformers"}
    huref = tmp_path / "env" / "bin" / "huref"
    done = subprocess.run(
        [huref, "verify", str(tiny.bundle), "--require-image", "--json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["fingerprint"] == tiny.proved.verdict.fingerprint
    inspected = subprocess.run(
        [huref, "inspect", str(tiny.bundle)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert inspected.returncode == 0 and "VERIFIED" in inspected.stdout
    refused = subprocess.run(
        [huref, "prove", str(tiny.checkpoint), "--out", "x.huref"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 2 and "huref[prover]" in refused.stderr, refused.stderr
    assert sys.prefix not in done.stdout
