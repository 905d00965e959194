"""Attacks on a real bundle by somebody who repairs every hash: each ends at the check that should stop it."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from huref.common.errors import HurefError, Malformed, Rejected, Unsupported
from huref.common.files import bundle as form
from huref.common.files.bundle import FileEntry
from huref.common.files.canonical import canonical_json
from tests import ROOT
from tests.conftest import Made
from tests.support.forge import (
    Files,
    Json,
    check,
    load,
    manifest_of,
    reseal,
    with_directory,
    with_manifest,
    with_statement,
)
from tests.verifier.bundle_changes import DIRECTORY, PROOF, STATEMENT, Changes, set_all, set_shape


@pytest.fixture(scope="module")
def files(tiny: Made) -> Files:
    return load(tiny.bundle)


@pytest.fixture(scope="module")
def foreign(other: Made) -> Files:
    return load(other.bundle)


def failure(files: Files, **options: Any) -> str:
    """The path of the failing check, or the kind of error and its message."""
    try:
        check(files, **options)
    except Rejected as error:
        return error.path
    except HurefError as error:
        return f"{type(error).__name__}: {error.message}"
    return "verified"


def test_the_untouched_bundle_verifies_from_memory(files: Files) -> None:
    verdict = check(files, require_image=True)
    assert verdict.security.bits >= 100
    assert check(reseal(files)).v == verdict.v


_PROOF_CHECKS = ("root", "lookup", "inner", "products", "output", "triples", "pads", "opening", "gated")

_NO_SUCH_PROOF = ("Malformed: proof is truncated", "Malformed: non-canonical field element")
"""Of a proof that has another geometry."""


def _refuted(found: str, expected: str) -> None:
    if expected == PROOF:
        proof_says = found.split(".")[0] in _PROOF_CHECKS or found.startswith(_NO_SUCH_PROOF)
        assert proof_says or (found.startswith("Malformed: ") and "trailing bytes" in found), found
    else:
        assert found.startswith(expected), found


@pytest.mark.parametrize("name", STATEMENT)
def test_every_field_of_the_statement_is_bound(files: Files, name: str) -> None:
    change, expected = STATEMENT[name]
    forged = with_statement(files, change)
    assert manifest_of(forged)["statement"] != manifest_of(files)["statement"]
    _refuted(failure(forged), expected)


@pytest.mark.parametrize("name", DIRECTORY)
def test_every_fact_under_the_model_id_is_bound(files: Files, name: str) -> None:
    """A forger who gives the committed rows another meaning gets another id, and no proof for it."""
    change, expected = DIRECTORY[name]
    forged = with_directory(files, change)
    assert manifest_of(forged)["statement"]["model_id"] != manifest_of(files)["statement"]["model_id"]
    _refuted(failure(forged), expected)


def test_another_meaning_under_the_old_id(files: Files) -> None:
    """Without a new id, the file contradicts itself, or the statement contradicts the file."""
    commitment = json.loads(files[form.COMMITMENT])
    commitment["directory"]["shape"]["ffn"] = 44
    old_id = {**files, form.COMMITMENT: canonical_json(commitment)}
    message = "Malformed: commitment.json: model_id: not the id of this directory and root"
    assert failure(_sealed(old_id)) == message
    new_id = with_directory(files, set_shape(ffn=44))
    mine = manifest_of(files)["statement"]["model_id"]
    assert (
        failure(with_manifest(new_id, lambda m: m["statement"].update(model_id=mine))) == "statement.model_id"
    )


def test_the_root_is_bound(files: Files, foreign: Files) -> None:
    for root in ("0" * 64, json.loads(foreign[form.COMMITMENT])["root"]):
        commitment = {**json.loads(files[form.COMMITMENT]), "root": root}
        _refuted(failure(reseal({**files, form.COMMITMENT: canonical_json(commitment)})), PROOF)


def _sealed(files: Files) -> Files:
    """Sizes, hashes and notes repaired, but not the model id."""

    def repair(manifest: Json) -> None:
        for name in form.LISTED:
            entry = FileEntry.of(files[name])
            manifest["files"][name] = {"size": entry.size, "sha256": entry.sha256}
        manifest["statement"]["notes"]["commitment"] = manifest["files"][form.COMMITMENT]["sha256"]

    return with_manifest(files, repair)


def _touched(changes: Changes, before: Json) -> set[str]:
    touched: set[str] = set()
    for change, _ in changes.values():
        after = copy.deepcopy(before)
        change(after)
        touched |= {name for name in before if after.get(name) != before[name]}
    return touched


def test_every_field_is_attacked(files: Files) -> None:
    statement = manifest_of(files)["statement"]
    assert _touched(STATEMENT, statement) == set(statement) - {"notes", "model_id"}  # tested by themselves
    directory = json.loads(files[form.COMMITMENT])["directory"]
    assert _touched(DIRECTORY, directory) == set(directory)
    shapes = {name: change for name, change in DIRECTORY.items() if name.startswith("shape")}
    changed: set[str] = set()
    for change, _ in shapes.values():
        after = copy.deepcopy(directory)
        change(after)
        changed |= {key for key, value in directory["shape"].items() if after["shape"].get(key) != value}
    assert changed >= {"family", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "layers", "gated"}


@pytest.mark.parametrize("name", ["commitment", "fingerprint"])
def test_notes_are_bound_to_their_files_and_to_the_proof(files: Files, name: str) -> None:
    def change(manifest: Json) -> None:
        manifest["statement"]["notes"][name] = "0" * 64

    assert failure(with_manifest(files, change)) == f"statement.notes.{name}"
    note = {"commitment": b'"size":', "fingerprint": b'"timings":{"load":'}[name]
    file = f"{name}.json"
    place = files[file].index(note) + len(note)
    edited = files[file][:place] + b"7" + files[file][place + 1 :]
    found = failure(reseal({**files, file: edited}))
    assert edited != files[file]
    assert found.split(".")[0] in _PROOF_CHECKS, found


FINGERPRINT_FIELDS = ("profile", "challenge", "k", "p", "shape", "term_weights", "shifts", "calibration_sums", "caps",
                      "ratios", "e", "v", "token_ids", "token_pieces", "token_source", "tokenizer_digest",
                      "frequency_digest")  # fmt: skip
NOTES = {"schema_version", "fidelity", "timings"}


@pytest.mark.parametrize("name", FINGERPRINT_FIELDS)
def test_the_fingerprint_file_repeats_what_is_proven(files: Files, name: str) -> None:
    content = json.loads(files[form.FINGERPRINT])
    value = content[name]
    if isinstance(value, list):
        value[0] = value[0] + 1 if isinstance(value[0], int) else value[0] + "00"
    elif isinstance(value, dict):
        value.pop(next(iter(value)))
    else:
        other = "0" * 64 if name.endswith("digest") else "other"
        content[name] = {str: other, int: 7, type(None): "0" * 64}[type(value)]
    forged = reseal({**files, form.FINGERPRINT: json.dumps(content).encode()})
    assert failure(forged) == (
        "fingerprint.tokens" if name.startswith(("token", "freq")) else f"fingerprint.{name}"
    )


@pytest.mark.parametrize(
    ("name", "value"), [("e", [0] * 4096), ("challenge", "0" * 64), ("token_pieces", ["00"])]
)
def test_what_is_null_in_paper_is_null_in_its_file(name: str, value: object) -> None:
    paper = load(ROOT / "tests" / "vectors" / "bundles" / "paper.huref")
    content = {**json.loads(paper[form.FINGERPRINT]), name: value}
    found = failure(reseal({**paper, form.FINGERPRINT: json.dumps(content).encode()}))
    assert found == ("fingerprint.tokens" if name == "token_pieces" else f"fingerprint.{name}")


def test_every_field_of_the_fingerprint_file_is_one_or_a_note(files: Files) -> None:
    assert set(json.loads(files[form.FINGERPRINT])) == {*FINGERPRINT_FIELDS, *NOTES}


@pytest.mark.parametrize("name", ["level", "bits", "binding"])
def test_the_manifests_security_is_recomputed(files: Files, name: str) -> None:
    value = {"level": 128, "bits": 250.0, "binding": "hash"}[name]
    forged = with_manifest(files, lambda manifest: manifest["security"].update({name: value}))
    assert failure(forged) == "security"


def test_swapped_parts_of_two_valid_bundles(files: Files, foreign: Files) -> None:
    assert failure(reseal({**files, form.PROOF: foreign[form.PROOF]})).split(".")[0] in _PROOF_CHECKS
    assert failure(reseal({**files, form.PICTURE: foreign[form.PICTURE]})) == "image"
    assert failure(_sealed({**files, form.COMMITMENT: foreign[form.COMMITMENT]})) == "statement.model_id"
    _refuted(failure(reseal({**files, form.COMMITMENT: foreign[form.COMMITMENT]})), PROOF)
    assert failure(reseal({**files, form.FINGERPRINT: foreign[form.FINGERPRINT]})).startswith("fingerprint.")
    theirs = manifest_of(foreign)["statement"]
    for names in (("e", "v"), ("shifts", "calibration_sums"), ("caps",), ("ratios",)):
        swapped = {name: theirs[name] for name in names}
        forged = with_statement(files, set_all(swapped))
        found = failure(forged)
        assert found.split(".")[0] in (*_PROOF_CHECKS, "Malformed: proof is truncated in lookup"), (
            names,
            found,
        )


def test_callers_expectations(files: Files, foreign: Files, tiny: Made, other: Made) -> None:
    mine, theirs = manifest_of(files)["statement"], manifest_of(foreign)["statement"]
    verdict = check(files, root=mine["model_id"], expect=tiny.bundle)
    assert check(files, expect=verdict.fingerprint).fingerprint == verdict.fingerprint
    assert failure(files, root=theirs["model_id"]) == "expect.model_id"
    assert failure(files, expect=other.bundle) == "expect.fingerprint"
    assert failure(files, min_security=128) == "security"
    assert failure(files, signer="0" * 96) == "expect.signer"
    assert failure(files, root="no hex").startswith("UsageError")


def test_proof_truncated_extended_or_reordered(files: Files) -> None:
    proof = files[form.PROOF]
    half = len(proof) // 2
    for changed in (b"", proof[:-1], proof[:half], proof + b"\0", proof[half:] + proof[:half], proof * 2):
        found = failure(reseal({**files, form.PROOF: changed}))
        assert found != "verified" and not found.startswith("Internal"), found


def test_random_mutations_never_verify(files: Files, foreign: Files, tmp_path: Path) -> None:
    """A small sample of benchmarks/fuzz_bundle.py, with a fixed seed: inspect, its page, verify and compare.

    Proofs differ from run to run, and with them what a mutation meets: two rare kinds are made on purpose.
    """
    random_ = random.Random(4)
    from benchmarks.fuzz_bundle import show
    from benchmarks.mutations import mutate

    seen: set[str] = set()
    proof = files[form.PROOF]
    made = [
        (with_manifest(files, lambda manifest: manifest["security"].update(level=128)), False),
        (reseal({**files, form.PROOF: proof[:-1] + bytes([proof[-1] ^ 1])}), True),
    ]
    for changed, sealed in (*made, *(mutate(files, random_, deep=0.02, other=foreign) for _ in range(120))):
        if changed == files:
            continue
        found = show(changed, tmp_path / "bundle", random_, files)
        assert found != "verified", sealed
        seen.add(found.split(".")[0])
    assert {"files", "Malformed", "Damaged", "security", "opening"} <= seen, seen


def test_errors_are_of_the_family() -> None:
    assert issubclass(Malformed, HurefError) and issubclass(Unsupported, HurefError)
