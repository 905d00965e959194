"""`*.tiktoken`: one token a line, its bytes in base64 and its rank, which is its id. Merges follow from the ranks."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

from huref.common.errors import Malformed
from huref.prover.vocabulary.pieces import byte_letters
from huref.prover.vocabulary.tokenizer import Vocabulary, byte_bpe, finish

_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+\n")


def looks_like_ranks(head: bytes) -> bool:
    """Whether a file that starts like this has that format."""
    return _LINE.match(head) is not None


def read_ranks(path: Path) -> Vocabulary:
    """Text is split as GPT-2 does; the file does not say how its own model splits it. Raises `Malformed`."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        token, _, rank = line.partition(b" ")
        try:
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (binascii.Error, ValueError):
            raise Malformed(f"{path}: line {number} is not a token and its rank") from None
    if len(set(ranks.values())) != len(ranks):
        raise Malformed(f"{path}: two tokens of one rank")
    letter = {byte: char for char, byte in byte_letters().items()}
    text = {token: "".join(letter[byte] for byte in token) for token in ranks}
    merges = [
        f"{text[token[:cut]]} {text[token[cut:]]}"
        for token in sorted(ranks, key=ranks.__getitem__)
        for cut in _cuts(token, ranks)
    ]
    return finish(byte_bpe({text[token]: rank for token, rank in ranks.items()}, merges))


def _cuts(token: bytes, ranks: dict[bytes, int]) -> list[int]:
    """Where a token is the union of two, the pair that merges first in front."""
    cuts = [cut for cut in range(1, len(token)) if token[:cut] in ranks and token[cut:] in ranks]
    return sorted(cuts, key=lambda cut: (ranks[token[:cut]], ranks[token[cut:]]))
