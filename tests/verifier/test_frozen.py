"""Frozen bundles verify with what was written down when they were made, and their configuration is published whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from huref.circuits.inference_statement import InferenceStatement, prepare_inference
from huref.circuits.statement import prepare_range, prepare_statement
from huref.common.files.bundle import COMMITMENT, INFERENCE, INFERENCE_PROOF, PROOF, RANGE, read_bundle
from huref.common.files.commitment_file import CommitmentFile
from huref.verifier.argument.verify import verify_program
from huref.verifier.relations.verify import verify_relations
from huref.verifier.verification import read_claim, verify
from tests import ROOT
from tests.vectors.make_bundles import KEYS

FOLDER = ROOT / "tests" / "vectors" / "bundles"
ANSWERED = ("answered", "answers", "hidden")
NAMES = (*ANSWERED, "paper", "signed", "whole")


def _expected(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content


def _path(name: str) -> Path:
    return FOLDER / f"{name}.huref"


def test_all_are_tested() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.huref")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_bundle_verifies(name: str) -> None:
    expected = _expected(name)
    auditors = [key.public_key for key in KEYS[1:]] if name == "signed" else []
    verdict = verify(
        _path(name), expected["model_id"], expected["fingerprint"], int(expected["bits"]),
        signer=expected["owner"], auditors=auditors, require_image=True,
    )  # fmt: skip
    found = {
        "model_id": verdict.model_id,
        "fingerprint": verdict.fingerprint,
        "words": verdict.words,
        "bits": round(verdict.security.bits, 2),
        "owner": verdict.directory.owner,
        "v": verdict.v,
    }
    assert found == expected and not verdict.ignored
    assert verdict.cosigners == tuple(auditors)


def test_the_frozen_hidden_prompts_open() -> None:
    opening = FOLDER / "hidden.prompts.jsonl"
    found = verify(_path("hidden"), opening=opening, prompts=opening).inference
    assert found is not None and verify(_path("hidden")).inference.closed == 2
    assert [found.prompt_ids(number) for number in range(2)] == [[3, 7, 11, 20], [5, 6]]


class _Absorbed(list[tuple[str, bytes]]):
    """The messages that a transcript absorbs."""

    def record(self, kind: str, label: str, data: bytes) -> None:
        if kind == "absorb":
            self.append((label, data))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ANSWERED])
def test_the_published_configuration_is_what_is_hashed(name: str) -> None:
    published = (FOLDER / f"{name}.config.json").read_text(encoding="utf-8")
    seen = _Absorbed()
    bundle = read_bundle(_path(name))
    verify(bundle, recorders={PROOF: seen.record})
    assert seen[0] == ("config", hashlib.sha256(published.encode()).digest())
    assert prepare_statement(*read_claim(bundle)).configuration() == published
    assert seen[1] == ("statement", read_claim(bundle)[0].encode())


@pytest.mark.parametrize("name", ANSWERED)
def test_the_published_configuration_of_a_proof_of_inference(name: str) -> None:
    published = (FOLDER / f"{name}.config.json").read_text(encoding="utf-8")
    files = read_bundle(_path(name)).files
    commitment = CommitmentFile.decode(files[COMMITMENT], COMMITMENT)
    statement = InferenceStatement.decode(files[INFERENCE], INFERENCE)
    setup = prepare_inference(statement, commitment)
    assert setup.configuration() == published
    seen, root = _Absorbed(), bytes.fromhex(commitment.root)
    verify_relations(setup, statement.encode(), root, files[INFERENCE_PROOF], recorder=seen.record)
    assert seen[:2] == [
        ("config", hashlib.sha256(published.encode()).digest()),
        ("statement", statement.encode()),
    ]


def test_the_published_configuration_of_a_range_proof() -> None:
    published = (FOLDER / "whole.range.json").read_text(encoding="utf-8")
    bundle = read_bundle(_path("whole"))
    _, commitment = read_claim(bundle)
    statement, setup = prepare_range(commitment)
    assert setup.configuration() == published
    seen = _Absorbed()
    verify_program(
        setup, statement.encode(), bytes.fromhex(commitment.root), bundle.files[RANGE],
        recorder=seen.record,
    )  # fmt: skip
    assert seen[0] == ("config", hashlib.sha256(published.encode()).digest())
