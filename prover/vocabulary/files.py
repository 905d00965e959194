"""Tokenizer files of a checkpoint's folder, told by name and by their first bytes.

Read: `tokenizer.json` (Hugging Face), `vocab.txt` (BERT WordPiece), `vocab.json` with `merges.txt` (byte-level BPE),
`tokenizer.model` (SentencePiece, or the format of tiktoken under the same name) and `*.tiktoken`.
"""

from __future__ import annotations

from pathlib import Path

from huref.common.errors import InputOutputError, Malformed
from huref.prover.vocabulary.sentence_piece import read_sentence_piece
from huref.prover.vocabulary.tiktoken import looks_like_ranks, read_ranks
from huref.prover.vocabulary.tokenizer import Vocabulary, read_byte_bpe, read_json, read_word_pieces

SUFFIXES = (".json", ".txt", ".model", ".tiktoken")
LFS_POINTER = b"version https://git-lfs"


def find_tokenizer_file(folder: Path) -> Path | None:
    """The tokenizer file of a folder that this module can read, or None."""
    for name in ("tokenizer.json", "vocab.txt"):
        if (folder / name).is_file():
            return folder / name
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return folder / "vocab.json"
    others = [folder / "tokenizer.model", folder / "spiece.model", *sorted(folder.glob("*.tiktoken"))]
    return next((file for file in others if file.is_file()), None)


def load_tokenizer_file(path: Path) -> Vocabulary:
    """Load one of the files above.

    Raises:
        InputOutputError: the file cannot be read.
        Malformed: it is not a tokenizer of that kind. Unsupported: a kind of SentencePiece model that is not read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
        if head.startswith(LFS_POINTER):
            raise Malformed(f"{path}: a Git LFS pointer, not the file itself", hint="run git lfs pull")
        if path.suffix == ".tiktoken" or (path.suffix == ".model" and looks_like_ranks(head)):
            return read_ranks(path)
        if path.suffix == ".model":
            return read_sentence_piece(path)
        if path.suffix == ".txt":
            return read_word_pieces(path)
        if path.name == "vocab.json":
            return read_byte_bpe(path, path.with_name("merges.txt"))
        return read_json(path)
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise Malformed(f"{path}: not UTF-8 text") from None
