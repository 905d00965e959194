"""fingerprint.json: the fingerprint of one checkpoint, before any proof. Strict: unknown keys are errors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from huref.common.errors import InputOutputError, Malformed
from huref.common.files.atomic import write_file
from huref.common.files.canonical import parse_json
from huref.common.files.capped import read_capped
from huref.common.files.commitment_file import Piece
from huref.common.files.strict import Hex32, Identifier, StrictModel

SCHEMA: Literal["huref-fingerprint/1"] = "huref-fingerprint/1"
FILE_NAME = "fingerprint.json"
MAX_BYTES = 8 << 20
_Entry = Annotated[int, Field(gt=-(1 << 61), lt=1 << 61)]
"""An entry of v; none can be larger, since the proofs' field has about 2^61 elements."""
_Id = Annotated[int, Field(ge=0, lt=1 << 32)]


class FidelityReport(StrictModel):
    """Cosine of the integer results with floating point, of v and per term; null and empty where not measured."""

    v: float | None
    terms: dict[Identifier, float]


class FingerprintFile(StrictModel):
    """Public facts of a fingerprint; the statement of a proof repeats them (protocol §2).

    `token_ids` are the K ids whose embedding rows were read, most frequent first, `token_pieces` their bytes in hex;
    `term_weights` are all 1 but in `paper`; `calibration_sums` holds (L_s, L_{s−1}) per site, null at s = 0; `caps` the
    octave and the three counts of every row of multipliers, `ratios` the two sums of each; `e` the outputs of
    `hardened`, of which `v` is made, null in `paper`; `shape` is `ModelShape.to_dict`; `timings` are seconds.
    """

    schema_version: Literal["huref-fingerprint/1"]
    profile: Identifier
    k: Annotated[int, Field(ge=1)]
    p: Annotated[int, Field(ge=1)]
    shape: dict[str, Any]
    token_source: Identifier
    tokenizer_digest: Hex32 | None
    frequency_digest: Hex32 | None
    token_ids: list[_Id]
    token_pieces: list[Piece] | None
    term_weights: list[int]
    challenge: Hex32 | None
    shifts: dict[Identifier, int]
    calibration_sums: dict[Identifier, list[int | None]]
    caps: dict[Identifier, list[int]]
    ratios: dict[Identifier, list[int]]
    e: Annotated[list[_Entry], Field(min_length=4096, max_length=4096)] | None
    v: Annotated[list[_Entry], Field(min_length=512, max_length=512)]
    fidelity: FidelityReport
    timings: dict[Identifier, float]

    def encode(self) -> bytes:
        """Its JSON in the order of the fields above; like every file of ours it holds no newline."""
        return self.model_dump_json().encode("ascii")


def parse_fingerprint(data: bytes, name: str) -> FingerprintFile:
    """Read the bytes of fingerprint.json, in any spelling of JSON. Raises `Malformed`; `name` is the file's."""
    try:
        return FingerprintFile.read(parse_json(data, ""), "")
    except Malformed as error:
        raise Malformed(f"{name}: not a fingerprint file ({error.message.lstrip('.: ')})") from None


def read_fingerprint(path: Path) -> FingerprintFile:
    """Read fingerprint.json, or the one inside a folder. Nothing proves what it says.

    Raises:
        InputOutputError: the file cannot be read.
        Malformed: it is not a fingerprint file.
    """
    file = path / FILE_NAME if os.path.isdir(path) else path
    return parse_fingerprint(read_capped(file, MAX_BYTES), str(file))


def write_fingerprint(folder: Path, fingerprint: FingerprintFile) -> Path:
    """Write folder/fingerprint.json, complete or not at all; the folder is made if needed.

    Raises:
        InputOutputError: it cannot be written.
    """
    file = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_file(file, fingerprint.encode())
    except OSError as error:
        raise InputOutputError(f"{file}: {error.strerror or error}") from None
    return file
