"""Attacks on a real bundle by somebody who repairs every hash: each ends at the check that should stop it."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from huref.common.algebra.field import P
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


def _set(name: str, value: object) -> Callable[[Json], None]:
    return lambda statement: statement.update({name: value})


def _all(change: Json) -> Callable[[Json], None]:
    return lambda statement: statement.update(change)


def _shape(**change: object) -> Callable[[Json], None]:
    return lambda statement: statement["shape"].update(change)


def _tokens(**change: object) -> Callable[[Json], None]:
    return lambda statement: statement["tokens"].update(change)


def _v(index: int, change: int) -> Callable[[Json], None]:
    def apply(statement: Json) -> None:
        statement["v"][index] += change

    return apply


def _entry(field: str, key: str | int, change: Callable[[Any], object], *more: int) -> Callable[[Json], None]:
    """Change statement[field][key], or an element of it."""

    def apply(statement: Json) -> None:
        place, last = statement[field], key
        for index in more:
            place, last = place[last], index
        place[last] = change(place[last])

    return apply


def _swap(entries: list[Any]) -> None:
    entries[0], entries[1] = entries[1], entries[0]


def _swap_ids(directory: Json) -> None:
    _swap(directory["tokens"]["ids"])


PROOF = ""
"""Marks changes that only the proof can refute: some check of the proof itself fails."""

_IDS, _PIECES = "Malformed: directory.tokens.ids", "Malformed: directory.tokens.pieces"
_SUMS, _ROWS = "calibration_sums", "ud.multipliers"


def _e(index: int, change: int) -> Callable[[Json], None]:
    """Change an output, and the entry of v that it is a part of."""

    def apply(statement: Json) -> None:
        statement["e"][index] += change
        statement["v"][index // 8] += change

    return apply


def _entry_of_p(statement: Json) -> None:
    """An output just below p."""
    _e(3, P - 1 - int(statement["e"][3]))(statement)


def _fewer_alive(statement: Json) -> None:
    """A neuron less that is alive, at the octave."""
    counts = statement["caps"][_ROWS]
    counts[1], counts[2] = counts[1] - 1, counts[2] - 1


def _fewer_above(statement: Json) -> None:
    """One neuron less above the median's octave, which stays where it is."""
    statement["caps"][_ROWS][3] -= 1


