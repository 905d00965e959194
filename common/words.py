"""Six words for people to read aloud and compare: 66 bits of a digest.

A bundle's words stand for its exact vector under its model id, so they are equal only where both are. A vector that is
shown without a model id, from a bare fingerprint.json or a checkpoint, has other words, and a label that says so.
The list is huref's own: 2048 short common English words in alphabetical order, pinned by its sha256. Six words tell
one vector from another by eye; where somebody may search for a collision, compare the whole name.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources

from huref.common.errors import Malformed

LIST_SHA256 = "44c2c6149c2b11aeb256b6064af6bc81349dd30a553bf8ed15a65901baec5ccc"
WORDS = 6
ALONE = "words of the vector alone"
"""What words are called where no model id goes with the vector."""
_BITS = 11
_NAME = re.compile(r"[0-9a-f]{64}\Z")


def word_fingerprint(fingerprint: str, model_id: str | None) -> str:
    """Six words for a vector (by its public name, hex), under a model id or alone (protocol §10)."""
    lines = ("huref/words/1", "vector" if model_id is None else model_id, fingerprint)
    return six_words(hashlib.sha256("\n".join(lines).encode()).hexdigest())


def six_words(name: str) -> str:
    """Six words for 64 hex digits: their first 66 bits, eleven a word, highest first.

    Raises Malformed for another name, or when the installed list is not the pinned one.
    """
    if not _NAME.match(name):
        raise Malformed("words: not 64 lowercase hexadecimal digits")
    bits = int(name, 16) >> (256 - _BITS * WORDS)
    chosen = [bits >> (_BITS * index) & (1 << _BITS) - 1 for index in reversed(range(WORDS))]
    return " ".join(word_list()[index] for index in chosen)


@cache
def word_list() -> tuple[str, ...]:
    """The 2048 words."""
    data = (resources.files("huref.common") / "data" / "words.txt").read_bytes()
    if hashlib.sha256(data).hexdigest() != LIST_SHA256:
        raise Malformed("words.txt: not the pinned list", hint="install huref again")
    return tuple(data.decode().split())
