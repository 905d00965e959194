"""commitment.json: the public side of a commitment to a model's weights (protocol §2.1).

Its directory says what the committed rows mean. The model id hashes directory and root together, so one id has one
meaning; it is what statements, expectations and signatures name. The file proves nothing by itself.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from huref.common.errors import Malformed
from huref.common.files.strict import FileName, Hex32, Hex48, Identifier, StrictModel

FILE_NAME = "commitment.json"
MAX_BYTES = 4 << 20
MAX_TOKENS = 1 << 16
ID_TAG = b"huref/model-id/1"

TokenSource = Literal["word-list", "corpus", "file"]
Piece = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2}){1,1024}$")]
"""A token's bytes in hex."""
Protocol = Literal["huref/proof/1"]


class TokenChoice(StrictModel):
    """The K tokens whose embedding rows are read, and where their order came from.

    `ids` follow from (source, tokenizer, frequencies) by a public rule that an auditor can replay; `pieces` are the
    bytes of these tokens, which the tables of `hardened` are drawn for, null in `paper`.
    """

    source: TokenSource
    tokenizer_digest: Hex32 | None
    frequency_digest: Hex32 | None
    ids: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=MAX_TOKENS)]
    pieces: Annotated[list[Piece], Field(max_length=MAX_TOKENS)] | None

    @property
    def token_bytes(self) -> tuple[bytes, ...]:
        """The bytes of every token; none where the profile reads no bytes."""
        return tuple(bytes.fromhex(piece) for piece in self.pieces or ())


class TensorEntry(StrictModel):
    """One committed tensor: `rows` × `cols` signed `bits`-bit integers from row `start` of the matrix on."""

    name: Identifier
    rows: int
    cols: int
    bits: int
    start: int


class Directory(StrictModel):
    """Everything that gives committed rows a meaning, and the rules for proofs on them.

    `shape` is `ModelShape.to_dict`, `width` w, `random_rows` z (protocol §4); `term_weights` are all 1 where the
    profile has no `meanpool`; `owner` is the public key (hex) that must sign every bundle, or null: nobody may.
    `inference` is `huref.circuits.inference.facts.Facts.to_dict`, or null: the model has no inference program.
    """

    format: Literal["huref-directory/1"] = "huref-directory/1"
    protocol: Protocol = "huref/proof/1"
    profile: Identifier
    shape: dict[str, Any]
    k: Annotated[int, Field(ge=1, le=MAX_TOKENS)]
    p: Annotated[int, Field(ge=1, le=MAX_TOKENS)]
    tokens: TokenChoice
    term_weights: Annotated[list[Annotated[int, Field(ge=0, le=127)]], Field(max_length=16)]
    security: Literal[100, 128]
    proofs: Annotated[int, Field(ge=1, le=1 << 10)]
    random_rows: Annotated[int, Field(ge=1)]
    width: int
    tensors: Annotated[list[TensorEntry], Field(max_length=1 << 14)]
    owner: Hex48 | None
    inference: dict[str, Any] | None


class SourceFile(StrictModel):
    """A checkpoint file that the weights were read from: the owner's note, not proven."""

    name: FileName
    size: Annotated[int, Field(ge=0)]
    sha256: Hex32


class CommitmentFile(StrictModel):
    """The model id, what it hashes, and the owner's note of what the weights were read from."""

    format: Literal["huref-commitment/1"] = "huref-commitment/1"
    model_id: Hex32
    directory: Directory
    root: Hex32
    sources: Annotated[list[SourceFile], Field(max_length=4096)]

    @classmethod
    def of(cls, directory: Directory, root: str, sources: list[SourceFile]) -> CommitmentFile:
        """The file of a commitment with hex `root`."""
        return cls(model_id=model_id(directory, root), directory=directory, root=root, sources=sources)

    @classmethod
    def decode(cls, data: bytes, name: str) -> CommitmentFile:
        """Read canonical JSON bytes. Raises `Malformed`, also where the id is not that of directory and root."""
        found = super().decode(data, name)
        if found.model_id != model_id(found.directory, found.root):
            raise Malformed(f"{name}: model_id: not the id of this directory and root")
        return found

    def digest(self) -> str:
        """Hex SHA-256 of the canonical bytes."""
        return hashlib.sha256(self.encode()).hexdigest()


def model_id(directory: Directory, root: str) -> str:
    """Hex SHA-256(tag padded to 32 ‖ canonical JSON of the directory ‖ root) (protocol §2.1)."""
    return hashlib.sha256(ID_TAG.ljust(32, b"\0") + directory.encode() + bytes.fromhex(root)).hexdigest()
