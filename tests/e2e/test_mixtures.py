"""Mixtures of experts, latents and hybrids: checkpoint in, verified and audited bundle out, by the commands."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from huref.circuits.fingerprint.profiles import get_profile
from huref.prover.audit import audit
from huref.prover.checkpoint.families import open_model
from huref.prover.run.fingerprint import derive
from huref.verifier import verify
from tests.support import tiny_experts
from tests.support.command import huref
from tests.support.schemas import validate
from tests.support.tiny_tokenizer import write_tokenizer

VOCAB = 384
QUICK = ("deepseek_v3", "jamba")
SHAPES = ("mixtral", "deepseek_v2", "gpt_oss", "llama4_text", "minicpm3", "qwen3_next", "nemotron_h")
"""One for every kind of layers; `HUREF_EVERY_MIXTURE=1` takes all models."""
PROVEN = tiny_experts.MODELS if os.environ.get("HUREF_EVERY_MIXTURE") else (*QUICK, *SHAPES)


def build(name: str, folder: Path) -> Path:
    tiny_experts.random_model(name, vocab_size=VOCAB).float().save_pretrained(folder)
    write_tokenizer(folder, VOCAB)
    return folder


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in PROVEN],
)
def test_committed_proven_verified_audited(name: str, tmp_path: Path) -> None:
    checkpoint, folder = build(name, tmp_path / "model"), tmp_path / "m.commitment"
    assert huref("commit", checkpoint, "--out", folder, "--proofs", "16").code == 0
    bundle = tmp_path / "m.huref"
    assert huref("prove", "--commitment", folder, "--out", bundle).code == 0
    run = huref("verify", bundle, "--json")
    assert run.code == 0
    found = json.loads(run.out)
    validate(found, "verdict")
    verdict = verify(bundle)
    assert (
        verdict.statement.outputs == derive(open_model(checkpoint), get_profile("hardened")).trace.v.tolist()
    )
    report = audit(bundle, checkpoint, folder)
    assert any("root" in check for check in report.checks)


def test_a_verdict_says_which_terms_a_model_has(tmp_path: Path) -> None:
    bundle = tmp_path / "m.huref"
    assert huref("prove", build("jamba", tmp_path / "model"), "--out", bundle, "--proofs", "2").code == 0
    verdict = verify(bundle)
    proven, said = " ".join(verdict.proven()), " ".join(verdict.not_proven())
    assert "qk and vo sum over 32 rows of heads and its term ud over 120 neurons" in proven
    assert "1 have attention, 2 neurons, 1 are mixtures of 4 routed experts" in said
    assert "it is not committed, and no term depends on it" in said
    run = json.loads(huref("verify", bundle, "--json").out)
    assert run["said_by_owner"]["blocks"] == [[False, 24, 0], [True, 96, 4]]
    assert run["said_by_owner"]["other_mixers"] is True and "blocks" not in run["dimensions"]
    page = tmp_path / "page.html"
    assert huref("inspect", bundle, "--html", page).code == 0
    assert "120 neurons" in page.read_text()
