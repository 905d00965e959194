"""Make the frozen bundles: `python -m tests.vectors.make_bundles`, when the format changes before a release.

Tiny models with random weights: one with an owner and two auditors, one that answers a challenge, one of the paper's
profile, one with a proof of inference, one with a proof of several answers, one of answers to hidden prompts and what
opens it. Beside each bundle lies what a reader must find in it, and the configurations whose hashes the transcripts
absorb first.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from huref.circuits.inference_statement import prepare_inference
from huref.circuits.statement import needs_range, prepare_range, prepare_statement
from huref.common.files.keys import SecretKey
from huref.prover.audit import audit
from huref.prover.inference.prove import Answered, Question, prove_inference
from huref.prover.owner import Options, Proved, prove
from tests import ROOT
from tests.support import tiny_models

FOLDER = ROOT / "tests" / "vectors" / "bundles"
KEYS = [SecretKey(1000 + number) for number in range(3)]
CHALLENGE = bytes(range(32))


def main() -> None:
    """Replace everything in the folder."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        llama, gpt2 = (tiny_models.build(name, work / name, vocab_size=600) for name in ("llama", "gpt2"))
        signed = prove(llama, work / "signed.huref", key=KEYS[0])
        for key in KEYS[1:]:
            audit(signed.path, llama, signed.commitment, key=key)
        _keep("signed", signed)
        _keep("whole", prove(llama, work / "whole.huref", challenge=CHALLENGE))
        _keep(
            "paper",
            prove(gpt2, work / "paper.huref", Options(profile="paper", k=512, security=128, proofs=1)),
        )
        model = prove(tiny_models.build("llama", work / "small"), work / "model.huref", Options(proofs=16))
        one = Question([3, 7, 11, 20], 4, generate=3)
        others = (Question([5, 6], 2, generate=2), Question([9, 8, 7, 6], 4, generate=3))
        for name, questions in (
            ("answered", [one]),
            ("answers", [one, *others]),
            ("hidden", [one, others[0]]),
        ):
            made = prove_inference(
                model.commitment,
                work / f"{name}.huref",
                questions,
                fingerprint=model.path,
                hide_prompt=name == "hidden",
            )
            _keep(name, made)
            if made.opening is not None:
                shutil.copy(made.opening, FOLDER)


def _keep(name: str, made: Proved | Answered) -> None:
    shutil.copytree(made.path, FOLDER / f"{name}.huref")
    verdict = made.verdict
    expected = {
        "model_id": verdict.model_id,
        "fingerprint": verdict.fingerprint,
        "words": verdict.words,
        "bits": round(verdict.security.bits, 2),
        "owner": verdict.directory.owner,
        "v": verdict.v,
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(expected, sort_keys=True) + "\n", encoding="utf-8")
    if verdict.inference is not None:
        relations = prepare_inference(verdict.inference.statement, verdict.commitment)
        (FOLDER / f"{name}.config.json").write_text(relations.configuration(), encoding="utf-8")
        return
    setup = prepare_statement(verdict.statement, verdict.commitment)
    (FOLDER / f"{name}.config.json").write_text(setup.configuration(), encoding="utf-8")
    if needs_range(verdict.commitment):
        _, setup = prepare_range(verdict.commitment)
        (FOLDER / f"{name}.range.json").write_text(setup.configuration(), encoding="utf-8")


if __name__ == "__main__":
    main()
