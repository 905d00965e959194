"""The proof of inference in a bundle: which tokens the committed model gives (protocol §13)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import Any

from huref.circuits.argument.security import SecurityReport
from huref.circuits.inference.claim import ODDS_BITS
from huref.circuits.inference_statement import (
    Answer,
    InferenceStatement,
    inference_program,
    prepare_inference,
)
from huref.common.algebra.field import K_BYTES, decode_k
from huref.common.algebra.kscalar import KS
from huref.common.argument.transcript import Recorder
from huref.common.errors import Rejected
from huref.common.files import bundle as form
from huref.common.files.commitment_file import CommitmentFile
from huref.common.text import counted, escape, quoted, shorten
from huref.verifier.measured import measured

FLAT = 0.05
"""Below this probability a verdict warns."""
UNLIKELY = (
    "That the model tells tokens apart: it gives the claimed ones so small a probability that many others are as good, "
    "and where all logits are equal any answer can be proven."
)


UNREAD = (
    "What a hidden prompt says, and that its digest is of it: behind one that asks to repeat an answer every model "
    "gives it. Whoever may read a prompt opens it with a file of the owner's (huref verify --open)."
)
OPENED = (
    "What an opened prompt says in words: its token ids are what was shown to be run, and texts or answers beside them "
    "in the file that opens it were not read."
)
ANSWERS = "Answers, one by one (texts are the owner's words)"
"""Heading of what is said of each of several answers."""
_SHOWN = 64
_TEXT = 400


@dataclass(frozen=True)
class Scores:
    """What is proven of claimed tokens: a gap in logits for every one, and the most that the inverses of their
    probabilities add up to.
    """

    gaps: tuple[float, ...]
    inverses: float

    @property
    def argmaxes(self) -> int:
        """How many claimed tokens are proven to have the largest logit."""
        return sum(gap == 0 for gap in self.gaps)

    @property
    def probability(self) -> float:
        """The harmonic mean of the claimed tokens' probabilities, from below."""
        return min(1.0, len(self.gaps) / self.inverses)

    @property
    def largest(self) -> float:
        """The largest gap."""
        return max(self.gaps)

    @property
    def median(self) -> float:
        """The median gap."""
        return float(median(self.gaps))

    def line(self) -> str:
        """In a line for people."""
        return (
            f"{len(self.gaps)} tokens claimed, {self.argmaxes} proven argmaxes, largest gap {self.largest:.3g}, "
            f"median {self.median:.3g}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "claimed": len(self.gaps),
            "argmaxes": self.argmaxes,
            "largest_gap": self.largest,
            "median_gap": self.median,
            "probability": self.probability,
        }


def scores(answer: Answer, unit: int) -> Scores:
    """Of one answer, whose gaps count 2^−`unit` logits."""
    gaps = tuple(gap * 2.0**-unit for gap in answer.every_gap)
    return Scores(gaps, math.exp(max(gaps)) * answer.odds * 2.0**-ODDS_BITS)


