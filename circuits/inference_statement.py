"""The statement of a proof of inference: which tokens follow which, in the committed model (protocol §13.1)."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import Field

from huref.circuits.commitment import inference_facts, knobs_for
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.claim import ODDS_LIMIT
from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference.facts import Facts
from huref.circuits.inference.relate_head import Claims
from huref.circuits.inference.relations import relate
from huref.circuits.relations.setup import RelationSetup, prepare_relations
from huref.circuits.statement import FORMAT, PROTOCOL, require_model
from huref.circuits.whole import committed_tensors
from huref.common.errors import Malformed, Rejected, Unsupported, UsageError
from huref.common.files.commitment_file import CommitmentFile
from huref.common.files.strict import Hex32, StrictModel

MAX_IDS = 1 << 12
MAX_GAP = 1 << 16
"""Largest gap in the unit of the logits."""
MAX_TEXT = 1 << 16
MAX_TURNS = 1 << 27
"""Most entries of the public maps that turn heads, tokens · head_dim²: a hostile shape asks for more."""


class InferenceStatement(StrictModel):
    """Everything public about one run but what the model id stands for.

    Token `ids[i]` for i ≥ `first` is claimed to follow those before it, within `gaps[i − first]` of the largest logit
    in the logits' unit; one gap stands for all. `odds` is the sum of Σ_u e^−D over the claims, in quarters, where D is
    how far the logit of token u is below that of the claimed one plus its gap. `prompt` and `answer` are the texts as
    the owner gives them.
    """

    format: Literal["huref-statement/1"] = FORMAT
    protocol: Literal["huref/proof/1"] = PROTOCOL
    kind: Literal["inference"] = "inference"
    model_id: Hex32
    ids: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2, max_length=MAX_IDS)]
    first: Annotated[int, Field(ge=1)]
    gaps: Annotated[list[Annotated[int, Field(ge=0, le=MAX_GAP)]], Field(min_length=1, max_length=MAX_IDS)]
    odds: Annotated[int, Field(ge=1, lt=1 << 30)]
    prompt: Annotated[str, Field(max_length=MAX_TEXT)] | None
    answer: Annotated[str, Field(max_length=MAX_TEXT)] | None

    @property
    def claimed(self) -> int:
        """How many tokens are claimed."""
        return len(self.ids) - self.first

    def claims(self) -> Claims:
        """The claims of the run on all ids but the last. Raises `Malformed`."""
        if not self.claimed > 0 or len(self.gaps) not in (1, self.claimed):
            raise Malformed("inference: gaps and the first claimed token do not go with the ids")
        if self.odds >= ODDS_LIMIT * self.claimed:
            raise Malformed(f"inference.odds: more than {self.claimed} tokens can have")
        gaps = self.gaps * self.claimed if len(self.gaps) == 1 else self.gaps
        positions = range(self.first - 1, len(self.ids) - 1)
        return Claims(tuple(positions), tuple(self.ids[self.first :]), tuple(gaps), self.odds)

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
    require_model("inference", statement.model_id, commitment)
    shape, facts = inference_program(commitment)
    if max(statement.ids) >= shape.vocab:
        raise Malformed(f"inference.ids: token ids are below {shape.vocab}")
    claims, ids = statement.claims(), statement.ids[:-1]
    if len(ids) * shape.head_dim**2 > MAX_TURNS:
        raise Unsupported(f"inference.ids: {len(ids)} tokens are too many for heads of {shape.head_dim}")
    try:
        program = compile_inference(shape, facts, len(ids))
    except UsageError as error:
        raise Malformed(f"inference: no such program: {error.message}") from None
    relations = relate(program, ids, claims, committed_tensors(shape))
    return prepare_relations(relations, knobs_for(commitment.directory))
