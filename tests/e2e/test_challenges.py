"""Two owners answer their joint challenge, as docs/fingerprint.md says: commit, challenge, prove, verify, compare."""

from __future__ import annotations

from pathlib import Path

import pytest

from huref.circuits.challenge import joint_challenge
from huref.common.errors import ExitCode
from huref.prover.commitment import folder as commitment_folder
from tests.support import tiny_models
from tests.support.command import huref
from tests.support.schemas import validate


@pytest.mark.slow
def test_two_owners_answer_their_joint_challenge(tmp_path: Path) -> None:
    """Each has a model whose root answers one challenge, and has not published anything before."""
    folders = []
    for seed in (0, 1):
        checkpoint = tiny_models.build("llama", tmp_path / f"model{seed}", seed)
        folders.append(tmp_path / f"{seed}.commitment")
        assert huref("commit", checkpoint, "--out", folders[-1], "--proofs", 8).code == 0
    said = validate(huref("challenge", *folders, "--beacon", "c0ffee", "--json").json, "challenge")
    ids = [commitment_folder.read_public(folder).model_id for folder in folders]
    joint = said["challenge"]
    assert said["model_ids"] == ids and joint == joint_challenge(*ids, bytes.fromhex("c0ffee"))

    bundles = [folder.with_suffix(".huref") for folder in folders]
    for folder, bundle in zip(folders, bundles, strict=True):
        made = validate(
            huref("prove", "--commitment", folder, "--challenge", joint, "--out", bundle, "--json").json,
            "proved",
        )
        assert made["challenge"] == joint and made["challenges_left"] == 0
        assert huref("verify", bundle, "--challenge", joint).code == 0
        done = huref("verify", bundle, "--challenge", joint_challenge(*ids), "--json")
        assert done.code == ExitCode.REJECTED and done.json["path"] == "expect.challenge"

    said = validate(huref("compare", *bundles, "--beacon", "c0ffee", "--json").json, "comparison")
    assert (said["case"], said["evidence"], said["verdict"]) == ("joint challenge", True, "unrelated")
    for options in ((), ("--beacon", "c0ffef")):
        said = huref("compare", *bundles, *options, "--json").json
        assert (said["case"], said["evidence"]) == ("unknown challenge", False)
    text = huref("compare", *bundles, "--challenge", joint).out
    assert "drawn from the challenge that you named: evidence of a model on either side" in text

    once = ("prove", "--commitment", folders[0], "--force", "--out", bundles[0])
    for more in ((), ("--challenge", "00" * 32)):
        done = huref(*once, *more)
        assert done.code == ExitCode.USAGE and "as many challenges as it may, 1" in done.err
    assert huref(*once, "--challenge", joint).code == 0, "the same challenge may be answered again"

    checkpoint = tmp_path / "model0"
    said = validate(huref("compare", checkpoint, bundles[0], "--json").json, "comparison")
    assert said["challenges"] == [joint, joint] and said["verdict"] == "same base" and not said["evidence"]
    assert said["cosine"] == pytest.approx(1)
