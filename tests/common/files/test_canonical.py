"""Parsing canonical JSON: bounded in depth, values and digits, and linear whatever the bytes are."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable

import pytest

from huref.common.errors import Malformed
from huref.common.files import canonical
from huref.common.files.canonical import (
    MAX_NESTING,
    MAX_VALUES,
    canonical_json,
    nesting,
    parse_canonical,
    parse_json,
)

SIZE = 1 << 20
HOSTILE = {
    "escaped quotes": b'{"' + b'\\"' * (SIZE // 2),
    "a string begun again and again": b'{"a":"\\"' * (SIZE // 8),
    "open lists": b"[" * SIZE,
    "empty lists": b'{"a":[' + b"[]," * (SIZE // 3) + b"0]}",
    "deep but allowed": b'{"a":[' + (b"[" * 30 + b"]" * 30 + b",") * (SIZE // 61) + b"0]}",
    "many keys": b"{" + b",".join(b'"%06d":0' % i for i in range(SIZE // 11)) + b"}",
    "floats": b'{"a":[' + b"0.1," * (SIZE // 4) + b"0]}",
    "long numbers": b'{"a":[' + (b"9" * 4300 + b",") * (SIZE // 4301) + b"0]}",
    "one long number": b'{"a":' + b"9" * SIZE + b"}",
    "one long fraction": b'{"a":0.' + b"9" * SIZE + b"}",
    "backslashes": b"\\" * SIZE,
    "quotes": b'"' * SIZE,
    "not text": b"\xff" * SIZE,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_refused_or_read_without_much_work(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What reaches the interpreter's parser is bounded: values by `MAX_VALUES`, numbers by `MAX_DIGITS`."""
    values: list[int] = []
    integer = canonical._short
    monkeypatch.setattr(canonical, "_short", lambda text: values.append(len(text)) or integer(text))
    with contextlib.suppress(Malformed):
        parse_canonical(HOSTILE[name], "value")
    assert len(values) <= MAX_VALUES + 1


def test_nesting_makes_a_fixed_number_of_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pattern matching, which was quadratic: the module has none to call, and no loop over the bytes."""
    assert not hasattr(canonical, "re")
    sizes = []
    accumulate = canonical.np.cumsum
    monkeypatch.setattr(canonical.np, "cumsum", lambda a, **k: sizes.append(a.size) or accumulate(a, **k))
    for size in (1 << 10, 1 << 20):
        nesting(b'{"' + b'\\"' * size)
    assert sizes == [1, 1]


def test_nesting_is_what_a_parser_meets() -> None:
    def depth(value: object) -> int:
        if isinstance(value, dict):
            return 1 + max(map(depth, value.values()), default=0)
        return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0

    random_ = random.Random(3)

    def draw(level: int) -> object:
        text = "".join(random_.choices('[]{}"\\,a', k=random_.randrange(6)))
        if level == 0 or random_.random() < 0.3:
            return text
        if random_.random() < 0.5:
            return [draw(level - 1) for _ in range(random_.randrange(4))]
        return {f"{i}{text}": draw(level - 1) for i in range(random_.randrange(4))}

    for _ in range(300):
        value = draw(random_.randrange(8))
        assert nesting(json.dumps(value).encode()) == depth(value)


def test_depth_values_and_digits_have_limits() -> None:
    inner = b"[" * (MAX_NESTING - 1) + b"]" * (MAX_NESTING - 1)
    assert parse_canonical(b'{"a":' + inner + b"}", "value")
    with pytest.raises(Malformed, match="nested"):
        parse_canonical(b'{"a":[' + inner + b"]}", "value")
    assert parse_canonical(canonical_json({"a": [0] * (MAX_VALUES - 2)}), "value")
    assert parse_canonical(canonical_json({"a": [0] * (MAX_VALUES - 1)}), "value"), (
        "as many separators as allowed"
    )
    with pytest.raises(Malformed, match="values"):
        parse_canonical(canonical_json({"a": [0] * MAX_VALUES}), "value")
    assert parse_canonical(b'{"a":' + b"9" * 40 + b"}", "value")
    for number in (b"9" * 41, b"1e999", b"-1e999", b"NaN", b"Infinity"):
        with pytest.raises(Malformed):
            parse_canonical(b'{"a":' + number + b"}", "value")
    assert parse_json(b'{"a":0.' + b"1" * 38 + b"}", "value")
    with pytest.raises(Malformed):
        parse_json(b'{"a":0.' + b"1" * 39 + b"}", "value")


@pytest.mark.parametrize("read", [canonical.parse_canonical, canonical.parse_json])
def test_repeated_keys_are_refused_at_every_depth(read: Callable[[bytes, str], object]) -> None:
    """Readers disagree which of two counts, so a file with both could tell each its own story."""
    for data in (b'{"a":1,"a":2}', b'{"a":[{"b":1,"b":1}]}', b'{"a":1,"\\u0061":1}'):
        with pytest.raises(Malformed):
            read(data, "value")


def test_one_spelling_of_each_value() -> None:
    assert parse_canonical(b'{"a":1.0,"b":[]}', "value") == {"a": 1.0, "b": []}
    for data in (
        b'{"a": 1}',
        b'{"b":1,"a":2}',
        b'{"a":1e0}',
        b'{"a":1}\n',
        b'{"\\u0061":1}',
        b'{"a":"\\/"}',
        b'{"a":-0}',
    ):
        assert canonical.parse_json(data, "value")
        with pytest.raises(Malformed, match="not in canonical form"):
            parse_canonical(data, "value")
    for data in (b"[]", b"1", b'"a"', b"null", b""):
        with pytest.raises(Malformed, match="not a JSON object"):
            canonical.parse_json(data, "value")


@pytest.mark.parametrize("text", ["\\ud800", "a\\udfff", "\\udc00\\ud800"])
@pytest.mark.parametrize("form", ['{"a":"%s"}', '{"%s":0}', '{"a":{"%s":0}}', '{"a":[{"b":["%s"]}]}'])
def test_half_a_surrogate_pair_is_no_text(text: str, form: str) -> None:
    """As a key in a field of any content it made the library of records raise, and `huref inspect` exit with 70."""
    with pytest.raises(Malformed, match="not a JSON object"):
        parse_json((form % text).encode(), "file")
    assert parse_json((form % "\\ud83d\\ude00").encode(), "file")
