"""Prompts that a proof of inference must answer, from a file of the asker's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huref.common.errors import Rejected, UsageError
from huref.common.files.passages import Passage, read_passages
from huref.common.text import shorten
from huref.verifier.inference import InferenceVerdict, require_inference


def asked_passages(path: Path) -> list[Passage]:
    """The prompts of a file, and answers where it has them, as token ids: what is proven is about ids.

    Raises:
        UsageError: a prompt or an answer without ids. Malformed, InputOutputError: it cannot be read.
    """
    found = read_passages(path)
    for number, passage in enumerate(found, 1):
        answered = passage.answer is not None and passage.answer_ids is None
        if passage.prompt_ids is None or answered:
            raise UsageError(
                f"{path}: {'answer' if answered else 'prompt'} {number} has no token ids, and a proof is about those",
                hint="huref ask --out writes prompts with their ids",
            )
    return found


def require_prompts(found: InferenceVerdict | None, asked: Sequence[Passage] | None) -> None:
    """Hold a proof of inference against what was asked: as many answers, each behind its prompt, in this order.

    Raises:
        Rejected: there is none, or it answers something else; names the first answer that does.
    """
    if asked is None:
        return
    found = require_inference(found)
    answers = found.statement.answers
    for number, (answer, passage) in enumerate(zip(answers, asked, strict=False), 1):
        for name, ours, theirs in (
            ("prompt", passage.prompt_ids, found.prompt_ids(number - 1)),
            ("answer", passage.answer_ids, answer.answer_ids),
        ):
            if theirs is None:
                raise Rejected(
                    "expect.prompts",
                    f"prompt {number} is hidden: whether it is the one that you asked shows what opens it (--open)",
                )
            if ours is not None and ours != theirs:
                raise Rejected(
                    "expect.prompts",
                    f"{name} {number} is another one",
                    expected=shorten(ours),
                    got=shorten(theirs),
                )
    if len(answers) != len(asked):
        raise Rejected(
            "expect.prompts",
            "another number of answers than of prompts",
            expected=len(asked),
            got=len(answers),
        )
