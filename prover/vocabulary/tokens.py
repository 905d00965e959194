"""Which tokens a fingerprint looks at: all ordinary ids by frequency, and the K rarest of them.

The rarest tokens are taken because fine-tuning on other text hardly moves their embeddings
(HuRef §4.1). The order is a pure function of the tokenizer and of the word list or corpus: by
descending count, ties by ascending id.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import InputOutputError, Malformed, UsageError
from huref.common.output import note
from huref.prover.checkpoint.checkpoint import Checkpoint, open_checkpoint
from huref.prover.checkpoint.formats.json_file import read_object
from huref.prover.vocabulary.files import SUFFIXES, find_tokenizer_file, load_tokenizer_file
from huref.prover.vocabulary.frequency import corpus_counts, frequency_list_digest, word_list_counts
from huref.prover.vocabulary.gguf_tokenizer import gguf_vocabulary
from huref.prover.vocabulary.selection import chosen
from huref.prover.vocabulary.tokenizer import Vocabulary

Ids = NDArray[np.int64]
_GIVE = (
    "put the model's tokenizer into the folder (AutoTokenizer.from_pretrained(NAME).save_pretrained(FOLDER)), or give "
    "it with --tokens: a tokenizer file or folder, the fingerprint.json of a relative, or a list of ids"
)


@dataclass(frozen=True)
class TokenOrder:
    """Ordinary token ids, most frequent first, and where the order comes from.

    `tokenizer_digest` and `frequency_digest` (hex sha256) go into the statement; they are None where no
    tokenizer or no frequencies were used.
    """

    ids: Ids
    source: Literal["word-list", "corpus", "file"]
    tokenizer_digest: str | None
    frequency_digest: str | None


@dataclass(frozen=True)
class TokensChosen:
    """The rows that `hardened` reads: ids (K,), the bytes of each token, and where the choice comes from."""

    ids: Ids
    pieces: tuple[bytes, ...]
    source: Literal["word-list", "file"]
    tokenizer_digest: str | None
    frequency_digest: str | None


def choose_tokens(source: Checkpoint, tokens: Path | None, rows: int) -> TokensChosen:
    """The tokens of `source` (an embedding of `rows` rows) that `hardened` reads, by its rule or by a list.

    `tokens` is what `--tokens` names, as for `read_tokens`; a list of ids takes their bytes from the checkpoint's
    vocabulary, a fingerprint.json brings them.

    Raises:
        UsageError: there is no tokenizer, or it is another model's, or two listed tokens have the same bytes.
        InputOutputError, Malformed, Unsupported: a file cannot be used.
    """
    if tokens is not None and not is_tokenizer(tokens):
        return _listed(source, tokens, rows)
    vocabulary = own_vocabulary(tokens or source, tokens or source.path, rows)
    found = chosen(vocabulary, word_list_counts(vocabulary.tokenizer, vocabulary.vocab_size), rows)
    digests = vocabulary.digest, frequency_list_digest(None)
    return TokensChosen(found.ids, found.pieces, "word-list", *digests)


def _listed(source: Checkpoint, tokens: Path, rows: int) -> TokensChosen:
    """The tokens of a list, with the bytes that it gives or that the checkpoint's vocabulary has."""
    ids = read_tokens(tokens, rows).ids
    pieces = _listed_pieces(tokens, len(ids)) if tokens.suffix == ".json" else None
    digest: str | None = None
    if pieces is None:
        vocabulary = own_vocabulary(source, source.path, rows)
        digest = vocabulary.digest
        known = dict(zip(vocabulary.ordinary.tolist(), vocabulary.pieces, strict=True))
        strange = [i for i in ids.tolist() if i not in known]
        if strange:
            raise UsageError(f"{tokens}: id {strange[0]} is no ordinary token of the model's tokenizer")
        pieces = tuple(known[i] for i in ids.tolist())
    if len(set(pieces)) < len(pieces):
        raise UsageError(f"{tokens}: two of the listed tokens have the same bytes")
    return TokensChosen(ids, pieces, "file", digest, None)


