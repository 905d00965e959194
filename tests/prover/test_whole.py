"""A whole model from checkpoint to audited bundle: one root, its range proof, statements that rely on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from huref.circuits.statement import prepare_range
from huref.common.errors import ProverError, Rejected
from huref.common.files.bundle import RANGE
from huref.common.files.commitment_file import FILE_NAME, CommitmentFile
from huref.prover.audit import audit
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import open_model
from huref.prover.commitment import folder as commitment_folder
from huref.prover.owner import Options, commit, prove
from huref.verifier import verify
from tests.conftest import Made
from tests.support import tiny_models
from tests.support.command import huref
from tests.support.schemas import validate

OPTIONS = Options(proofs=16)


@pytest.fixture
def copy(tiny: Made, tmp_path: Path) -> Path:
    """The commitment's public and private files elsewhere, for tests that only read."""
    place = tmp_path / "copy.commitment"
    shutil.copytree(tiny.commitment, place)
    return place


def test_everything_is_committed_as_the_model_has_it(tiny: Made) -> None:
    opened = commitment_folder.load(tiny.commitment)
    found = opened.source.weights
    seen = 0
    for tensor in whole_model(open_model(tiny.checkpoint)):
        assert np.array_equal(found[tensor.name], tensor.values)
        assert np.array_equal(found[tensor.name + ".step"], tensor.steps[None])
        seen += tensor.values.size + tensor.steps.size
    assert seen == sum(t.rows * t.cols for t in opened.public.directory.tensors)
    kinds = [t.name.partition(".")[2] for t in opened.public.directory.tensors if t.name.startswith("l")]
    assert kinds == sorted(kinds, key=kinds.index)  # kind by kind, each through all layers


def test_joined_tensors_are_the_layers_in_order(tiny: Made) -> None:
    weights = commitment_folder.load(tiny.commitment).source.weights
    layers = open_model(tiny.checkpoint).shape.layers
    for name in ("q", "k", "v", "o", "up", "down"):
        parts = np.concatenate([weights[f"l{n}.{name}"] for n in range(layers)])
        assert np.array_equal(weights[name], parts)


def test_an_audit_recomputes_a_whole_model(tiny: Made) -> None:
    report = audit(tiny.bundle, tiny.checkpoint, tiny.commitment)
    assert any("root" in check for check in report.checks)


def test_an_audit_of_another_checkpoint_fails(tiny: Made, other: Made) -> None:
    with pytest.raises(Rejected, match=r"audit\."):
        audit(tiny.bundle, other.checkpoint, tiny.commitment)


def test_a_commitment_without_its_range_gets_it_with_the_first_proof(tmp_path: Path) -> None:
    checkpoint = tiny_models.build("llama", tmp_path / "model", 3)
    opened = commit(checkpoint, tmp_path / "m.commitment", OPTIONS)
    path = opened.folder / RANGE
    before = path.read_bytes()
    path.unlink()
    done = prove(None, tmp_path / "m.huref", commitment=opened.folder)
    assert path.read_bytes() != before  # fresh randomness
    assert (done.path / RANGE).read_bytes() == path.read_bytes()
    assert done.proofs_left == 16 - 3  # two range proofs, one fingerprint


def test_the_command_makes_it_once(tmp_path: Path) -> None:
    checkpoint = tiny_models.build("llama", tmp_path / "model", 4)
    opened = commit(checkpoint, tmp_path / "m.commitment", OPTIONS)
    path = opened.folder / RANGE
    made = path.read_bytes()
    assert huref("range", opened.folder).code == 0 and path.read_bytes() == made
    path.unlink()
    run = huref("range", opened.folder, "--json")
    assert run.code == 0 and validate(run.json, "ranged")["made"] is True
    remade = path.read_bytes()
    assert huref("range", opened.folder, "--again").code == 0
    assert path.read_bytes() != remade


def test_a_foreign_range_proof_in_the_folder_is_found(tiny: Made, other: Made, tmp_path: Path) -> None:
    folder = tmp_path / "m.commitment"
    checkpoint = tiny_models.build("llama", tmp_path / "model", 5)
    commit(checkpoint, folder, OPTIONS)
    shutil.copy(other.commitment / RANGE, folder / RANGE)
    with pytest.raises(ProverError, match="range"):
        prove(None, tmp_path / "m.huref", commitment=folder)
    assert not (tmp_path / "m.huref").exists()


def test_shards_and_sizes_follow_from_the_directory(tiny: Made) -> None:
    public = CommitmentFile.decode((tiny.commitment / FILE_NAME).read_bytes(), FILE_NAME)
    _, setup = prepare_range(public)
    rows = sum(block.count for space in setup.layout.spaces for block in space.weight_blocks)
    assert rows == setup.layout.weight_rows == setup.geometry.weights.rows


def test_the_bundle_says_it_is_about_a_whole_model(tiny: Made) -> None:
    verdict = verify(tiny.bundle)
    assert verdict.directory.profile == "hardened-2"
    proven, said = " ".join(verdict.proven()), " ".join(verdict.not_proven())
    assert "signed byte" in proven and "every block that is committed" in proven
    assert "two blocks" not in proven + said and "layers 3" in said and "layers" not in proven


def test_paper_keeps_a_small_commitment_of_its_own(tmp_path: Path) -> None:
    checkpoint = tiny_models.build("llama", tmp_path / "model", 0, vocab_size=600)
    done = prove(checkpoint, tmp_path / "p.huref", Options("paper", k=512, proofs=2))
    assert not (done.path / RANGE).exists() and not (done.commitment / RANGE).exists()
