"""The public statement of a proof: all that a verifier needs to recompile it (protocol §2).

Facts about the model (shape, tokens, root, shifts, v) vary freely; everything else is pinned by the profile
or by the protocol version and recomputed here. The canonical bytes of the statement are the first thing that
the transcript absorbs, so a proof is about exactly one statement.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field, Strict

from huref.circuits.argument.proof import PublicInputs, Setup, prepare, weights_geometry
from huref.circuits.fingerprint.compile import EQUAL_TERM_WEIGHTS, compile_program
from huref.circuits.fingerprint.encoder import MAX_TERM_WEIGHT
from huref.circuits.fingerprint.profiles import PROFILES, Profile
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.fingerprint.sizes import choose_sizes
from huref.circuits.program.bounds import MAX_SHIFT
from huref.circuits.program.program import OUTPUTS, Program
from huref.common.errors import Malformed, Rejected, Unsupported, UsageError
from huref.common.files.strict import Hex32, Identifier, StrictModel
from huref.common.params import Knobs

FORMAT: Literal["huref-statement/1"] = "huref-statement/1"
PROTOCOL: Literal["huref/proof/1"] = "huref/proof/1"
MAX_TOKENS = 1 << 16
MAX_COMMITTED = 1 << 32
MAX_ACTIVATION = 1 << 28
MAX_PROOFS = 1 << 10
"""Caps on what a hostile statement can make a verifier compute; all far above any model in use."""

TokenSource = Literal["word-list", "corpus", "file", "id-order"]


class TokenChoice(StrictModel):
    """The K tokens whose embedding rows are read, and where their order came from.

    `ids` follow from (source, tokenizer, frequencies) by a public rule that an auditor can replay.
    """

    source: TokenSource
    tokenizer_digest: Hex32 | None
    frequency_digest: Hex32 | None
    ids: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=MAX_TOKENS)]


class Notes(StrictModel):
    """SHA-256 of the bundle's two descriptive files, so that a proof cannot be given other ones."""

    commitment: Hex32
    fingerprint: Hex32


class Statement(StrictModel):
    """Everything public about one proof; see the module docstring. `shape` is `ModelShape.to_dict`."""

    format: Literal["huref-statement/1"]
    protocol: Literal["huref/proof/1"]
    profile: Identifier
    encoder: Identifier
    shape: dict[str, Any]
    k: Annotated[int, Field(ge=1, le=MAX_TOKENS)]
    p: Annotated[int, Field(ge=1, le=MAX_TOKENS)]
    tokens: TokenChoice
    term_weights: Annotated[list[Annotated[int, Field(ge=0, le=MAX_TERM_WEIGHT)]], Field(max_length=16)]
    security: Literal[100, 128]
    proofs: Annotated[int, Field(ge=1, le=MAX_PROOFS)]
    random_rows: Annotated[int, Field(ge=1)]
    root: Hex32
    shifts: dict[Identifier, Annotated[int, Field(ge=0, le=MAX_SHIFT)]]
    calibration_sums: dict[Identifier, Annotated[tuple[int, int | None], Strict(False)]]
    v: Annotated[list[int], Field(min_length=OUTPUTS, max_length=OUTPUTS)]
    generator: Hex32
    notes: Notes

    def digest(self) -> bytes:
        """SHA-256 of the canonical bytes."""
        return hashlib.sha256(self.encode()).digest()

    def fingerprint_id(self) -> str:
        """`fingerprint_id` of this statement's vector."""
        return fingerprint_id(self.profile, self.encoder, self.k, self.v)


def fingerprint_id(profile: str, encoder: str, k: int, v: list[int]) -> str:
    """A short public name of a vector, hex SHA-256; equal names mean equal vectors made in the same way."""
    parts = ["huref/fingerprint/1", profile, encoder, str(k), *(str(x) for x in v)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def knobs_for(security: int, proofs: int) -> Knobs:
    """The protocol's knobs at a security level; grinding and code rate are pinned by the protocol version."""
    return Knobs(security=security, proofs=proofs)


def pinned_profile(name: str) -> Profile:
    """The profile of exactly this name. Raises `Unsupported`."""
    if name not in PROFILES:
        raise Unsupported(f"statement.profile: {name!r} is not known to this version", hint="update huref")
    return PROFILES[name]


def check_sizes(k: int, p: int) -> None:
    """Require that P is the one that the profile pins for K. Raises `Malformed`."""
    try:
        allowed = choose_sizes(k, k)
    except UsageError as error:
        raise Malformed(f"statement.k: {error.message}") from None
    if (k, p) != allowed:
        raise Malformed(f"statement.p: {k} tokens are pooled into {allowed[1]} blocks, not {p}")


def compile_statement(statement: Statement) -> Program:
    """The program that the statement is about, after checking everything the profile pins.

    Raises:
        Malformed, Unsupported: the path of the field that is impossible or unknown.
    """
    profile = pinned_profile(statement.profile)
    shape = ModelShape.from_dict(statement.shape)
    check_sizes(statement.k, statement.p)
    tokens = statement.tokens
    if len(tokens.ids) != statement.k or len(set(tokens.ids)) != statement.k:
        raise Malformed(f"statement.tokens.ids: {statement.k} different ids are needed")
    if max(tokens.ids) >= shape.vocab:
        raise Malformed(f"statement.tokens.ids: an id is outside the vocabulary of {shape.vocab}")
    _check_token_source(tokens)
    weights = tuple(statement.term_weights)
    if len(weights) != len(EQUAL_TERM_WEIGHTS):
        raise Malformed(f"statement.term_weights: {len(EQUAL_TERM_WEIGHTS)} integers are needed")
    try:
        program = compile_program(shape, profile, statement.encoder, statement.k, statement.p, weights)
    except UsageError as error:
        raise Malformed(f"statement: no such program: {error.message}") from None
    check_resources(program)
    return program


def check_resources(program: Program) -> None:
    """Refuse programs that would exhaust a verifier's memory. Raises `Unsupported`."""
    committed = sum(weight.rows * weight.cols for weight in program.weights)
    widest = max(site.rows * site.cols for site in program.sites)
    if committed > MAX_COMMITTED or widest > MAX_ACTIVATION:
        raise Unsupported(f"statement.shape: a model with {committed} committed weights is too large")


def _check_token_source(tokens: TokenChoice) -> None:
    """Digests are there exactly where the source has them."""
    wanted = {
        "word-list": (True, True),
        "corpus": (True, True),
        "file": (False, False),
        "id-order": (False, False),
    }[tokens.source]
    got = (tokens.tokenizer_digest is not None, tokens.frequency_digest is not None)
    if wanted != got:
        raise Malformed(f"statement.tokens: source {tokens.source} goes with other digests")


def prepare_statement(statement: Statement) -> Setup:
    """Recompile the program and derive the whole geometry from the statement alone.

    Raises:
        Malformed, Unsupported: a field is impossible.
        Rejected: `random_rows` is not what the shape and the knobs demand.
    """
    program = compile_statement(statement)
    knobs = knobs_for(statement.security, statement.proofs)
    rows = weights_geometry(program, knobs).code.random
    if statement.random_rows != rows:
        raise Rejected(
            "statement.random_rows",
            "another number of random rows follows from the shape",
            expected=rows,
            got=statement.random_rows,
        )
    public = PublicInputs(statement.shifts, statement.calibration_sums, statement.v)
    return prepare(program, public, knobs)
