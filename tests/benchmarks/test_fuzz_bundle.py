"""The fuzzer itself: it sees what it is meant to see, and its results add up."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks import fuzz_bundle
from benchmarks.fuzz_bundle import follow, load, merged, mutate, reseal, same_claim, show
from huref.common.files import bundle as form
from huref.common.files.bundle import parse_bundle
from huref.common.files.canonical import canonical_json
from tests.conftest import Made


def test_an_unchanged_bundle_counts_as_verified(tiny: Made, tmp_path: Path) -> None:
    files = load(tiny.bundle)
    assert reseal(follow(files)) == files, "following and resealing change nothing by themselves"
    assert show(files, tmp_path / "bundle", random.Random(1)) == "verified"
    assert not (tmp_path / "bundle").exists()


def test_a_crash_and_a_disagreement_are_seen(
    tiny: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {**load(tiny.bundle), form.PROOF: b""}
    assert show(files, tmp_path / "a", random.Random(1)) == "Damaged"
    monkeypatch.setattr(fuzz_bundle, "verify", lambda place: None)
    with pytest.raises(AssertionError, match="says verified, inspect Damaged"):
        show(files, tmp_path / "b", random.Random(1))
    monkeypatch.setattr(fuzz_bundle, "page", lambda found: "\x1b[31m")
    with pytest.raises(AssertionError, match="not escaped"):
        show(files, tmp_path / "c", random.Random(1))


def test_structural_mutations_stay_readable_json(tiny: Made, other: Made) -> None:
    files, foreign = load(tiny.bundle), load(other.bundle)
    random_, deep = random.Random(2), 0
    for _ in range(200):
        changed, sealed = mutate(files, random_, 0.1, foreign)
        if sealed and changed.keys() == files.keys():
            json.loads(changed[form.MANIFEST])
            deep += changed != files
    assert deep > 50
    assert parse_bundle(Path(), reseal({**files, form.PROOF: b"x"})).files[form.PROOF] == b"x"


def test_results_of_pieces_add_up() -> None:
    one = {"mutations": 2, "seeds": [1], "verified": 0, "stopped_by": {"a": 1, "b": 1}}
    two = {"mutations": 1, "seeds": [2], "verified": 0, "stopped_by": {"a": 1}}
    assert merged(one, two) == {
        "mutations": 3,
        "seeds": [1, 2],
        "verified": 0,
        "stopped_by": {"a": 2, "b": 1},
    }


def test_a_change_of_the_directory_is_followed_to_the_proof(tiny: Made, tmp_path: Path) -> None:
    """Model id, notes and fingerprint.json are repaired, so that nothing but the proof can object."""
    files = load(tiny.bundle)
    commitment = json.loads(files[form.COMMITMENT])
    commitment["directory"]["shape"]["family"] = "other"
    changed = reseal(follow({**files, form.COMMITMENT: canonical_json(commitment)}))
    found = show(changed, tmp_path / "bundle", random.Random(1))
    assert found.split(".")[0] in ("opening", "lookup", "inner", "root"), found


def test_only_what_no_manifest_covers_is_the_same_claim(tiny: Made) -> None:
    files = load(tiny.bundle)
    assert same_claim({**files, form.COSIGNATURES: b"x"}, files)
    for name in files:
        assert not same_claim({**files, name: files[name] + b" "}, files)
    assert not same_claim({**files, form.SIGNATURE: b"x"}, files)
