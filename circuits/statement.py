"""The public statement of a proof: what a model id's owner claims about it (protocol §2.2).

The id binds the directory (shape, tokens, sizes, level, owner) and the weights' root. Everything else is pinned by
the profile or by the protocol version and recomputed here. The canonical bytes of the statement are the first thing
that the transcript absorbs, so a proof is about exactly one statement.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, Strict

from huref.circuits.argument.proof import PublicInputs, Setup, prepare
from huref.circuits.commitment import compile_directory, knobs_for, pinned_profile
from huref.circuits.fingerprint.hardened import constants as hardened
from huref.circuits.fingerprint.hardened.vector import picture_vector
from huref.circuits.program.bounds import MAX_SHIFT
from huref.circuits.program.influence import Cap
from huref.circuits.program.program import OUTPUTS, Weight
from huref.circuits.range import NOTHING, range_program
from huref.common.algebra.field import P
from huref.common.errors import Malformed, Rejected
from huref.common.files.commitment_file import CommitmentFile, Directory
from huref.common.files.fingerprint_file import FingerprintFile
from huref.common.files.strict import Hex32, Identifier, StrictModel
from huref.common.text import shorten

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
    shifts: dict[Identifier, Annotated[int, Field(ge=0, le=MAX_SHIFT)]]
    calibration_sums: dict[Identifier, Annotated[tuple[int, int | None], Strict(False)]]
    caps: dict[Identifier, Annotated[tuple[int, int, int, int], Strict(False)]]
    ratios: dict[Identifier, Annotated[tuple[int, int], Strict(False)]]
    challenge: Hex32 | None
    e: Annotated[list[int], Field(min_length=hardened.OUTPUTS, max_length=hardened.OUTPUTS)] | None
    v: Annotated[list[int], Field(min_length=OUTPUTS, max_length=OUTPUTS)]
    generator: Hex32
    notes: Notes

    @property
    def outputs(self) -> list[int]:
        """What the program gives: e, of which v is made, or v itself."""
        return self.v if self.e is None else self.e

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


def fingerprint_id(profile: str, k: int, challenge: str | None, outputs: list[int]) -> str:
    """A short public name of outputs, hex SHA-256; equal names mean equal outputs made in the same way."""
    parts = ["huref/fingerprint/1", profile, str(k), challenge or "", *(str(x) for x in outputs)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def fingerprint_name(said: Statement | FingerprintFile, directory: Directory | FingerprintFile) -> str:
    """`fingerprint_id` of a statement's outputs under its directory; a fingerprint.json is both."""
    outputs = said.v if said.e is None else said.e
    return fingerprint_id(directory.profile, directory.k, said.challenge, outputs)


def prepare_statement(statement: Statement, commitment: CommitmentFile) -> Setup:
    """Recompile the program and derive the whole geometry from statement and commitment alone.

    Raises:
        Malformed, Unsupported: a field is impossible.
        Rejected: the statement is about another model id, or a field is not what follows from the others.
    """
    require_model("statement", statement.model_id, commitment)
    profile = pinned_profile(commitment.directory.profile)
    if (statement.e is None) == profile.whole or (statement.challenge is not None and not profile.whole):
        raise Malformed(f"statement.e: outputs and challenge do not go with profile {profile.name}")
    if statement.e is not None:
        _check_picture_vector(statement.v, statement.e)
    program = compile_directory(commitment.directory, bytes.fromhex(statement.challenge or ""))
    public = PublicInputs(
        statement.shifts,
        statement.calibration_sums,
        statement.outputs,
        {name: Cap(*numbers) for name, numbers in statement.caps.items()},
        statement.ratios,
    )
    return prepare(program, public, knobs_for(commitment.directory))


def _check_picture_vector(v: list[int], e: list[int]) -> None:
    if max(abs(x) for x in e) >= P:
        raise Malformed("statement.e: an output is not below p")
    made = picture_vector(e).tolist()
    if v != made:
        raise Rejected("statement.v", "not what is made of e", expected=shorten(made), got=shorten(v))


def require_model(kind: str, said: str, commitment: CommitmentFile) -> None:
    """Raise `Rejected` unless a statement's model id is that of the commitment beside it."""
    if said != commitment.model_id:
        raise Rejected(
            f"{kind}.model_id",
            "the statement is about another model than commitment.json",
            expected=commitment.model_id,
            got=said,
        )


def needs_range(commitment: CommitmentFile) -> bool:
    """Whether statements on this commitment rely on a range proof of their own kind (protocol §6.8)."""
    return pinned_profile(commitment.directory.profile).whole


def prepare_range(
    commitment: CommitmentFile, committed: Sequence[Weight] | None = None
) -> tuple[RangeStatement, Setup]:
    """The range statement of a commitment, with its geometry; `committed` are the tensors of its directory where
    that has been compiled before.

    Raises:
        Malformed, Unsupported: a field of the directory is impossible. Rejected: one does not follow from the others.
    """
    if committed is None:
        committed = compile_directory(commitment.directory).committed
    setup = prepare(range_program(committed), NOTHING, knobs_for(commitment.directory))
    return RangeStatement(model_id=commitment.model_id), setup
