"""fingerprint.json, field by field: what each may hold, up to its limits and no further."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from huref.common.errors import HurefError, InputOutputError, Malformed
from huref.common.files.fingerprint_file import parse_fingerprint, read_fingerprint, write_fingerprint
from tests import ROOT
from tests.support.fields import Place, case_name, changed, renamed

FILE = ROOT / "tests/vectors/bundles/signed.huref/fingerprint.json"
GOOD: dict[str, Any] = json.loads(FILE.read_bytes())
LIMIT = 1 << 61

ALLOWED: list[tuple[Place, Any]] = [
    (("k",), 1),
    (("p",), 1),
    (("token_ids", 0), 0),
    (("token_ids", 0), (1 << 32) - 1),
    (("v", 0), LIMIT - 1),
    (("v", 0), 1 - LIMIT),
    (("tokenizer_digest",), "0" * 64),
    (("frequency_digest",), "a" * 64),
    (("fidelity", "v"), None),
    (("calibration_sums", "ys"), [1, None]),
    (("challenge",), "0" * 64),
    (("token_pieces",), None),
    (("token_pieces", 0), "00" * 1024),
    (("e",), None),
    (("e", 0), LIMIT - 1),
    (("e", 0), 1 - LIMIT),
]
REFUSED: list[tuple[Place, Any]] = [
    (("schema_version",), "huref-fingerprint/2"),
    (("profile",), "a b"),
    (("token_source",), "x" * 65),
    (("k",), 0),
    (("p",), 0),
    (("tokenizer_digest",), "A" * 64),
    (("frequency_digest",), "0" * 63),
    (("token_ids", 0), -1),
    (("token_ids", 0), 1 << 32),
    (("v", 0), LIMIT),
    (("v", 0), -LIMIT),
    (("v", 0), 1.0),
    (("v",), lambda v: v[1:]),
    (("v",), lambda v: [*v, 0]),
    (("e", 0), LIMIT),
    (("e", 0), -LIMIT),
    (("e", 0), 1.0),
    (("e",), lambda e: e[1:]),
    (("e",), lambda e: [*e, 0]),
    (("challenge",), "A" * 64),
    (("challenge",), "0" * 63),
    (("token_pieces", 0), ""),
    (("token_pieces", 0), "0"),
    (("token_pieces", 0), "AA"),
    (("token_pieces", 0), "00" * 1025),
    (("caps", "ud.multipliers"), [0, 0, 0, None]),
    (("ratios", "ud"), [None, 1]),
    (("shape",), []),
    (("fidelity", "v"), "1"),
]
KEYS: list[Place] = [
    ("shifts",),
    ("calibration_sums",),
    ("caps",),
    ("ratios",),
    ("timings",),
    ("fidelity", "terms"),
]


def parse(content: Any) -> Any:
    return parse_fingerprint(json.dumps(content).encode(), "f.json")


@pytest.mark.parametrize("case", ALLOWED, ids=case_name)
def test_what_the_file_may_say(case: tuple[Place, Any]) -> None:
    content = changed(GOOD, *case)
    assert parse(content).model_dump() == content


@pytest.mark.parametrize("case", REFUSED, ids=case_name)
def test_what_it_may_not(case: tuple[Place, Any]) -> None:
    with pytest.raises(Malformed, match=r"f\.json: not a fingerprint file \(" + str(case[0][0])):
        parse(changed(GOOD, *case))


@pytest.mark.parametrize("place", KEYS, ids=str)
def test_keys_are_identifiers(place: Place) -> None:
    content = changed(GOOD, ("fidelity", "terms"), {"qk": 1.0})
    assert parse(renamed(content, place, "other"))
    for name in ("a b", "\x1b[31m", "", "x" * 65):
        with pytest.raises(Malformed, match="not a fingerprint file"):
            parse(renamed(content, place, name))


def test_it_is_read_back_as_written_and_from_its_folder(tmp_path: Path) -> None:
    file = write_fingerprint(tmp_path / "a", parse(GOOD))
    assert read_fingerprint(file) == read_fingerprint(tmp_path / "a") == parse(GOOD)
    with pytest.raises(InputOutputError):
        read_fingerprint(tmp_path / "absent")
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(HurefError) as caught:
            write_fingerprint(folder, parse(GOOD))
        assert isinstance(caught.value, InputOutputError)
