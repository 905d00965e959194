"""The base of every record that is read: what no record takes, whatever its fields are."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from huref.common.errors import Malformed
from huref.common.files.strict import FileName, Hex32, Hex48, Identifier, StrictModel


class Record(StrictModel):
    number: int = 1
    real: float = 1.0
    text: str = ""


class Names(StrictModel):
    file: FileName = "a"
    word: Identifier = "a"
    key: Hex48 = "0" * 96
    digest: Hex32 = "0" * 64


def refused(model: type[StrictModel], content: dict[str, Any]) -> str:
    with pytest.raises(Malformed) as caught:
        model.read(content, "record")
    return caught.value.message


@pytest.mark.parametrize(
    "content",
    [
        {"number": "1"}, {"number": 1.0}, {"number": True}, {"number": None},
        {"real": "1"}, {"real": True}, {"real": math.inf}, {"real": -math.inf}, {"real": math.nan},
        {"text": 1}, {"text": b"a"}, {"other": 1},
    ],
    ids=str,
)  # fmt: skip
def test_nothing_is_taken_for_something_else(content: dict[str, Any]) -> None:
    (name,) = content
    assert refused(Record, content).startswith(f"record.{name}: ")


def test_a_record_does_not_change() -> None:
    record = Record()
    with pytest.raises(ValidationError, match="frozen"):
        record.number = 2  # type: ignore[misc]
    assert hash(record) == hash(Record())


def test_no_error_repeats_what_was_read() -> None:
    """It may be megabytes."""
    with pytest.raises(ValidationError) as caught:
        Record(number="hostile")  # type: ignore[arg-type]
    assert "hostile" not in str(caught.value)
    assert "hostile" not in refused(Record, {"number": "hostile"})
    assert len(refused(Record, {"x" * 9999: 1})) < 120


def test_bytes_are_those_that_are_written() -> None:
    """A field with a default is there too."""
    assert Record.decode(Record().encode(), "record") == Record()
    for data in (b"{}", b'{"number":1,"real":1.0}', b'{"number":1,"real":1,"text":""}'):
        with pytest.raises(Malformed):
            Record.decode(data, "record")


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("file", ["a b", "é.gguf", "x" * 255], ["", "x" * 256, "a/b", "a\\b", "a\n", "a\u202eb", "\x7f"]),
        ("word", ["a", "a.b-c+d_9", "x" * 64], ["", "x" * 65, "a b", "a\n", "é", "-a", "a/b"]),
        ("key", ["0123456789abcdef" * 6], ["0" * 95, "0" * 97, "A" * 96, "0" * 96 + "\n", "g" * 96]),
        ("digest", ["0123456789abcdef" * 4], ["0" * 63, "0" * 65, "A" * 64, "0" * 64 + "\n", "g" * 64]),
    ],
)
def test_names(name: str, good: list[str], bad: list[str]) -> None:
    for text in good:
        assert getattr(Names.read({name: text}, "record"), name) == text
    for text in bad:
        assert refused(Names, {name: text}).startswith(f"record.{name}: ")
