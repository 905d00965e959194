"""commitment.json: the public side of a commitment to a model's weights. It proves nothing by itself."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field

from huref.common.files.strict import FileName, Hex32, Identifier, StrictModel

FILE_NAME = "commitment.json"
MAX_BYTES = 4 << 20


class TensorEntry(StrictModel):
    """One committed tensor: `rows` × `cols` signed `bits`-bit integers from row `start` of the matrix on."""

    name: Identifier
    rows: int
    cols: int
    bits: int
    start: int


class SourceFile(StrictModel):
    """A checkpoint file that the weights were read from: the owner's note, not proven."""

    name: FileName
    size: Annotated[int, Field(ge=0)]
    sha256: Hex32


class CommitmentFile(StrictModel):
    """Root, parameters, and what they were made from. `width` is w, `random_rows` z (protocol §4)."""

    format: Literal["huref-commitment/1"] = "huref-commitment/1"
    protocol: Literal["huref/proof/1"] = "huref/proof/1"
    profile: Identifier
    shape: dict[str, Any]
    k: int
    p: int
    tokens: dict[str, Any]
    security: int
    proofs: int
    random_rows: int
    width: int
    tensors: Annotated[list[TensorEntry], Field(max_length=256)]
    root: Hex32
    sources: Annotated[list[SourceFile], Field(max_length=4096)]

    def digest(self) -> str:
        """Hex SHA-256 of the canonical bytes."""
        return hashlib.sha256(self.encode()).hexdigest()