def _listed_pieces(path: Path, count: int) -> tuple[bytes, ...] | None:
    """The bytes that a fingerprint.json says its tokens have, if it does."""
    pieces = read_object(path).get("token_pieces")
    if pieces is None:
        return None
    try:
        read = tuple(bytes.fromhex(piece) for piece in pieces)
    except (TypeError, ValueError):
        read = ()
    if len(read) != count or not all(read):
        raise Malformed(f"{path}: token_pieces is not the bytes of {count} tokens in hex")
    return read


def is_tokenizer(path: Path) -> bool:
    """Whether `--tokens` names a tokenizer and no list."""
    if path.is_dir() or path.suffix in (".model", ".tiktoken") or path.name == "vocab.txt":
        return True
    return path.suffix == ".json" and "token_ids" not in read_object(path)


def token_order(source: Path | str | Checkpoint, corpus: Path | None = None) -> Ids:
    """Ids of all ordinary tokens by descending frequency, int64; see `order_tokens`."""
    return order_tokens(source, corpus).ids


def order_tokens(
    source: Path | str | Checkpoint, corpus: Path | None = None, vocab_size: int | None = None
) -> TokenOrder:
    """Order the tokens of a checkpoint, or of a folder or tokenizer file without weights.

    A tokenizer whose ordinary ids reach past the embedding is another model's and is refused.

    Args:
        corpus: count tokens in this UTF-8 text instead of the pinned word list.
        vocab_size: number of embedding rows. Default: the config's.

    Raises:
        InputOutputError, Malformed, Unsupported: the tokenizer or the corpus cannot be used.
        UsageError: there is no tokenizer, or it has ordinary tokens that have no embedding.
    """
    path = source.path if isinstance(source, Checkpoint) else Path(source)
    if not path.exists():
        raise InputOutputError(f"{path}: no such file or folder")
    rows = vocab_size or _embedding_rows(source.config if isinstance(source, Checkpoint) else _config(path))
    vocabulary = own_vocabulary(source, path, rows)
    if corpus is None:
        counts = word_list_counts(vocabulary.tokenizer, vocabulary.vocab_size)
    else:
        counts = corpus_counts(vocabulary.tokenizer, vocabulary.vocab_size, corpus)
    ids = vocabulary.ordinary
    ordered = ids[np.argsort(-counts[ids], kind="stable")]
    kind: Literal["word-list", "corpus"] = "word-list" if corpus is None else "corpus"
    return TokenOrder(ordered, kind, vocabulary.digest, frequency_list_digest(corpus))


def own_vocabulary(source: Path | str | Checkpoint, path: Path, rows: int | None) -> Vocabulary:
    """The tokenizer of `source`; `UsageError` without one, or where it reaches past the embedding's `rows`."""
    vocabulary = load_vocabulary(source)
    if vocabulary is None:
        raise UsageError(
            f"{path} has no tokenizer, so nobody can tell which rows belong to which token", hint=_GIVE
        )
    beyond = 0 if rows is None else int(np.count_nonzero(vocabulary.ordinary >= rows))
    if beyond:
        raise UsageError(
            f"{path}: the tokenizer has {beyond} ordinary tokens beyond the {rows} rows of the embedding, so it "
            "belongs to another model",
            hint="put the model's own tokenizer there, or give it with --tokens",
        )
    return vocabulary


def load_vocabulary(source: Path | str | Checkpoint) -> Vocabulary | None:
    """The tokenizer of a checkpoint, or of a folder or tokenizer file without weights; None without one.

    The vocabulary inside a weights file goes before any file beside it, which may be another model's.
    """
    if not isinstance(source, Checkpoint):
        path = Path(source)
        if path.suffix in SUFFIXES and not path.is_dir():
            return load_tokenizer_file(path)
        found = find_tokenizer_file(path) if path.is_dir() else None
        if path.is_dir() and not _holds_weights(path):
            return None if found is None else load_tokenizer_file(found)
        source = open_checkpoint(path)
    if source not in _READ:
        _READ[source] = _vocabulary_of(source)
    return _READ[source]


_READ: WeakKeyDictionary[Checkpoint, Vocabulary | None] = WeakKeyDictionary()
"""Large vocabularies take a second to read, and a command asks for one more than once."""


