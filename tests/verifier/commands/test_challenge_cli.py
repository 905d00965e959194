"""`huref challenge`, and what challenges mean to `verify`, `compare`, `identify` and registries."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from huref.circuits.challenge import joint_challenge
from huref.common.errors import ExitCode
from huref.common.files.commitment_file import FILE_NAME
from huref.verifier.verdict import CHALLENGED, NO_MODEL
from huref.verifier.verification import verify
from tests import ROOT
from tests.conftest import Made
from tests.support.command import huref
from tests.support.schemas import validate
from tests.vectors.make_bundles import CHALLENGE

ASKED = ROOT / "tests" / "vectors" / "bundles" / "whole.huref"
HEX = CHALLENGE.hex()


def test_every_way_to_name_two_models(tiny: Made, other: Made) -> None:
    ids = [made.proved.verdict.model_id for made in (tiny, other)]
    wanted = joint_challenge(*ids)
    for one in (ids[0], "0x" + ids[0].upper(), tiny.commitment, tiny.commitment / FILE_NAME, tiny.bundle):
        for two in (ids[1], other.commitment):
            for pair in ((one, two), (two, one)):
                done = huref("challenge", *pair)
                assert (done.code, done.out) == (0, wanted + "\n") and "huref prove" in done.err


def test_the_beacon_goes_into_it(tiny: Made, other: Made) -> None:
    ids = [made.proved.verdict.model_id for made in (tiny, other)]
    said = validate(huref("challenge", *ids, "--beacon", "0xAB01", "--json").json, "challenge")
    assert said["challenge"] == joint_challenge(*ids, b"\xab\x01") != joint_challenge(*ids)
    assert said["model_ids"] == ids and said["beacon"] == "ab01"
    assert validate(huref("challenge", *ids, "--json").json, "challenge")["beacon"] is None


def test_what_has_no_joint_challenge(tiny: Made, tmp_path: Path) -> None:
    own = tiny.proved.verdict.model_id
    done = huref("challenge", own, tiny.commitment)
    assert done.code == ExitCode.USAGE and "both sides have the model id" in done.err
    for wrong in ("xyz", "0" * 63):
        assert huref("challenge", own, wrong).code in (ExitCode.USAGE, ExitCode.IO)
    for beacon in ("", "abc", "zz", "00" * 1025):
        done = huref("challenge", own, "0" * 64, "--beacon", beacon)
        assert done.code == ExitCode.USAGE and "beacon" in done.err
    forged = Path(shutil.copytree(tiny.bundle, tmp_path / "forged"))
    proof = forged / "proof.bin"
    proof.write_bytes(proof.read_bytes()[::-1])
    assert huref("challenge", forged, "0" * 64).code in (ExitCode.REJECTED, ExitCode.MALFORMED)


def test_a_named_challenge_is_the_one_that_was_answered(tiny: Made) -> None:
    said = validate(huref("verify", ASKED, "--challenge", "0x" + HEX.upper(), "--json").json, "verdict")
    assert said["challenge"] == HEX and said["expected"] == ["challenge"]
    for bundle in (ASKED, tiny.bundle):  # another one, and none
        done = huref("verify", bundle, "--challenge", "00" * 32, "--json")
        assert done.code == ExitCode.REJECTED
        assert validate(done.json, "error")["path"] == "expect.challenge"
    assert huref("verify", ASKED, "--challenge", "00" * 31).code == ExitCode.USAGE


def test_what_a_challenge_shows_depends_on_who_drew_it(tiny: Made) -> None:
    named, unnamed, public = verify(ASKED, challenge=HEX), verify(ASKED), verify(tiny.bundle)
    assert f"the challenge {HEX}" in " ".join(named.proven()) and "public tables" in " ".join(public.proven())
    caveats = [[line for line in (NO_MODEL, CHALLENGED) if line in one.not_proven()] for one in
               (named, unnamed, public)]  # fmt: skip
    assert caveats == [[], [CHALLENGED], [NO_MODEL]]


def test_a_comparison_under_a_challenge(tiny: Made) -> None:
    said = validate(huref("compare", ASKED, ASKED, "--challenge", HEX, "--json").json, "comparison")
    assert (said["case"], said["evidence"], said["verdict"]) == ("your challenge", True, "same base")
    assert said["challenges"] == [HEX, HEX] and said["warnings"] == []
    done = huref("compare", ASKED, ASKED)
    assert "a challenge that you did not name" in done.out and "WARNING: both sides answered" in done.out
    bare = ASKED / "fingerprint.json"
    said = validate(huref("compare", ASKED, bare, "--challenge", HEX, "--json").json, "comparison")
    assert (said["case"], said["evidence"]) == ("your challenge", False) and len(said["warnings"]) == 1
    done = huref("compare", ASKED, ASKED.with_name("signed.huref"))
    assert done.code == 0 and "others on either side" in done.out and "evidence" not in done.out
    assert huref("compare", ASKED, ASKED, "--challenge", "12").code == ExitCode.USAGE
    assert huref("compare", ASKED, ASKED, "--beacon", "1").code == ExitCode.USAGE
    done = huref("compare", ASKED, ASKED.with_name("signed.huref"), "--expect-same-base")
    assert done.code == ExitCode.USAGE and "different challenges" in done.err


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    assert huref("keygen", "--out", tmp_path / "key").code == 0
    assert huref("registry", "create", tmp_path / "r", "--key", tmp_path / "key").code == 0
    return tmp_path / "r"


def test_registries_hold_public_fingerprints_alone(registry: Path) -> None:
    done = huref("registry", "add", registry, ASKED, "--name", "a/b", "--key", registry.parent / "key")
    assert done.code == ExitCode.USAGE and "answers a challenge" in done.err
    assert huref("registry", "list", registry, "--json").json["entries"] == []
    for model in (ASKED, ASKED / "fingerprint.json"):
        done = huref("identify", model, "--registry", registry)
        assert done.code == ExitCode.USAGE and "answers a challenge" in done.err
