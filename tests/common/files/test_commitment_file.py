"""commitment.json, field by field: what each may hold, up to its limits and no further."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from huref.common.errors import Malformed
from huref.common.files.canonical import canonical_json
from huref.common.files.commitment_file import ID_TAG, CommitmentFile
from tests import ROOT
from tests.support.fields import Place, case_name, changed

GOOD: dict[str, Any] = json.loads((ROOT / "tests/vectors/bundles/signed.huref/commitment.json").read_bytes())
TOKENS = ("directory", "tokens")
SOURCE = {"name": "a", "size": 0, "sha256": "0" * 64}


def decode(content: Any) -> CommitmentFile:
    """The file of this content, under the model id that goes with it."""
    named = ID_TAG.ljust(32, b"\0") + canonical_json(content["directory"]) + bytes.fromhex(content["root"])
    model_id = hashlib.sha256(named).hexdigest()
    return CommitmentFile.decode(canonical_json({**content, "model_id": model_id}), "commitment.json")


ALLOWED: list[tuple[Place, Any]] = [
    (("directory", "k"), 1),
    (("directory", "k"), 1 << 16),
    (("directory", "p"), 1),
    (("directory", "p"), 1 << 16),
    ((*TOKENS, "ids"), [0] * (1 << 16)),
    ((*TOKENS, "ids"), []),
    ((*TOKENS, "pieces"), ["00"] * (1 << 16)),
    (("directory", "term_weights"), [0, 127] * 8),
    (("directory", "security"), 128),
    (("directory", "proofs"), 1),
    (("directory", "proofs"), 1024),
    (("directory", "random_rows"), 1),
    (("directory", "tensors"), lambda tensors: tensors[:1] * (1 << 14)),
    (("directory", "owner"), None),
    (("directory", "inference"), None),
    (("directory", "inference"), {"anything": [1, "a", None]}),
    (("sources",), [SOURCE] * 4096),
    (("sources",), []),
]
REFUSED: list[tuple[Place, Any]] = [
    (("format",), "huref-commitment/2"),
    (("sources",), [SOURCE] * 4097),
    (("sources",), [{**SOURCE, "size": -1}]),
    (("sources",), [{**SOURCE, "sha256": "A" * 64}]),
    (("sources",), [{**SOURCE, "name": "a/b"}]),
    (("sources",), [{**SOURCE, "name": "a\\b"}]),
    (("sources",), [{**SOURCE, "name": "a\u202eb"}]),
    (("directory", "format"), "huref-directory/2"),
    (("directory", "protocol"), "huref/proof/2"),
    (("directory", "profile"), "a b"),
    (("directory", "k"), 0),
    (("directory", "k"), (1 << 16) + 1),
    (("directory", "p"), 0),
    (("directory", "p"), (1 << 16) + 1),
    ((*TOKENS, "source"), "guess"),
    ((*TOKENS, "tokenizer_digest"), "A" * 64),
    ((*TOKENS, "frequency_digest"), "0" * 63),
    ((*TOKENS, "ids"), [0] * ((1 << 16) + 1)),
    ((*TOKENS, "ids", 0), -1),
    ((*TOKENS, "pieces"), ["00"] * ((1 << 16) + 1)),
    (("directory", "term_weights", 5), 128),
    (("directory", "term_weights", 5), -1),
    (("directory", "term_weights"), [1] * 17),
    (("directory", "security"), 101),
    (("directory", "proofs"), 0),
    (("directory", "proofs"), 1025),
    (("directory", "random_rows"), 0),
    (("directory", "tensors"), lambda tensors: tensors[:1] * ((1 << 14) + 1)),
    (("directory", "tensors", 0, "name"), "x\n"),
    (("directory", "tensors", 0, "rows"), "1"),
    (("directory", "tensors", 0, "start"), True),
    (("directory", "owner"), "A" * 96),
    (("directory", "owner"), "0" * 95),
    (("directory", "inference"), []),
    (("directory", "inference"), "none"),
]


def test_the_file_itself_is_read() -> None:
    assert decode(GOOD).model_id == GOOD["model_id"]


@pytest.mark.parametrize("case", ALLOWED, ids=case_name)
def test_what_the_file_may_say(case: tuple[Place, Any]) -> None:
    """Whether it fits a program is not for the file to know; these are the edges of its own rules."""
    content = changed(GOOD, *case)
    assert json.loads(decode(content).encode())["directory"] == content["directory"]


@pytest.mark.parametrize("case", REFUSED, ids=case_name)
def test_what_it_may_not(case: tuple[Place, Any]) -> None:
    where = ".".join(str(part) for part in case[0])
    with pytest.raises(Malformed) as caught:
        decode(changed(GOOD, *case))
    assert caught.value.message.startswith(f"commitment.json.{where}"), caught.value.message


@pytest.mark.parametrize("name", ["model_id", "root"])
@pytest.mark.parametrize("value", ["0" * 63, "0" * 65, "G" * 64, str.upper])
def test_hex_has_one_spelling(name: str, value: Any) -> None:
    with pytest.raises(Malformed) as caught:
        CommitmentFile.decode(canonical_json(changed(GOOD, (name,), value)), "commitment.json")
    assert caught.value.message.startswith(f"commitment.json.{name}:")


@pytest.mark.parametrize("name", ["model_id", "root"])
def test_the_model_id_is_that_of_directory_and_root(name: str) -> None:
    with pytest.raises(Malformed, match="model_id: not the id of this directory and root"):
        CommitmentFile.decode(canonical_json({**GOOD, name: "0" * 64}), "commitment.json")
