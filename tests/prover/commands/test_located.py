"""Commands on a checkpoint at an address: what they write is what they write for the same checkpoint on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from huref.common.errors import ExitCode
from huref.common.files.fingerprint_file import read_fingerprint
from tests.prover.checkpoint.remote.conftest import Serve, checkpoint, serve
from tests.support.command import huref
from tests.support.range_server import REPO, RangeServer
from tests.support.schemas import validate

__all__ = ["checkpoint", "serve"]
HUB = f"hf://{REPO}"


def test_fingerprint_tokens_and_compare(checkpoint: Path, serve: Serve, tmp_path: Path) -> None:
    serve(checkpoint)
    ran = huref("fingerprint", HUB, "--out", tmp_path / "there")
    assert ran.code == 0 and "MB read" in ran.err, ran.err
    assert huref("fingerprint", checkpoint, "--out", tmp_path / "here").code == 0
    there, here = read_fingerprint(tmp_path / "there"), read_fingerprint(tmp_path / "here")
    assert there.e == here.e and there.token_ids == here.token_ids
    assert huref("tokens", HUB, "-k", 5).out == huref("tokens", checkpoint, "-k", 5).out
    report = huref("compare", HUB, tmp_path / "here" / "fingerprint.json", "--json").json
    assert report["cosine"] == pytest.approx(1) and report["first"]["kind"] == "checkpoint"


@pytest.mark.slow
def test_commit_prove_and_audit(checkpoint: Path, serve: Serve, tmp_path: Path) -> None:
    serve(checkpoint)
    made, bundle, key = tmp_path / "m.commitment", tmp_path / "m.huref", tmp_path / "key"
    assert huref("commit", HUB, "--out", made, "--proofs", 4).code == 0
    assert huref("prove", checkpoint, "--commitment", made, "--out", bundle).code == 0
    assert huref("keygen", "--out", key).code == 0
    audited = huref("audit", bundle, "--checkpoint", HUB, "--private", made, "--key", key, "--json")
    assert audited.code == 0 and validate(audited.json, "audited")["cosigners"], audited.err
    assert huref("prove", HUB, "--out", tmp_path / "n.huref", "--proofs", 4).code == 0


def test_the_hubs_own_settings_are_obeyed(checkpoint: Path, tmp_path: Path) -> None:
    """HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE, as a user sets them."""
    server = RangeServer(checkpoint, token="hf_right")
    expected = huref("tokens", checkpoint, "-k", 3).out
    plain = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    hub = {**plain, "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home")}

    def run(**more: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "huref", "tokens", HUB, "-k", "3"]
        done = subprocess.run(
            command, env={**hub, **more}, capture_output=True, text=True, timeout=120, check=False
        )
        return done.returncode, done.stdout, done.stderr

    try:
        code, out, err = run()
        assert (code, out) == (ExitCode.IO, "") and "HF_TOKEN" in err
        assert run(HF_TOKEN="hf_right")[:2] == (0, expected)
    finally:
        server.close()
    assert (tmp_path / "home" / "assets" / "huref").is_dir()
    assert run(HF_HUB_OFFLINE="1")[:2] == (0, expected)
    code, _, err = run()
    assert code == ExitCode.IO and "cannot be reached" in err


def test_addresses_that_are_none(tmp_path: Path) -> None:
    ran = huref("fingerprint", "ftp://x.org/m.gguf", "--out", tmp_path)
    assert ran.code == ExitCode.USAGE and "hf://" in ran.err
    ran = huref("compare", "hf://a", tmp_path, "--json")
    assert ran.code != 0 and json.loads(ran.out)["verified"] is False
