"""The statement of a proof of inference: which tokens follow which, in the committed model (protocol §13.1)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from huref.circuits.commitment import inference_facts, knobs_for
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.claim import ODDS_LIMIT
from huref.circuits.inference.facts import Facts
from huref.circuits.inference.prompt_opening import HIDDEN
from huref.circuits.relations.frame import starts_of
from huref.circuits.statement import FORMAT, PROTOCOL, require_model
from huref.circuits.whole import committed_tensors
from huref.common.errors import Malformed, Rejected, Unsupported, UsageError
from huref.common.files.commitment_file import CommitmentFile
from huref.common.files.strict import Hex32, StrictModel

if TYPE_CHECKING:  # loaded where a bundle has an answer, below: a fingerprint is verified without
    from huref.circuits.inference.relate_head import Claims
    from huref.circuits.relations.setup import RelationSetup

MAX_IDS = 1 << 12
"""Most token ids of all answers."""
MAX_GAP = 1 << 16
"""Largest gap in the unit of the logits."""
MAX_TEXT = 1 << 16
MAX_TURNS = 1 << 27
"""Most entries of the public maps that turn heads, positions · head_dim²: a hostile shape asks for more."""


class Answer(StrictModel):
    """A sequence of token ids, a prompt and the answer behind it, and what is claimed of it.

    Token i of the sequence for i ≥ `first` is claimed to follow those before it, within `gaps[i − first]` of the
    largest logit in the logits' unit; one gap stands for all. `odds` is the sum of Σ_u e^−D over the claims, in
    quarters, where D is how far the logit of token u is below that of the claimed one plus its gap. `prompt` and
    `answer` are the texts as the owner gives them.

    `ids` are those of the whole sequence, or only those from `first` on where the ones before are hidden behind
    `prompt_digest` (huref.circuits.inference.prompt_opening).
    """

    ids: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=MAX_IDS)]
    first: Annotated[int, Field(ge=1, le=MAX_IDS)]
    prompt_digest: Hex32 | None = None
    gaps: Annotated[list[Annotated[int, Field(ge=0, le=MAX_GAP)]], Field(min_length=1, max_length=MAX_IDS)]
    odds: Annotated[int, Field(ge=1, lt=1 << 30)]
    prompt: Annotated[str, Field(max_length=MAX_TEXT)] | None
    answer: Annotated[str, Field(max_length=MAX_TEXT)] | None

    @property
    def hidden(self) -> int:
        """How many ids of the prompt are hidden: all of them or none."""
        return 0 if self.prompt_digest is None else self.first

    @property
    def length(self) -> int:
        """How many tokens the sequence has."""
        return self.hidden + len(self.ids)

    @property
    def prompt_ids(self) -> list[int] | None:
        """The ids before the first claimed one; None where they are hidden."""
        return None if self.hidden else self.ids[: self.first]

    @property
    def answer_ids(self) -> list[int]:
        """The claimed ids."""
        return self.ids[self.first - self.hidden :]

    @property
    def claimed(self) -> int:
        """How many tokens are claimed."""
        return self.length - self.first

    @property
    def every_gap(self) -> list[int]:
        """The gap of every claimed token."""
        return self.gaps * self.claimed if len(self.gaps) == 1 else self.gaps

    def check(self, name: str, vocab: int) -> None:
        """Raises `Malformed` where fields do not go together, or with a vocabulary of so many tokens."""
        if max(self.ids) >= vocab:
            raise Malformed(f"{name}.ids: token ids are below {vocab}")
        if not self.claimed > 0 or len(self.gaps) not in (1, self.claimed):
            raise Malformed(f"{name}: gaps and the first claimed token do not go with the ids")
        if self.odds >= ODDS_LIMIT * self.claimed:
            raise Malformed(f"{name}.odds: more than {self.claimed} tokens can have")
        if self.hidden and self.prompt is not None:
            raise Malformed(f"{name}.prompt: a text beside ids that are hidden")


class InferenceStatement(StrictModel):
    """Everything public about one run but what the model id stands for. Every answer is a sequence of its own: no
    token attends to one of another sequence, and positions begin anew.
    """

    format: Literal["huref-statement/1"] = FORMAT
    protocol: Literal["huref/proof/1"] = PROTOCOL
    kind: Literal["inference"] = "inference"
    model_id: Hex32
    answers: Annotated[list[Answer], Field(min_length=1, max_length=MAX_IDS // 2)]

    @property
    def claimed(self) -> int:
        """How many tokens are claimed in all answers."""
        return sum(answer.claimed for answer in self.answers)

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many tokens of every sequence are run: all but the last."""
        return tuple(answer.length - 1 for answer in self.answers)

    @property
    def run_ids(self) -> list[int]:
        """The token ids that are run, one sequence behind the other; `HIDDEN` where they are hidden."""
        return [i for answer in self.answers for i in ([HIDDEN] * answer.hidden + answer.ids)[:-1]]

    def claims(self) -> Claims:
        """The claims of the run, of answers that were checked."""
        from huref.circuits.inference.relate_head import Claims

        positions: list[int] = []
        for start, answer in zip(starts_of(self.lengths), self.answers, strict=True):
            positions += range(start + answer.first - 1, start + answer.length - 1)
        return Claims(
            tuple(positions),
            tuple(i for answer in self.answers for i in answer.answer_ids),
            tuple(gap for answer in self.answers for gap in answer.every_gap),
            tuple(answer.odds for answer in self.answers),
        )

    def digest(self) -> bytes:
        """SHA-256 of the canonical bytes."""
        return hashlib.sha256(self.encode()).digest()


def inference_program(commitment: CommitmentFile) -> tuple[ModelShape, Facts]:
    """Shape and facts of a commitment's inference program.

    Raises:
        Malformed: a field is impossible. Rejected: the model id has no inference program.
    """
    facts = inference_facts(commitment.directory)
    if facts is None:
        raise Rejected("inference.model_id", "the model id has no inference program")
    return ModelShape.from_dict(commitment.directory.shape), facts


def prepare_inference(statement: InferenceStatement, commitment: CommitmentFile) -> RelationSetup:
    """Recompile program and relations, and derive the whole geometry, from statement and commitment alone.

    The directory itself has been checked before (huref.circuits.commitment.compile_directory).

    Raises:
        Malformed, Unsupported: a field is impossible.
        Rejected: the statement is about another model id, or about one without an inference program.
    """
    from huref.circuits.inference.compile import compile_inference
    from huref.circuits.inference.relations import relate
    from huref.circuits.relations.setup import prepare_relations

    require_model("inference", statement.model_id, commitment)
    shape, facts = inference_program(commitment)
    lengths = statement.lengths
    if sum(lengths) + len(lengths) > MAX_IDS:
        raise Malformed(f"inference.answers: more than {MAX_IDS} token ids in all")
    for number, answer in enumerate(statement.answers):
        answer.check(f"inference.answers.{number}", shape.vocab)
    if max(lengths) * shape.head_dim**2 > MAX_TURNS:
        raise Unsupported(
            f"inference.answers: {max(lengths)} tokens are too many for heads of {shape.head_dim}"
        )
    try:
        program = compile_inference(shape, facts, *lengths)
    except UsageError as error:
        raise Malformed(f"inference: no such program: {error.message}") from None
    relations = relate(program, statement.run_ids, statement.claims(), committed_tensors(shape))
    return prepare_relations(relations, knobs_for(commitment.directory))
