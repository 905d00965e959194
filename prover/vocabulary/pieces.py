"""The bytes that a token stands for in running text, whatever notation its vocabulary uses.

Byte-level BPE writes every byte as one printable character, SentencePiece a space as "▁" and single bytes as <0x0A>,
WordPiece marks continuations by "##" and leaves the space before a word out. What two vocabularies have in common is
seen only in the bytes, and a fingerprint's tables are drawn from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from tokenizers import Tokenizer, models

Reader = Callable[[str], bytes]
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE = "▁"
_PREFIX = "##"


@cache
def byte_letters() -> dict[str, int]:
    """Byte of every character that GPT-2's byte-level BPE writes it as."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(256 + i): byte for i, byte in enumerate(others)}


def byte_level(token: str) -> bytes:
    """A token of byte-level BPE; one with other characters is added text."""
    of_letters, table = _letter_table()
    return token.translate(table).encode("latin-1") if of_letters.fullmatch(token) else token.encode()


@cache
def _letter_table() -> tuple[re.Pattern[str], dict[int, int]]:
    """What matches tokens of such characters only, and what turns these into characters of their bytes' numbers."""
    letters = byte_letters()
    return re.compile(f"[{re.escape(''.join(letters))}]*"), {ord(x): byte for x, byte in letters.items()}


def sentence_piece(token: str) -> bytes:
    """A token of SentencePiece."""
    byte = _BYTE.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace(_SPACE, " ").encode()


def word_piece(token: str) -> bytes:
    """A token of WordPiece: a word's start stands after a space."""
    return token.removeprefix(_PREFIX).encode() if token.startswith(_PREFIX) else f" {token}".encode()


def reader_of(tokenizer: Tokenizer) -> Reader:
    """How this tokenizer's tokens are read, from its own description: without its vocabulary, which is long."""
    if isinstance(tokenizer.model, models.WordPiece):
        return word_piece
    parts = [part.__getstate__() for part in (tokenizer.pre_tokenizer, tokenizer.decoder) if part]  # JSON
    return byte_level if any(b'"ByteLevel"' in part for part in parts) else sentence_piece
