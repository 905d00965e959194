"""The public statement of a proof: what a model id's owner claims about it (protocol §2.2).

The id binds the directory (shape, tokens, sizes, level, owner) and the weights' root. Everything else is pinned by
the profile or by the protocol version and recomputed here. The canonical bytes of the statement are the first thing
that the transcript absorbs, so a proof is about exactly one statement.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import Field, Strict

from huref.circuits.argument.proof import PublicInputs, Setup, prepare
from huref.circuits.commitment import compile_directory, knobs_for, pinned_profile
from huref.circuits.program.bounds import MAX_SHIFT
from huref.circuits.program.program import OUTPUTS
from huref.circuits.range import NOTHING, range_program
from huref.common.errors import Malformed, Rejected
from huref.common.files.commitment_file import CommitmentFile
from huref.common.files.strict import Hex32, Identifier, StrictModel

FORMAT: Literal["huref-statement/1"] = "huref-statement/1"
PROTOCOL: Literal["huref/proof/1"] = "huref/proof/1"


class Notes(StrictModel):
    """SHA-256 of the bundle's two descriptive files, so that a proof cannot be given other ones."""

    commitment: Hex32
    fingerprint: Hex32


class Statement(StrictModel):
    """Everything public about one proof but what the model id stands for; see the module docstring."""

    format: Literal["huref-statement/1"]
    protocol: Literal["huref/proof/1"]
    kind: Literal["fingerprint"]
    model_id: Hex32
    encoder: Identifier
    shifts: dict[Identifier, Annotated[int, Field(ge=0, le=MAX_SHIFT)]]
    calibration_sums: dict[Identifier, Annotated[tuple[int, int | None], Strict(False)]]
    v: Annotated[list[int], Field(min_length=OUTPUTS, max_length=OUTPUTS)]
    generator: Hex32
    notes: Notes

    def digest(self) -> bytes:
        """SHA-256 of the canonical bytes."""
        return hashlib.sha256(self.encode()).digest()


class RangeStatement(StrictModel):
    """That all entries under a model id's root are bytes; everything public about such a proof."""

    format: Literal["huref-statement/1"] = FORMAT
    protocol: Literal["huref/proof/1"] = PROTOCOL
    kind: Literal["range"] = "range"
    model_id: Hex32

    def digest(self) -> bytes:
        """SHA-256 of the canonical bytes."""
        return hashlib.sha256(self.encode()).digest()


def fingerprint_id(profile: str, encoder: str, k: int, v: list[int]) -> str:
    """A short public name of a vector, hex SHA-256; equal names mean equal vectors made in the same way."""
    parts = ["huref/fingerprint/1", profile, encoder, str(k), *(str(x) for x in v)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def prepare_statement(statement: Statement, commitment: CommitmentFile) -> Setup:
    """Recompile the program and derive the whole geometry from statement and commitment alone.

    Raises:
        Malformed, Unsupported: a field is impossible.
        Rejected: the statement is about another model id, or a field is not what follows from the others.
    """
    if statement.model_id != commitment.model_id:
        raise Rejected(
            "statement.model_id",
            "the statement is about another model than commitment.json",
            expected=commitment.model_id,
            got=statement.model_id,
        )
    if statement.encoder not in pinned_profile(commitment.directory.profile).encoders:
        raise Malformed(f"statement.encoder: profile {commitment.directory.profile} has no such encoder")
    program = compile_directory(commitment.directory, statement.encoder)
    public = PublicInputs(statement.shifts, statement.calibration_sums, statement.v)
    return prepare(program, public, knobs_for(commitment.directory))


def needs_range(commitment: CommitmentFile) -> bool:
    """Whether statements on this commitment rely on a range proof of their own kind (protocol §6.8)."""
    return pinned_profile(commitment.directory.profile).whole


def prepare_range(commitment: CommitmentFile) -> tuple[RangeStatement, Setup]:
    """The range statement of a commitment, with its geometry.

    Raises:
        Malformed, Unsupported: a field of the directory is impossible. Rejected: one does not follow from the others.
    """
    committed = compile_directory(commitment.directory).committed
    setup = prepare(range_program(committed), NOTHING, knobs_for(commitment.directory))
    return RangeStatement(model_id=commitment.model_id), setup
