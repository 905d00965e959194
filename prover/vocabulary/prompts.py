"""Challenge prompts drawn from public randomness: `huref ask` (docs/inference.md, "Asking").

A prompt is a fixed beginning and words that nobody could foresee. The words are tokens of the model's own vocabulary,
each a space and lower-case letters, so that text and token ids lead to each other in one way and every word counts as
one token.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from huref.common.errors import UsageError
from huref.common.text import parse_hex, shorten
from huref.prover.vocabulary.tokenizer import Vocabulary

TAG = b"huref/ask/1"
DEFAULT_BEGINNING = "Write a short story with these words:"
DEFAULT_WORDS, MAX_WORDS, MAX_PROMPTS = 8, 1 << 10, 1 << 12
FEWEST = 1 << 10
"""Different words that a vocabulary must have: 10 bits each."""
_WORD = re.compile(rb" [a-z]{3,12}")
_TRIES = 1000


@dataclass(frozen=True)
class Prompt:
    """A prompt as text, and its token ids as the tokenizer gives them without a chat template."""

    text: str
    ids: list[int]


def parse_seed(text: str) -> bytes:
    """The 32 bytes of a seed in hex. Raises `UsageError`."""
    found = parse_hex(text, 64)
    if found is None:
        raise UsageError(
            f"seed: expected 64 hex digits, got {shorten(text)}", hint="any public random 32 bytes"
        )
    return bytes.fromhex(found)


def draw_prompts(
    vocabulary: Vocabulary,
    seed: bytes,
    count: int,
    words: int = DEFAULT_WORDS,
    beginning: str = DEFAULT_BEGINNING,
) -> list[Prompt]:
    """`count` prompts of `beginning` and `words` words each; the same on every machine for one vocabulary and seed.

    Draw t of prompt n takes the u64 words of SHAKE-256(TAG padded to 32 ‖ seed ‖ vocabulary digest ‖ u32 n ‖ u32 t)
    modulo the number of words; the first draw whose text gives its own tokens back counts.

    Raises:
        UsageError: sizes out of range, or a vocabulary with fewer than `FEWEST` words.
    """
    if not (1 <= count <= MAX_PROMPTS and 1 <= words <= MAX_WORDS):
        raise UsageError(f"choose 1 to {MAX_PROMPTS} prompts of 1 to {MAX_WORDS} words")
    known = [piece.decode() for piece in vocabulary.pieces if _WORD.fullmatch(piece)]
    if len(known) < FEWEST:
        raise UsageError(f"the tokenizer has {len(known)} tokens that are words, {FEWEST} are needed")
    prefix = TAG.ljust(32, b"\0") + seed + bytes.fromhex(vocabulary.digest)
    return [
        _draw(vocabulary.tokenizer, known, prefix + n.to_bytes(4, "little"), words, beginning)
        for n in range(count)
    ]


def _draw(tokenizer: Tokenizer, known: list[str], prefix: bytes, words: int, beginning: str) -> Prompt:
    begun = tokenizer.encode(beginning).ids
    for attempt in range(_TRIES):
        stream = hashlib.shake_256(prefix + attempt.to_bytes(4, "little")).digest(8 * words)
        places = np.frombuffer(stream, "<u8") % np.uint64(len(known))
        text = (beginning + "".join(known[i] for i in places.tolist())).lstrip(" ")
        ids = tokenizer.encode(text).ids
        if len(ids) == len(begun) + words and ids[: len(begun)] == begun:
            return Prompt(text, ids)
    raise UsageError(f"no text of {words} words gives its own tokens back with this tokenizer")
