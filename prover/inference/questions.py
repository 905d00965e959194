"""What is to be proven, from texts or token ids, each prompt with its answer or none yet."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path

from huref.common.errors import UsageError
from huref.common.files.passages import Passage
from huref.prover.inference.prove import Question
from huref.prover.inference.tokenizer import tokenizer_of
from huref.prover.vocabulary.encode import TextCoder

_PAIRS = "give one --answer or --answer-ids for every prompt, in the same order, or --generate"


def paired(
    prompts: Sequence[str],
    prompt_ids: Sequence[list[int]],
    answers: Sequence[str],
    answer_ids: Sequence[list[int]],
    generate: int | None,
) -> list[Passage]:
    """Passages of what options give, in their order: all prompts as texts or all as ids, and so all answers.

    Raises:
        UsageError: there is none, they are mixed, or there is another number of answers than of prompts.
    """
    if bool(prompts) == bool(prompt_ids):
        raise UsageError("give every prompt with --prompt, or every one with --prompt-ids")
    if sum((bool(answers), bool(answer_ids), generate is not None)) != 1:
        raise UsageError("give one of --answer, --answer-ids and --generate")
    count, answered = len(prompts) + len(prompt_ids), len(answers) + len(answer_ids)
    if generate is None and count != answered:
        raise UsageError(f"{_many(count, 'prompt')} and {_many(answered, 'answer')}", hint=_PAIRS)
    return [
        Passage(prompt=text, prompt_ids=ids, answer=answer, answer_ids=behind)
        for text, ids, answer, behind in zip_longest(prompts, prompt_ids, answers, answer_ids)
    ]


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def questions(
    passages: Sequence[Passage], generate: int | None, commitment: Path, tokenizer: str | None
) -> list[Question]:
    """The passages' token ids; a tokenizer is only looked for where there is a text.

    Raises:
        UsageError: an answer is missing, or is given and to be generated; a text is not cut into the ids beside it, or
            needs a tokenizer that is neither named nor known.
    """
    coder = None
    if any(passage.prompt is not None or passage.answer is not None for passage in passages):
        coder = TextCoder(tokenizer_of(commitment, tokenizer).tokenizer, None)
    several = len(passages) > 1
    return [
        _question(passage, generate or 0, coder, f"prompt {number}: " if several else "")
        for number, passage in enumerate(passages, 1)
    ]


def _question(passage: Passage, generate: int, coder: TextCoder | None, which: str) -> Question:
    given = passage.answer is not None or passage.answer_ids is not None
    if given == bool(generate):
        raise UsageError(
            f"{which}there is an answer, and --generate asks for another"
            if given
            else f"{which}there is no answer",
            hint=None if given else "--generate N proves N tokens of the model's own answers",
        )
    if passage.salt is not None:
        raise UsageError(
            f"{which}a salt opens the proof that it was made for, and is never used again",
            hint="take the salt out of the line",
        )
    prompt, answer = passage.prompt, passage.answer
    begun, behind = passage.prompt_ids or [], passage.answer_ids or []
    if coder is not None and prompt is not None and answer is not None:
        ids, first = coder.continued(prompt, answer)
        begun = _cut("prompt", passage.prompt_ids, ids[:first], which)
        behind = _cut("answer", passage.answer_ids, ids[first:], which)
    elif coder is not None and prompt is not None:
        begun = _cut("prompt", passage.prompt_ids, coder.encode(prompt), which)
    elif coder is not None and answer is not None:
        behind = _cut("answer", passage.answer_ids, coder.encode(answer), which)
    told = None
    if coder is not None and prompt is not None:
        told = partial(coder.told, prompt, first=len(begun))
    return Question(begun + behind, len(begun), generate, prompt, answer, told)


def _cut(name: str, given: list[int] | None, found: list[int], which: str) -> list[int]:
    """The ids of a text, which are those that are given beside it."""
    if given is not None and given != found:
        raise UsageError(
            f"{which}the tokenizer cuts the text of the {name} into other token ids than are given",
            hint="leave the text out, so that it is not said of these ids",
        )
    return found
