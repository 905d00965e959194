"""The fuzzer itself: it sees what it is meant to see, and its results add up."""

from __future__ import annotations

import json
import random
from pathlib import Path
from unittest.mock import ANY

import pytest

from benchmarks import fuzz_bundle
from benchmarks.fuzz_bundle import Files, load, merged, resumed, run, show, unsigned, valid
from benchmarks.mutations import follow, mutate, reseal
from huref.common.files import bundle as form
from huref.common.files.bundle import parse_bundle
from huref.common.files.canonical import canonical_json
from huref.verifier.published import PublishedVector
from tests.conftest import Made


def test_an_unchanged_bundle_counts_as_verified(tiny: Made, tmp_path: Path) -> None:
    files = load(tiny.bundle)
    assert reseal(follow(files)) == files, "following and resealing change nothing by themselves"
    assert show(files, tmp_path / "bundle", random.Random(1), files) == "verified"
    assert not (tmp_path / "bundle").exists()


def test_only_a_bundle_that_verifies_is_mutated(tiny: Made, tmp_path: Path) -> None:
    files = load(tiny.bundle)
    assert valid(tiny.bundle) == files
    for name, data in {**files, form.PICTURE: files[form.PICTURE] + b"x"}.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(SystemExit, match="does not verify"):
        valid(tmp_path)


def test_a_crash_and_a_disagreement_are_seen(
    tiny: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {**load(tiny.bundle), form.PROOF: b""}
    assert show(files, tmp_path / "a", random.Random(1), load(tiny.bundle)) == "Damaged"
    monkeypatch.setattr(fuzz_bundle, "load_vector", lambda place: PublishedVector("fingerprint", ANY, None))
    with pytest.raises(AssertionError, match="says unproven, inspect Damaged"):
        show(files, tmp_path / "b", random.Random(1), load(tiny.bundle))
    monkeypatch.setattr(fuzz_bundle, "page", lambda found: "\x1b[31m")
    with pytest.raises(AssertionError, match="not escaped"):
        show(files, tmp_path / "c", random.Random(1), load(tiny.bundle))


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
    one = {"bundles": ["x"], "mutations": 2, "seeds": [1], "verified": 0, "stopped_by": {"a": 1, "b": 1}}
    two = {"bundles": ["x"], "mutations": 1, "seeds": [2], "verified": 0, "stopped_by": {"a": 1}}
    assert merged(one, two) == {
        "bundles": ["x"],
        "mutations": 3,
        "seeds": [1, 2],
        "verified": 0,
        "stopped_by": {"a": 2, "b": 1},
    }


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert resumed(None, ["x"]) is None and resumed(out, ["x"]) is None
    out.write_text(json.dumps({"bundles": ["x"], "seeds": [1]}))
    assert resumed(out, ["x"]) == {"bundles": ["x"], "seeds": [1]}
    with pytest.raises(SystemExit, match="other bundles"):
        resumed(out, ["y"])


def test_a_run_counts_what_verified_and_what_crashed(tiny: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unchanged files are not among the mutations; an exception is written down with the seed, and the run goes on."""
    files = load(tiny.bundle)
    without = {name: data for name, data in files.items() if name != form.PICTURE}
    drawn = iter([(files, False), (without, False), (without, True)])
    monkeypatch.setattr(fuzz_bundle, "mutate", lambda *_: next(drawn))
    outcomes: list[str] = ["verified"]

    def shown(changed: Files, *_: object) -> str:
        return outcomes.pop()

    monkeypatch.setattr(fuzz_bundle, "show", shown)
    found = run(files, files, 2, seed=7)
    assert (found["mutations"], found["identical"], found["resealed"]) == (2, 1, 1)
    assert found["verified"] == found["crashed"] == 1 and "seed 7, mutation 1" in found["crashes"][0]


def test_a_change_of_the_directory_is_followed_to_the_proof(tiny: Made, tmp_path: Path) -> None:
    """Model id, notes and fingerprint.json are repaired, so that nothing but the proof can object."""
    files = load(tiny.bundle)
    commitment = json.loads(files[form.COMMITMENT])
    commitment["directory"]["shape"]["family"] = "other"
    changed = reseal(follow({**files, form.COMMITMENT: canonical_json(commitment)}))
    found = show(changed, tmp_path / "bundle", random.Random(1), load(tiny.bundle))
    assert found.split(".")[0] in ("opening", "lookup", "inner", "root"), found


def test_only_a_bundle_without_its_audit_is_no_mutation_that_verified(tiny: Made) -> None:
    files = load(tiny.bundle)
    audited = {**files, form.COSIGNATURES: b"x"}
    assert unsigned(files, audited)
    assert not unsigned({**files, form.COSIGNATURES: b"y"}, audited)
    for name in files:
        assert not unsigned({**files, name: files[name] + b" "}, audited)
