"""How often each token of a vocabulary occurs, from a pinned word list or from a text corpus.

The word list is `wordfreq`'s large English one, words in bands one centibel apart (a factor 10^0.01), down to
those that occur once in three million words; the others are five sixths of it and 1.5 % of a text. Every
word is encoded once as it stands inside a sentence, after a space, in lower case and once more with a capital, and
its pieces are credited with the word's frequency as an exact integer. So the counts, and with them the order of the
tokens, are the same on every machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from huref.common.errors import InputOutputError, Malformed

LANGUAGE = "en"
WORD_LIST = "large"
_RAREST_BAND = 650
# Frequencies in units of 10^-12, so that the rarest band (10^-6.5) still has six digits.
_UNIT = 10**12
_WORDS_PER_LINE = 64
# Every line starts with the commonest word, so that all others stand after a space.
_LINE_START = "the "
# About one English word in eight is capitalised.
_LOWER_WEIGHT, _CAPITAL_WEIGHT = 7, 1
_CORPUS_LINE_CHARS = 1 << 16
_CORPUS_BATCH_CHARS = 1 << 20


def word_list_counts(tokenizer: Tokenizer, vocab_size: int) -> NDArray[np.int64]:
    """Weighted token counts, shape (vocab_size,), over the pinned word list."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    lines: list[str] = []
    weights: list[int] = []
    for band, words in enumerate(_bands()):
        weight = round(_UNIT * 10 ** (-band / 100))
        for start in range(0, len(words), _WORDS_PER_LINE):
            chunk = words[start : start + _WORDS_PER_LINE]
            lines.append(_LINE_START + " ".join(chunk))
            lines.append(_LINE_START + " ".join(word[:1].upper() + word[1:] for word in chunk))
            weights += [_LOWER_WEIGHT * weight, _CAPITAL_WEIGHT * weight]
    _add_counts(counts, tokenizer, lines, np.array(weights, dtype=np.int64))
    return counts


def corpus_counts(tokenizer: Tokenizer, vocab_size: int, corpus: Path) -> NDArray[np.int64]:
    """Token counts, shape (vocab_size,), over a UTF-8 text file, read in pieces.

    Raises:
        InputOutputError: the file cannot be read.
        Malformed: it is not UTF-8 or holds no text.
    """
    counts = np.zeros(vocab_size, dtype=np.int64)
    for lines in _corpus_batches(corpus):
        _add_counts(counts, tokenizer, lines, np.ones(len(lines), dtype=np.int64))
    if not counts.any():
        raise Malformed(f"{corpus}: no text to count tokens in")
    return counts


def frequency_list_digest(corpus: Path | None = None) -> str:
    """Hex sha256 of what the frequencies come from: the pinned word list, or the bytes of `corpus`."""
    if corpus is None:
        digest = hashlib.sha256(b"huref/word-list/v2\0")
        for band, words in enumerate(_bands()):
            digest.update(f"{band}\t{' '.join(words)}\n".encode())
        return digest.hexdigest()
    digest = hashlib.sha256(b"huref/corpus/v1\0")
    try:
        with corpus.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputOutputError(f"{corpus}: {error.strerror or error}") from None
    return digest.hexdigest()


def _bands() -> list[list[str]]:
    """Words per band; band b holds those of frequency 10^(-b/100)."""
    from wordfreq import get_frequency_list

    return get_frequency_list(LANGUAGE, WORD_LIST)[: _RAREST_BAND + 1]


def _add_counts(
    counts: NDArray[np.int64], tokenizer: Tokenizer, lines: list[str], weights: NDArray[np.int64]
) -> None:
    """Add each line's weight to the count of every token in it."""
    encoded = [line.ids for line in tokenizer.encode_batch_fast(lines, add_special_tokens=False)]
    lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
    ids = np.fromiter(chain.from_iterable(encoded), dtype=np.int64, count=int(lengths.sum()))
    np.add.at(counts, ids, np.repeat(weights, lengths))


def _corpus_batches(corpus: Path) -> Iterator[list[str]]:
    try:
        with corpus.open(encoding="utf-8") as file:
            batch: list[str] = []
            size = 0
            while line := file.readline(_CORPUS_LINE_CHARS):
                batch.append(line.rstrip("\n"))
                size += len(line)
                if size >= _CORPUS_BATCH_CHARS:
                    yield batch
                    batch, size = [], 0
            if batch:
                yield batch
    except OSError as error:
        raise InputOutputError(f"{corpus}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise Malformed(f"{corpus}: not UTF-8 text") from None