class HiddenPrompts:
    """What a transcript says of hidden prompts (protocol §13.9): the point at which they are told, and a value each."""

    def __init__(self) -> None:
        self.point, self.values = KS(0), list[KS]()

    def __call__(self, kind: str, label: str, data: bytes) -> None:
        """Sees a message of the transcript."""
        if label == "prompt.point":
            (self.point,) = KS.list_from_array(decode_k(data, 1))
        elif label == "prompt.values":
            self.values = KS.list_from_array(decode_k(data, len(data) // K_BYTES))


@dataclass(frozen=True)
class InferenceVerdict:
    """A proof of inference that holds; `answers` has what it shows of each, `opened` the ids of hidden prompts that the
    caller could open, by the answer's index.
    """

    statement: InferenceStatement
    security: SecurityReport
    answers: tuple[Scores, ...]
    size: int
    hidden: HiddenPrompts = field(default_factory=HiddenPrompts, compare=False)
    opened: Mapping[int, list[int]] = field(default_factory=dict)

    def prompt_ids(self, number: int) -> list[int] | None:
        """The ids before the claimed ones of an answer, where they are known."""
        return self.opened.get(number, self.statement.answers[number].prompt_ids)

    @property
    def behind_hidden(self) -> list[int]:
        """The indices of the answers whose prompts are hidden, opened or not."""
        return [number for number, answer in enumerate(self.statement.answers) if answer.hidden]

    @property
    def closed(self) -> int:
        """How many prompts are hidden and not opened."""
        return len(self.behind_hidden) - len(self.opened)

    @cached_property
    def all(self) -> Scores:
        """Of the tokens of all answers."""
        gaps = tuple(gap for answer in self.answers for gap in answer.gaps)
        return Scores(gaps, sum(answer.inverses for answer in self.answers))

    def proven(self) -> list[str]:
        """What the proof establishes, in sentences."""
        said, found = self.statement, self.all
        best, claimed = found.argmaxes, len(found.gaps)
        how = "the largest logit"
        if best < claimed:
            how = f"a logit at most {found.largest:.3g} below the largest"
            if best:
                how += f" (of {best} of them proven: the largest)"
        if len(self.answers) > 1:
            on = f" on each of {len(self.answers)} published sequences of tokens alone"
            if count := len(self.behind_hidden):
                on = f" on each of {len(self.answers)} sequences of tokens alone, of which {count} begin with a hidden "
                on += f"prompt, {len(self.opened)} of them opened to you" if self.opened else "prompt"
            given = (
                f"give each of the last tokens of every sequence, {claimed} in all, behind those before it"
            )
        else:
            tokens = "token" if claimed == 1 else f"{claimed} tokens"
            on = ""
            first = said.answers[0]
            given = f"give each of the last {tokens} of {first.length} published ones, behind those before it"
            if first.hidden:
                prompt = counted(first.hidden, "hidden token", "hidden tokens")
                opened = "" if self.closed else " that was opened to you"
                each = "a token" if claimed == 1 else f"each of {tokens}"
                given = f"give {each}, behind those before it and a prompt of {prompt}{opened}"
        return [
            f"The integers under this model id, run as a language model by their directory's inference program{on}, "
            f"{given}, {how}, and on average (harmonic mean) a probability of at least {found.probability:.2g}.",
        ]

    @property
    def unlikely(self) -> bool:
        """Whether many other tokens may be as good as the claimed ones."""
        return self.all.probability < FLAT

    def one_by_one(self) -> list[str]:
        """What is proven of each answer and said of it; nothing where there is but one."""
        if len(self.answers) == 1:
            return []
        lines = [
            f"Answer {number}: {found.line()}, probability at least {found.probability:.2g}; "
            f"{_passage(said, self.prompt_ids(number - 1))}."
            for number, (said, found) in enumerate(
                zip(self.statement.answers[:_SHOWN], self.answers, strict=False), 1
            )
        ]
        left = len(self.answers) - len(lines)
        return lines + ([f"{left} more answers, which --json has too."] if left else [])

    def not_proven(self) -> list[str]:
        """What nobody should read into it, and the owner's words."""
        this, one = (
            ("this answer was", "this one") if len(self.answers) == 1 else ("these answers were", "these")
        )
        lines = [
            f"That {this} ever served, or served by this model: whoever serves another one may prove {one} "
            "afterwards. Ask with prompts that nobody could foresee (huref ask), keep the answers, and demand the "
            "proof of some that you pick later.",
        ]
        if self.unlikely:
            lines.insert(0, UNLIKELY)
        if self.opened:
            lines.insert(0, OPENED)
        if self.closed:
            lines.insert(0, UNREAD)
        if self.all.largest > 0:
            lines.append(
                "That the claimed tokens are the model's own choice: within such a gap there may be several."
            )
        if len(self.answers) > 1:
            return [
                *lines,
                "That the token ids of an answer and its prompt are those of the texts beside them.",
            ]
        said = self.statement.answers[0]
        for name, text in (("prompt", said.prompt), ("answer", said.answer)):
            if text is not None:
                lines.append(
                    f"That the {name}'s token ids are those of the text {quoted(escape(text), _TEXT)}."
                )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        answers = [
            {
                "prompt_ids": self.prompt_ids(number),
                "prompt_tokens": said.first,
                "prompt_digest": said.prompt_digest,
                "answer_ids": said.answer_ids,
                **found.to_dict(),
                "said_by_owner": {"prompt": said.prompt, "answer": said.answer},
            }
            for number, (said, found) in enumerate(zip(self.statement.answers, self.answers, strict=True))
        ]
        return {
            "answers": answers,
            **self.all.to_dict(),
            "bits": round(self.security.bits, 2),
            "proof_bytes": self.size,
            "measured": measured().to_dict(),
        }


def _passage(said: Answer, prompt_ids: list[int] | None) -> str:
    """The answer and its prompt in a line, as texts or as ids."""

    def told(name: str, text: str | None, ids: list[int]) -> str:
        return (
            f"{name} ids {shorten(ids, _TEXT)}" if text is None else f"{name} {quoted(escape(text), _TEXT)}"
        )

    if prompt_ids is None:
        prompt = (
            f"prompt of {counted(said.hidden, 'hidden token', 'hidden tokens')}, digest {said.prompt_digest}"
        )
    else:
        prompt = told("prompt", said.prompt, prompt_ids)
    return f"{prompt}, {told('answer', said.answer, said.answer_ids)}"


def verify_inference(
    files: Mapping[str, bytes],
    commitment: CommitmentFile,
    min_security: int,
    recorder: Recorder | None = None,
) -> InferenceVerdict | None:
    """Check the proof of inference among a bundle's files; None if there is none. `recorder` sees its transcript.

    Raises:
        Rejected: it does not hold. Malformed, Unsupported: it has the wrong form.
    """
    if form.INFERENCE not in files:
        return None
    from huref.verifier.relations.verify import verify_relations

    statement = InferenceStatement.decode(files[form.INFERENCE], form.INFERENCE)
    setup = prepare_inference(statement, commitment)
    proof, hidden = files[form.INFERENCE_PROOF], HiddenPrompts()

    def heard(kind: str, label: str, data: bytes) -> None:
        for listener in (hidden, recorder):
            if listener is not None:
                listener(kind, label, data)

    try:
        report = verify_relations(
            setup, statement.encode(), bytes.fromhex(commitment.root), proof, min_security, heard
        )
    except Rejected as error:
        raise Rejected(
            f"inference.{error.path}", error.reason, expected=error.expected, got=error.got
        ) from None
    unit = inference_program(commitment)[1].logits
    found = tuple(scores(answer, unit) for answer in statement.answers)
    return InferenceVerdict(statement, report, found, len(proof), hidden)


def require_inference(found: InferenceVerdict | None) -> InferenceVerdict:
    """The proof of inference that something is asked of. Raises `Rejected` where there is none."""
    if found is None:
        raise Rejected("expect.inference", "the bundle holds no proof of inference")
    return found


def require_answer(
    found: InferenceVerdict | None,
    max_gap: float | None,
    min_argmax: float | None,
    min_probability: float | None = None,
) -> None:
    """Hold a proof of inference against what the caller asks for: the largest gap, the least share of argmaxes, and the
    least mean probability, of the tokens of all answers.

    Raises:
        Rejected: there is none, or it shows less; names the answer that shows least.
    """
    if max_gap is None and min_argmax is None and min_probability is None:
        return
    found = require_inference(found)
    shown = found.all
    if max_gap is not None and not shown.largest <= max_gap:  # also where it is no number
        raise Rejected(
            "expect.max_gap",
            "a claimed token may be further below the best" + _least(found, lambda own: -own.largest),
            expected=max_gap,
            got=shown.largest,
        )
    if min_probability is not None and not shown.probability >= min_probability:
        raise Rejected(
            "expect.min_probability",
            "the claimed tokens may be less likely" + _least(found, lambda own: own.probability),
            expected=min_probability,
            got=shown.probability,
        )
    share = shown.argmaxes / len(shown.gaps)
    if min_argmax is not None and not share >= min_argmax:
        raise Rejected(
            "expect.min_argmax",
            "fewer tokens are proven argmaxes" + _least(found, lambda own: own.argmaxes / len(own.gaps)),
            expected=min_argmax,
            got=share,
        )


def _least(found: InferenceVerdict, key: Callable[[Scores], float]) -> str:
    """Which of several answers shows least."""
    if len(found.answers) == 1:
        return ""
    number = min(range(len(found.answers)), key=lambda n: key(found.answers[n]))
    return f" (least in answer {number + 1} of {len(found.answers)}: {found.answers[number].line()})"
