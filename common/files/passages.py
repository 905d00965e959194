"""Prompts and answers as lines of JSON: what `huref ask` writes, `huref prove-inference` reads and `huref verify` asks
for (docs/inference.md §8), and what opens hidden prompts (§10).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from huref.common.errors import Malformed
from huref.common.files.canonical import parse_json
from huref.common.files.capped import read_capped
from huref.common.files.strict import Hex32, StrictModel

MAX_BYTES = 8 << 20
MAX_LINES = 1 << 12
Ids = list[Annotated[int, Field(ge=0)]]


class Passage(StrictModel):
    """A prompt and perhaps an answer, each as a text, as token ids, or as both. `salt` opens a proof that hides it."""

    prompt: str | None = None
    prompt_ids: Ids | None = None
    answer: str | None = None
    answer_ids: Ids | None = None
    salt: Hex32 | None = None


def read_passages(path: Path) -> list[Passage]:
    """The passages of a file, one JSON object a line; empty lines are skipped.

    Raises:
        Malformed: another kind of file, a line without a prompt, or no line. InputOutputError: it cannot be read.
    """
    try:
        lines = read_capped(path, MAX_BYTES).decode().split("\n")
    except UnicodeDecodeError:
        raise Malformed(f"{path}: not a text in UTF-8") from None
    if len(lines) > MAX_LINES:
        raise Malformed(f"{path}: more than {MAX_LINES} lines")
    found = [_passage(line, f"{path}, line {n}") for n, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise Malformed(f"{path}: no prompts", hint='one JSON object a line, such as {"prompt": "Hello"}')
    return found


def _passage(line: str, name: str) -> Passage:
    plain = re.sub("[^\0-\x7f]+", lambda other: json.dumps(other[0])[1:-1], line)
    found = Passage.read(parse_json(plain.encode(), name), name)
    if found.prompt is None and found.prompt_ids is None:
        raise Malformed(f"{name}: neither prompt nor prompt_ids")
    return found


def passage_lines(passages: Iterable[Passage]) -> bytes:
    """The file of these passages; what a passage lacks is left out."""
    lines = (
        json.dumps(passage.model_dump(exclude_none=True), ensure_ascii=False) + "\n" for passage in passages
    )
    return "".join(lines).encode()
