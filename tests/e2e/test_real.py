"""Real pretrained checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from huref.circuits.fingerprint.profiles import HARDENED
from huref.circuits.fingerprint.similarity import compare_outputs
from huref.prover.checkpoint.families import open_model
from huref.prover.demo import checkpoints as demo_checkpoints
from huref.prover.demo.demo import TRUE, demo
from huref.prover.derivatives.catalogue import derive as derive_model
from huref.prover.owner import Options, prove
from huref.prover.run.fingerprint import derive
from huref.verifier import verify

pytestmark = pytest.mark.slow


def test_papers_definition_on_a_real_checkpoint(tmp_path: Path) -> None:
    checkpoint = demo_checkpoints.find("smollm2")
    done = prove(checkpoint, tmp_path / "a.huref", Options(profile="paper"))
    verdict = verify(done.path, min_security=100)
    assert verdict.directory.k == 4096 and verdict.directory.p == 256
    assert verdict.size < 1.5e6


@pytest.mark.parametrize("name", ["minilm", "smollm2"])
def test_half_of_the_linear_weights_pruned(name: str, tmp_path: Path) -> None:
    checkpoint = demo_checkpoints.find(name)
    pruned = derive_model(checkpoint, "prune-50-linear", tmp_path / "pruned")
    found = [derive(open_model(path), HARDENED).trace.v for path in (checkpoint, pruned)]
    assert compare_outputs(*found, HARDENED).cosine >= 0.95


def test_demo(tmp_path: Path) -> None:
    """Picture and answer under one id; forgeries of both; integers of the same picture that cannot answer."""
    lines: list[str] = []
    done = demo(tmp_path / "demo", say=lines.append)
    picture, answer = (path for _, path in done.rejections)
    assert picture.startswith(("opening", "lookup")) and answer.startswith(
        ("inference.opening", "inference.lookup")
    )
    found = done.answered.verdict.inference
    assert found is not None and found.all.argmaxes == found.statement.claimed == 7
    assert TRUE in done.answer and len(found.statement.answers[0].ids) <= 24
    assert done.imitation.similar.cosine >= 0.99
    assert done.imitation.argmaxes == 0 and min(done.imitation.gaps) > 1
    verdict = verify(done.answered.path, max_gap=0.0, min_argmax=1.0)
    assert verdict.directory.p == 128 and verdict.security.bits >= 100 and verdict.size < 2.2e6
    assert (done.folder / "pictures.png").stat().st_size > 1000 and len(lines) >= 8