def _vocabulary_of(source: Checkpoint) -> Vocabulary | None:
    """The tokenizer in a checkpoint or beside it."""
    folder = source.path if source.path.is_dir() else source.path.parent
    beside = source.tokenizer_file or find_tokenizer_file(folder)
    own = gguf_vocabulary(source.tokenizer_metadata())
    if own is not None:
        if beside is not None:
            note(f"note: the vocabulary inside {source.path.name} is read, not {beside.name} beside it")
        return own
    return None if beside is None else load_tokenizer_file(beside)


def select_rarest(order: Ids, K: int) -> Ids:
    """The last K ids of `order` (shape (K,)), in the same order.

    Raises:
        UsageError: K is not positive or exceeds the number of ids.
    """
    if K < 1:
        raise UsageError(f"K = {K} is not a positive number of tokens")
    if len(order) < K:
        raise UsageError(
            f"K = {K} tokens are wanted but only {len(order)} are available", hint="choose a smaller K"
        )
    return order[-K:]


def read_tokens(path: Path, vocab_size: int) -> TokenOrder:
    """What `--tokens` names: an id list, a fingerprint.json, or a tokenizer (a file, or a folder that has one).

    Raises what `read_token_file` and `order_tokens` raise.
    """
    if is_tokenizer(path):
        return order_tokens(path, vocab_size=vocab_size)
    if path.suffix == ".json":
        ids = read_object(path)["token_ids"]
        if not isinstance(ids, list) or not all(type(i) is int and 0 <= i < 1 << 40 for i in ids):
            raise Malformed(f"{path}: token_ids is not a list of token ids")
        return _checked(path, np.array(ids, dtype=np.int64), vocab_size, "entry")
    return read_token_file(path, vocab_size)


def read_token_file(path: Path, vocab_size: int | None = None, at_least: int = 1) -> TokenOrder:
    """A token list in HuRef's format: one id a line, most frequent first.

    Args:
        vocab_size: ids must be below it, when given.
        at_least: fewest ids that are of use.

    Raises:
        InputOutputError: the file cannot be read.
        Malformed: a line is not an id, an id is repeated or out of vocabulary, or there are too few.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise Malformed(f"{path}: not UTF-8 text") from None
    while lines and not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, 1):
        if not (line.strip().isascii() and line.strip().isdecimal()) or len(line.strip()) > 18:
            shown = line if len(line) <= 40 else line[:40] + "..."
            raise Malformed(f"{path}: line {number} is not a token id: {shown!r}")
    ids = np.array([int(line) for line in lines], dtype=np.int64)
    if len(ids) < at_least:
        raise Malformed(f"{path}: {len(ids)} token ids, at least {at_least} are needed")
    return _checked(path, ids, vocab_size, "line")


def _checked(path: Path, ids: Ids, vocab_size: int | None, unit: str) -> TokenOrder:
    if vocab_size is not None and (ids >= vocab_size).any():
        at = int(np.flatnonzero(ids >= vocab_size)[0])
        raise Malformed(f"{path}: {unit} {at + 1}: id {ids[at]} is outside the vocabulary of {vocab_size}")
    _, first = np.unique(ids, return_index=True)
    if len(first) < len(ids):
        at = int(np.setdiff1d(np.arange(len(ids)), first)[0])
        raise Malformed(f"{path}: {unit} {at + 1}: id {ids[at]} occurs twice")
    return TokenOrder(ids, "file", None, None)


def format_ids(ids: Ids) -> str:
    """`ids` in HuRef's format, one a line."""
    return "".join(f"{i}\n" for i in ids.tolist())


def write_token_file(path: Path, ids: Ids) -> None:
    """Write `ids` in HuRef's format; the file appears complete or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(format_ids(ids), encoding="ascii")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputOutputError(f"{path}: {error.strerror or error}") from None


def _holds_weights(folder: Path) -> bool:
    return any(file.suffix in (".safetensors", ".gguf", ".onnx") for file in folder.iterdir())


def _config(path: Path) -> dict[str, Any]:
    """The config.json of a folder, empty when there is none."""
    file = path / "config.json"
    return read_object(file) if path.is_dir() and file.is_file() else {}


def _embedding_rows(config: dict[str, Any]) -> int | None:
    """`vocab_size` of a config: tokens beyond it have no embedding."""
    inner = config.get("text_config")
    rows = config.get("vocab_size", inner.get("vocab_size") if isinstance(inner, dict) else None)
    return rows if isinstance(rows, int) and rows > 0 else None
