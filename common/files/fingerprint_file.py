"""fingerprint.json: the fingerprint of one checkpoint, before any proof. Strict: unknown keys are errors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from huref.common.errors import InputOutputError, Malformed

SCHEMA: Literal["huref-fingerprint/1"] = "huref-fingerprint/1"
FILE_NAME = "fingerprint.json"
_MAX_BYTES = 64 << 20


class FidelityReport(BaseModel):
    """Cosine of the integer results with floating point, of v (null with cnn) and per term."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    v: float | None
    terms: dict[str, float]


class FingerprintFile(BaseModel):
    """Public facts of a fingerprint; the statement of a proof repeats them (protocol §2).

    `token_ids` are the K ids whose embedding rows were read, most frequent first; `term_weights` are all 1
    except with meanpool; `calibration_sums` holds (L_s, L_{s−1}) per site, null at s = 0; `shape` is
    `ModelShape.to_dict`; `timings` are seconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal["huref-fingerprint/1"]
    profile: str = Field(max_length=64)
    encoder: str = Field(max_length=64)
    k: int = Field(ge=1)
    p: int = Field(ge=1)
    shape: dict[str, Any]
    token_source: str = Field(max_length=64)
    tokenizer_digest: str | None
    frequency_digest: str | None
    token_ids: list[int]
    term_weights: list[int]
    shifts: dict[str, int]
    calibration_sums: dict[str, list[int | None]]
    v: list[int] = Field(min_length=512, max_length=512)
    fidelity: FidelityReport
    timings: dict[str, float]


def read_fingerprint(path: Path) -> FingerprintFile:
    """Read fingerprint.json, or the one inside a folder.

    Raises:
        InputOutputError: the file cannot be read.
        Malformed: it is not a fingerprint file.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        size = file.stat().st_size
        content = file.read_bytes() if size <= _MAX_BYTES else b""
    except OSError as error:
        raise InputOutputError(f"{file}: {error.strerror or error}") from None
    try:
        return FingerprintFile.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        raise Malformed(f"{file}: not a fingerprint file ({where}: {first['msg']})") from None


def write_fingerprint(folder: Path, fingerprint: FingerprintFile) -> Path:
    """Write folder/fingerprint.json, complete or not at all; the folder is made if needed.

    Raises:
        InputOutputError: it cannot be written.
    """
    file = folder / FILE_NAME
    temporary = folder / f".{FILE_NAME}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(fingerprint.model_dump_json() + "\n", encoding="utf-8")
        temporary.replace(file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputOutputError(f"{file}: {error.strerror or error}") from None
    return file
