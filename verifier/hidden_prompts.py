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
from huref.verifier.inference import InferenceVerdict, require_inference


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
    found: InferenceVerdict | None, opening: Sequence[Passage] | None, vocab: int
) -> InferenceVerdict | None:
    """The verdict with the ids of the hidden prompts that `opening` opens. Each line must open one, by its digest.

    Raises:
        Rejected: a line opens nothing, or ids of a digest are not those that were run.
    """
    if opening is None:
        return found
    found = require_inference(found)
    answers, opened = found.statement.answers, dict[int, list[int]]()
    values = dict(zip(found.behind_hidden, found.hidden.values, strict=True))
    for line, passage in enumerate(opening, 1):
        ids, salt = passage.prompt_ids or [], bytes.fromhex(passage.salt or "")
        # values are mod p: an id and the id + p have one, and only one of them is a token's
        digest = prompt_digest(salt, ids) if ids and max(ids) < vocab else ""
        numbers = [number for number in values if answers[number].prompt_digest == digest]
        if not numbers:
            raise Rejected("expect.opening", f"line {line} opens no hidden prompt of this bundle")
        value = prompt_value(found.hidden.point, salt, ids)
        for number in numbers:
            if len(ids) != answers[number].first or value != values[number]:
                raise Rejected(
                    "inference.prompt",
                    f"the prompt that the owner opens for answer {number + 1} is not the one that was run",
                )
            opened[number] = ids
    return replace(found, opened=opened)
