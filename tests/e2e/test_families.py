"""Checkpoint in, verified bundle out, for every family and both profiles."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from huref.circuits.fingerprint.profiles import get_profile
from huref.circuits.whole import committed_tensors
from huref.prover.checkpoint.families import open_model
from huref.prover.owner import Options, prove
from huref.prover.run.fingerprint import derive
from huref.verifier import verify
from tests.support import tiny_models

PROVEN: set[tuple[object, ...]] = set()
"""What programs depend on of the shapes that this process has proven."""
QUICK = ("qwen3", "gpt2", "falcon-7b")
SHAPES = ("llama", "gemma2", "falcon-40b", "gpt_neox", "bert", "olmo2", "glm", "albert", "modernbert")
"""Proven beside the quick ones; the integers of all others run. `HUREF_EVERY_FAMILY=1` proves one of every shape."""
PROOFS = tiny_models.FAMILIES if os.environ.get("HUREF_EVERY_FAMILY") else (*QUICK, *SHAPES)


def check(checkpoint: Path, folder: Path, profile: str, k: int | None = None) -> None:
    """Prove through files, verify, and compare with the fingerprint in the clear."""
    done = prove(checkpoint, folder / "a.huref", Options(profile=profile, k=k))
    found = derive(open_model(checkpoint), get_profile(profile), k=k)
    verdict = verify(done.path, root=done.verdict.model_id)
    assert verdict.statement.outputs == found.trace.v.tolist()
    assert verdict.directory.term_weights == list(found.term_weights)
    assert verdict.picture.status == "matches" and verdict.security.bits >= 100


@pytest.mark.parametrize(
    "family",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in tiny_models.FAMILIES],
)
def test_every_family(family: str, tmp_path: Path) -> None:
    """Of shapes that are proven already, which give the same program, and of all that are not chosen, integers run."""
    checkpoint = tiny_models.build(family, tmp_path / "model")
    model = open_model(checkpoint)
    shape = repr(committed_tensors(model.shape)), model.shape.heads, model.shape.kv_heads
    if family in PROOFS and shape not in PROVEN:
        PROVEN.add(shape)
        check(checkpoint, tmp_path, "hardened")
        return
    found = derive(model, get_profile("hardened"))
    assert found.trace.v.any() and found.program.length == len(found.trace.v) == 4096


def test_the_paper_profile_with_a_gated_model(tmp_path: Path) -> None:
    checkpoint = tiny_models.build("llama", tmp_path / "model", vocab_size=600)
    check(checkpoint, tmp_path, "paper", k=512)


@pytest.mark.slow
def test_the_paper_profile_without_a_gate(tmp_path: Path) -> None:
    checkpoint = tiny_models.build("gpt2", tmp_path / "model", vocab_size=600)
    check(checkpoint, tmp_path, "paper", k=512)
