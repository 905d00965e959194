"""Prompts that a proof of inference hides: what its transcript says of them, and whether a file of the owner's opens
them (protocol §13.9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from huref.circuits.inference.prompt_opening import prompt_digest, prompt_value
from huref.common.errors import Rejected, UsageError
from huref.common.files.passages import Passage, read_passages
from huref.verifier.inference import InferenceVerdict


def opening_passages(path: Path) -> list[Passage]:
    """The lines of a file that opens prompts.

    Raises:
        UsageError: a line without ids or salt. Malformed, InputOutputError: it cannot be read.
    """
    found = read_passages(path)
    for number, passage in enumerate(found, 1):
        if passage.prompt_ids is None or passage.salt is None:
            raise UsageError(
                f"{path}: line {number} has no {'salt' if passage.prompt_ids else 'token ids'}, and opens nothing",
                hint="huref prove-inference --hide-prompt writes what opens a bundle beside it, NAME.prompts.jsonl",
            )
    return found


def open_prompts(
    found: InferenceVerdict | None, opening: Sequence[Passage] | None
) -> InferenceVerdict | None:
    """The verdict with the ids of its hidden prompts, one of `opening` each, in order.

    Raises:
        Rejected: nothing is hidden, a prompt is another one than the statement's digest is of, or than was run.
    """
    if opening is None:
        return found
    if found is None:
        raise Rejected("expect.inference", "the bundle holds no proof of inference")
    hidden = [number for number, answer in enumerate(found.statement.answers) if answer.hidden]
    if len(hidden) != len(opening):
        raise Rejected(
            "expect.opening",
            "another number of prompts is hidden",
            expected=len(opening),
            got=len(hidden),
        )
    opened = dict[int, list[int]]()
    for number, passage, value in zip(hidden, opening, found.hidden.values, strict=True):
        answer, ids, salt = found.statement.answers[number], passage.prompt_ids, passage.salt
        if ids is None or salt is None:
            raise UsageError(f"prompt {number + 1} is not opened: ids and salt are needed")
        key = bytes.fromhex(salt)
        if len(ids) != answer.first or max(ids) >> 32 or prompt_digest(key, ids) != answer.prompt_digest:
            raise Rejected(
                "expect.opening",
                f"the prompt of answer {number + 1} is another one",
                expected="the ids and the salt that its digest is of",
                got=f"{len(ids)} ids",
            )
        if prompt_value(found.hidden.point, key, ids) != value:
            raise Rejected(
                "inference.prompt",
                f"the prompt that the owner opens for answer {number + 1} is not the one that was run",
            )
        opened[number] = ids
    return replace(found, opened=opened)
