"""A model's own tokenizer as a `Vocabulary`: ready to count token frequencies with, and with the bytes of its tokens.

Nothing is downloaded and no code of the checkpoint runs. files.py says which files are read.

Ordinary tokens are those whose embedding was trained on text: special and added tokens are out, and so
are the `[unused12]`-like placeholders that some vocabularies reserve.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from huref.common.errors import Malformed
from huref.prover.vocabulary.pieces import reader_of

_NAMES = "unused|unused_token|reserved|reserved_special_token|reserved_token|control|special|extra|extra_id|extra_token"
_NAMES += "|placeholder|dummy|pad|madeupword"
_PLACEHOLDER = re.compile(rf"^(\[|<\|?)({_NAMES})[-_:]?\d+(\]|\|?>)$|^<\|?reserved[^>]*>$", re.IGNORECASE)
_BPE_SPECIAL = re.compile(r"^(<\|[^|]*\|>|</?s>|<pad>|<unk>|<mask>)$")
_BERT_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class Vocabulary:
    """A loaded tokenizer.

    Attributes:
        tokenizer: encodes text to ids; truncation and padding are off.
        vocab_size: one more than the largest id.
        ordinary: ids of ordinary tokens, ascending, int64.
        pieces: the bytes of each of them (pieces.py).
        digest: hex sha256 of the ordinary ids and their bytes (see `vocabulary_digest`).
    """

    tokenizer: Tokenizer
    vocab_size: int
    ordinary: NDArray[np.int64]
    pieces: tuple[bytes, ...]
    digest: str


def vocabulary_digest(ids: NDArray[np.int64], pieces: Sequence[bytes]) -> str:
    """Hex sha256 of ids and bytes: per token both the id and the length as little-endian u32, and the bytes.

    The same vocabulary saved by another program, with merges in another notation or in another file format, has the
    same digest.
    """
    digest = hashlib.sha256(b"huref/vocabulary/1\0")
    for i, piece in zip(ids.tolist(), pieces, strict=True):
        digest.update(struct.pack("<II", i, len(piece)) + piece)
    return digest.hexdigest()


def finish(tokenizer: Tokenizer, excluded: set[int] | None = None) -> Vocabulary:
    """Turn a `tokenizers` object into a `Vocabulary`; `excluded` ids are not ordinary."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokens = tokenizer.get_vocab(with_added_tokens=True)
    if not tokens:
        raise Malformed("the tokenizer has an empty vocabulary")
    out = set(tokenizer.get_added_tokens_decoder()) | (excluded or set())
    ordinary = {i: token for token, i in tokens.items() if i not in out and not _PLACEHOLDER.match(token)}
    ids = np.array(sorted(ordinary), dtype=np.int64)
    read = reader_of(tokenizer)
    pieces = tuple(read(ordinary[i]) for i in ids.tolist())
    return Vocabulary(
        tokenizer=tokenizer,
        vocab_size=max(tokens.values()) + 1,
        ordinary=ids,
        pieces=pieces,
        digest=vocabulary_digest(ids, pieces),
    )


def read_json(path: Path) -> Vocabulary:
    """Hugging Face's tokenizer.json. Raises `Malformed`."""
    text = path.read_text(encoding="utf-8")
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the tokenizers library raises bare Exception
        raise Malformed(f"{path}: not a tokenizer.json ({str(error).splitlines()[0]})") from None
    return finish(tokenizer)


def read_word_pieces(path: Path) -> Vocabulary:
    """BERT's vocab.txt. Raises `Malformed`."""
    tokens = path.read_text(encoding="utf-8").splitlines()
    if "[UNK]" not in tokens:
        raise Malformed(f"{path}: not a WordPiece vocabulary, [UNK] is missing")
    # Only the cased BERT vocabularies hold upper-case words.
    cased = any(token.isalpha() and token != token.lower() for token in tokens)
    tokenizer = word_piece(tokens, lowercase=not cased)
    return finish(tokenizer)


def word_piece(tokens: list[str], *, lowercase: bool) -> Tokenizer:
    """BERT's tokenizer over `tokens` (id = position, continuations begin with ##)."""
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    add_specials(tokenizer, [token for token in _BERT_SPECIALS if token in tokens])
    return tokenizer


def read_byte_bpe(vocab_path: Path, merges_path: Path) -> Vocabulary:
    """vocab.json with merges.txt. Raises `Malformed`."""
    try:
        vocab = json.loads(vocab_path.read_text(encoding="utf-8"))
        lines = merges_path.read_text(encoding="utf-8").splitlines()
        merges = [line for line in lines if line.strip() and not line.startswith("#version")]
        tokenizer = byte_bpe(vocab, merges)
    except (OSError, UnicodeDecodeError):
        raise
    except Exception as error:
        raise Malformed(f"{vocab_path}: not a byte-level BPE vocabulary ({error})") from None
    add_specials(tokenizer, [token for token in vocab if _BPE_SPECIAL.match(token)])
    return finish(tokenizer)


def byte_bpe(vocab: dict[str, int], merges: list[str], *, single_digits: bool = False) -> Tokenizer:
    """GPT-2's byte-level BPE; `merges` are lines of two tokens, `single_digits` splits numbers up."""
    parts = [line.partition(" ") for line in merges]
    if any(not left or not right or " " in right for left, _, right in parts):
        raise Malformed("a merge rule is not a pair of tokens")
    pairs = [(left, right) for left, _, right in parts]
    tokenizer = Tokenizer(models.BPE(vocab, pairs))
    split = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = [pre_tokenizers.Digits(individual_digits=True)] if single_digits else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*digits, split])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def add_specials(tokenizer: Tokenizer, tokens: list[str]) -> None:
    """Declare `tokens` as special, matched literally."""
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in tokens])
