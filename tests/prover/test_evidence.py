"""What a challenge is good for: integers made up for public tables match there, and are noise under a joint one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from huref.circuits.challenge import joint_challenge
from huref.circuits.fingerprint.hardened.vector import similarity
from huref.circuits.program.evaluate import run
from huref.circuits.whole import compile_whole
from huref.common.files.commitment_file import TokenChoice
from huref.prover.commitment.folder import read_public
from huref.prover.demo.made_up import made_up
from huref.prover.owner import Options, commit, prove
from huref.verifier.verification import verify
from tests.conftest import Made
from tests.support.command import huref
from tests.support.made_up import commit_made_up


def test_integers_that_reach_a_vector_without_a_model(tiny: Made) -> None:
    """The tables are known: two seconds of linear algebra. Under other tables nothing of it is left."""
    verdict = verify(tiny.bundle)
    pieces = verdict.directory.tokens.token_bytes
    shape, tensors = made_up(verdict.statement.outputs, pieces)

    def fingerprint(challenge: bytes) -> list[int]:
        program = compile_whole(shape, range(len(pieces)), pieces, verdict.directory.p, challenge)
        joined = {w.name: np.concatenate([tensors[n] for n in w.parts]) for w in program.weights if w.parts}
        return [int(x) for x in run(program, {**tensors, **joined}).v]

    assert similarity(fingerprint(b""), verdict.statement.outputs).overall >= 0.9
    other = [similarity(fingerprint(bytes([n]) * 32), verdict.statement.outputs).overall for n in range(4)]
    assert max(abs(x) for x in other) <= 0.1


@pytest.mark.slow
def test_a_made_up_bundle_against_the_model_that_it_imitates(tiny: Made, tmp_path: Path) -> None:
    """End to end: `huref compare` says same base, and warns; the joint challenge shows who has a model."""
    verdict = verify(tiny.bundle)
    tokens: TokenChoice = verdict.directory.tokens
    shape, tensors = made_up(verdict.statement.outputs, tokens.token_bytes)
    commit_made_up(tmp_path / "public.commitment", shape, tensors, tokens)
    forged = prove(None, tmp_path / "public.huref", commitment=tmp_path / "public.commitment")
    report = huref("compare", tiny.bundle, forged.path, "--json").json
    assert report["verdict"] == "same base" and not report["evidence"] and report["case"] == "public"
    assert any("made up" in line or "without a model" in line for line in report["warnings"])

    own, copy, theirs = (tmp_path / f"{name}.commitment" for name in ("own", "copy", "theirs"))
    commit(tiny.checkpoint, own, Options(proofs=4))
    commit(tiny.checkpoint, copy, Options(proofs=4))
    commit_made_up(theirs, shape, tensors, tokens)
    for other, expected in ((theirs, "unrelated"), (copy, "same base")):
        ids = [read_public(place).model_id for place in (own, other)]
        challenge = huref("challenge", own, other).out.strip()
        assert challenge == joint_challenge(*ids)
        if expected == "same base":  # a root of this size answers one challenge
            own = tmp_path / "own-again.commitment"
            commit(tiny.checkpoint, own, Options(proofs=4))
            challenge = huref("challenge", own, other).out.strip()
        bundles = [tmp_path / f"{expected} {place.stem}.huref" for place in (own, other)]
        for place, bundle in zip((own, other), bundles, strict=True):
            proved = prove(None, bundle, commitment=place, challenge=bytes.fromhex(challenge))
            assert proved.challenges_left == 0
        report = huref("compare", *bundles, "--json").json
        assert report["case"] == "joint challenge" and report["evidence"] and report["verdict"] == expected
        assert report["warnings"] == []
    with pytest.raises(Exception, match="as many challenges as it may"):
        prove(None, tmp_path / "more.huref", commitment=own, challenge=bytes(32))