STATEMENT: dict[str, tuple[Callable[[Json], object], str]] = {
    "format": (_set("format", "huref-statement/2"), "Malformed: statement.format"),
    "protocol": (_set("protocol", "huref/proof/2"), "Malformed: statement.protocol"),
    "kind": (_set("kind", "inference"), "Malformed: statement.kind"),
    "challenge": (_set("challenge", "0" * 64), PROOF),
    "challenge too short": (_set("challenge", "0" * 62), "Malformed: statement.challenge"),
    "generator": (_set("generator", "0" * 64), PROOF),
    "e plus one": (_e(0, 1), PROOF),
    "e minus one": (_e(4095, -1), PROOF),
    "two outputs of one entry of v": (lambda s: (_e(8, 1)(s), _e(9, -1)(s)), PROOF),
    "e plus p": (_e(3, P), "Malformed: "),  # from p on it is refused as such, below p by its bound
    "e minus p": (_e(3, -P), "Malformed: "),
    "e plus 2p": (_e(3, 2 * P), "Malformed: statement.e"),
    "e beyond its bound": (_entry_of_p, "Malformed: v must be"),
    "e of 4095 numbers": (lambda s: s["e"].pop(), "Malformed: statement.e"),
    "e as text": (_entry("e", 0, lambda _: "1"), "Malformed: statement.e"),
    "e as float": (_entry("e", 0, lambda _: 1.0), "Malformed: statement.e"),
    "e as boolean": (_entry("e", 0, lambda _: True), "Malformed: statement.e"),
    "e left out": (_set("e", None), "Malformed: statement.e"),
    "v plus one": (_v(0, 1), "statement.v"),
    "v minus one": (_v(511, -1), "statement.v"),
    "v plus p": (_v(3, P), "statement.v"),
    "v of 511 numbers": (lambda s: s["v"].pop(), "Malformed: statement.v"),
    "v as text": (_entry("v", 0, lambda _: "1"), "Malformed: statement.v"),
    "v as float": (_entry("v", 0, lambda _: 1.0), "Malformed: statement.v"),
    "v as boolean": (_entry("v", 0, lambda _: True), "Malformed: statement.v"),
    "shift up": (_entry("shifts", "qk", lambda x: x + 1), PROOF),
    "shift down": (_entry("shifts", "qk", lambda x: x - 1), PROOF),
    "shift of 31": (_entry("shifts", "ys", lambda _: 31), "Malformed: statement.shifts"),
    "shift of 30": (_entry("shifts", "ys", lambda _: 30), "Malformed: ys: no sound clamp table"),
    "shift missing": (lambda s: s["shifts"].pop("ys"), "Malformed: shifts and calibration"),
    "shift of nothing": (lambda s: s["shifts"].update(zz=1), "Malformed: shifts and calibration"),
    "calibration sum": (_entry(_SUMS, "ys", lambda x: x - 1, 0), PROOF),
    "finer calibration sum": (_entry(_SUMS, "ys", lambda x: x + 1, 1), PROOF),
    "calibration sum too large": (_entry(_SUMS, "ys", lambda _: 10**9, 0), "Malformed: ys: calibration sum"),
    "finer sum left out": (_entry(_SUMS, "ys", lambda _: None, 1), "Malformed: ys: a finer"),
    "first sum left out": (_entry(_SUMS, "ys", lambda _: None, 0), "Malformed: statement.calibration_sums"),
    "octave up": (_entry("caps", _ROWS, lambda x: x + 1, 0), PROOF),
    "octave down": (_entry("caps", _ROWS, lambda x: x - 1, 0), PROOF),
    "octave absurd": (_entry("caps", _ROWS, lambda _: 10**6, 0), f"Malformed: {_ROWS}: octave"),
    "neurons that are alive": (_fewer_alive, PROOF),
    "neurons at the octave": (_entry("caps", _ROWS, lambda x: x - 1, 2), PROOF),
    "neurons above it": (_fewer_above, PROOF),
    "more neurons than there are": (_entry("caps", _ROWS, lambda _: 10**6, 1), f"Malformed: {_ROWS}: counts"),
    "more above than at": (_entry("caps", _ROWS, lambda _: 264, 3), f"Malformed: {_ROWS}: "),
    "no median": (_entry("caps", _ROWS, lambda _: 1, 2), f"Malformed: {_ROWS}: "),
    "cap missing": (lambda s: s["caps"].pop(_ROWS), "Malformed: caps and ratios"),
    "cap of nothing": (lambda s: s["caps"].update(zz=[0, 1, 1, 0]), "Malformed: caps and ratios"),
    "cap of three numbers": (lambda s: s["caps"][_ROWS].pop(), "Malformed: statement.caps"),
    "ratio's first sum": (_entry("ratios", "ud", lambda x: x + 1, 0), PROOF),
    "ratio's second sum": (_entry("ratios", "ys1", lambda x: x - 1, 1), PROOF),
    "ratio's sum beyond p/2": (_entry("ratios", "ys2", lambda _: P, 0), "Malformed: ys2: the sums of a ratio"),
    "ratio's square negative": (_entry("ratios", "ys2", lambda _: -1, 1), "Malformed: ys2: the sums of a ratio"),
    "ratio missing": (lambda s: s["ratios"].pop("ud"), "Malformed: caps and ratios"),
    "ratio of nothing": (lambda s: s["ratios"].update(zz=[0, 1]), "Malformed: caps and ratios"),
    "ratio of one number": (lambda s: s["ratios"]["ud"].pop(), "Malformed: statement.ratios"),
    "field missing": (lambda s: s.pop("shifts"), "Malformed: statement.shifts"),
    "field added": (_set("comment", "hello"), "Malformed: statement.comment"),
}  # fmt: skip
DIRECTORY: dict[str, tuple[Callable[[Json], object], str]] = {
    "format": (_set("format", "huref-directory/2"), "Malformed: commitment.json.directory.format"),
    "protocol": (_set("protocol", "huref/proof/2"), "Malformed: commitment.json.directory.protocol"),
    "profile unknown": (_set("profile", "hardened-9"), "Unsupported: directory.profile"),
    "profile by its short name": (_set("profile", "hardened"), "Unsupported: directory.profile"),
    "profile of the paper": (_set("profile", "paper-1"), "Malformed: statement.e"),
    "k": (lambda d: d.update(k=d["k"] - 1), _IDS),
    "k too small": (_set("k", 2), "Malformed: directory.k"),
    "k huge": (_set("k", 1 << 40), "Malformed: commitment.json.directory.k"),
    "p": (_set("p", 16), "Malformed: directory.p"),
    "token repeated": (lambda d: _tokens(ids=[*d["tokens"]["ids"][:-1], d["tokens"]["ids"][0]])(d), _IDS),
    "token outside": (_entry("tokens", "ids", lambda _: 10**9, 0), _IDS),
    "token negative": (_entry("tokens", "ids", lambda _: -1, 0), "Malformed: commitment.json.directory.tokens.ids"),
    "tokens in another order": (_swap_ids, PROOF),
    "another token's bytes": (lambda d: _swap(d["tokens"]["pieces"]), PROOF),
    "bytes of no token": (_entry("tokens", "pieces", lambda _: "00ff" * 9, 7), PROOF),
    "bytes missing": (lambda d: d["tokens"]["pieces"].pop(), _PIECES),
    "bytes too many": (lambda d: d["tokens"]["pieces"].append("00ff" * 9), _PIECES),
    "bytes repeated": (lambda d: _tokens(pieces=[*d["tokens"]["pieces"][:-1], d["tokens"]["pieces"][0]])(d), _PIECES),
    "bytes left out": (_tokens(pieces=None), _PIECES),
    "no bytes": (_entry("tokens", "pieces", lambda _: "", 0), "Malformed: commitment.json.directory.tokens.pieces"),
    "token source": (_tokens(source="corpus"), PROOF),
    "token source with digests": (_tokens(source="file"), "Malformed: directory.tokens"),
    "token source without digests": (_tokens(tokenizer_digest=None, frequency_digest=None),
                                     "Malformed: directory.tokens"),
    "tokenizer digest": (_tokens(source="word-list", tokenizer_digest="0" * 64, frequency_digest="1" * 64), PROOF),
    "term weights": (_set("term_weights", [1, 1, 1, 1, 1, 2]), "Malformed: directory.term_weights"),
    "term weights missing": (_set("term_weights", [1, 1, 1, 1, 1]), "Malformed: directory.term_weights"),
    "security": (_set("security", 128), "directory.random_rows"),
    "security lower": (_set("security", 40), "Malformed: commitment.json.directory.security"),
    "proofs": (_set("proofs", 1), "directory.random_rows"),
    "random rows": (lambda d: d.update(random_rows=d["random_rows"] - 1), "directory.random_rows"),
    "width": (_set("width", 512), "directory.width"),
    "tensor left out": (lambda d: d["tensors"].pop(), "directory.tensors"),
    "owner": (_set("owner", "0" * 96), PROOF),
    "owner no key": (_set("owner", "0"), "Malformed: commitment.json.directory.owner"),
    "field missing": (lambda d: d.pop("p"), "Malformed: commitment.json.directory.p"),
    "field added": (_set("comment", "hello"), "Malformed: commitment.json.directory.comment"),
    "shape.family": (_shape(family="other"), PROOF),
    "shape.hidden": (_shape(hidden=32), "Malformed: ys"),
    "shape.ffn": (_shape(ffn=44), "Malformed: ud.multipliers"),
    "shape.vocab": (_shape(vocab=10**6), PROOF),
    "shape.layers": (_shape(layers=2), "Malformed: "),
    "shape.heads": (_shape(heads=3), "Malformed: shape"),
    "shape.kv_heads": (_shape(kv_heads=4), PROOF),
    "shape.head_dim": (_shape(head_dim=8, rotary_dim=8), "Malformed: qk.multipliers"),
    "shape.gated": (_shape(gated=False), PROOF),
    "shape.norm": (_shape(norm="layer"), PROOF),
    "shape.norm_position": (_shape(norm_position="post"), PROOF),
    "shape.qk_norm": (_shape(qk_norm=True), PROOF),
    "shape.rotary": (_shape(rotary="interleaved"), PROOF),
    "shape unknown": (_shape(experts=8), "Malformed: shape"),
    "shape absurd": (_shape(hidden=1 << 24), "Malformed: directory: no such program"),
    "shape exhausting": (_shape(ffn=250000, hidden=20000), "Unsupported: directory.shape"),
}  # fmt: skip
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
    new_id = with_directory(files, _shape(ffn=44))
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


def _touched(changes: dict[str, tuple[Callable[[Json], object], str]], before: Json) -> set[str]:
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
        forged = with_statement(files, _all(swapped))
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
    """A small sample of benchmarks/fuzz_bundle.py, with a fixed seed: inspect, its page, verify and compare."""
    random_ = random.Random(4)
    from benchmarks.fuzz_bundle import mutate, show

    seen: set[str] = set()
    for _ in range(120):
        changed, sealed = mutate(files, random_, deep=0.02, other=foreign)
        if changed == files:
            continue
        found = show(changed, tmp_path / "bundle", random_)
        assert found != "verified", sealed
        seen.add(found.split(".")[0])
    assert {"files", "Malformed", "Damaged", "security", "opening"} <= seen, seen


def test_errors_are_of_the_family() -> None:
    assert issubclass(Malformed, HurefError) and issubclass(Unsupported, HurefError)
