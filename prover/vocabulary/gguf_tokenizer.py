"""The tokenizer kept in a GGUF file's metadata, rebuilt as a `tokenizers` object.

The keys are `tokenizer.ggml.*`. Four kinds of vocabulary occur: `gpt2` (byte-level BPE with merges),
`llama` (SentencePiece BPE, whose merges follow from the scores), `t5` (SentencePiece unigram) and
`bert` (WordPiece, where word starts carry "▁" instead of continuations carrying "##").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, processors

from huref.common.errors import Malformed, Unsupported
from huref.prover.vocabulary.tokenizer import Vocabulary, add_specials, byte_bpe, finish, word_piece

# Token types of the format: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte.
_ORDINARY_TYPES = (1, 6)
_BYTE = 6
_WORD_START = "▁"
_CONTENT_KEYS = (
    "model",
    "pre",
    "tokens",
    "token_type",
    "merges",
    "scores",
    "add_space_prefix",
    "add_bos_token",
)
_BEGIN = "bos_token_id"
# Byte-level vocabularies whose texts begin with a token of their own unless the file says otherwise.
_BEGINNING = frozenset({"llama3", "llama-v3", "llama-bpe"})
# Pre-tokenizers that cut numbers into single digits before the byte-level split.
_SINGLE_DIGITS = frozenset({"smollm", "starcoder", "refact", "command-r", "qwen2", "deepseek-coder"})


def gguf_vocabulary(metadata: Mapping[str, Any]) -> Vocabulary | None:
    """The vocabulary described by the `tokenizer.ggml.*` entries of `metadata`, or None without tokens.

    Raises:
        Malformed: the tokenizer is inconsistent.
        Unsupported: a kind of tokenizer not listed above.
    """
    content = {key: metadata.get(f"tokenizer.ggml.{key}") for key in _CONTENT_KEYS}
    tokens = content["tokens"]
    if not tokens:
        return None
    types = content["token_type"] or [1] * len(tokens)
    if len(types) != len(tokens):
        raise Malformed(f"tokenizer.ggml.token_type has {len(types)} entries for {len(tokens)} tokens")
    ordinary = np.isin(np.asarray(types), _ORDINARY_TYPES)
    special_ids = np.flatnonzero(~ordinary).tolist()
    tokenizer = _build(content, types)
    add_specials(tokenizer, [tokens[i] for i in special_ids])
    _add_begin(tokenizer, content, metadata.get(f"tokenizer.ggml.{_BEGIN}"))
    return finish(tokenizer, excluded=set(special_ids))


def _add_begin(tokenizer: Tokenizer, content: Mapping[str, Any], begin: Any) -> None:
    """Let texts begin with the token `begin` where the file says so, or is one of LLaMA's that says nothing."""
    wanted = content["add_bos_token"]
    if wanted is None:
        wanted = content["model"] == "llama" or content["pre"] in _BEGINNING
    if not wanted or begin is None:
        return
    try:
        token = content["tokens"][begin]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[token, "$A"], pair=[token, "$A", token, "$B"], special_tokens=[(token, begin)]
        )
    except Exception:  # the tokenizers library raises bare Exception
        raise Malformed(f"tokenizer.ggml.{_BEGIN} is no token that a text can begin with") from None


def _build(content: Mapping[str, Any], types: list[int]) -> Tokenizer:
    kind, tokens = content["model"], content["tokens"]
    vocab = {token: i for i, token in enumerate(tokens)}
    if kind == "gpt2":
        if not content["merges"]:
            raise Malformed("tokenizer.ggml.merges is missing")
        return byte_bpe(vocab, content["merges"], single_digits=content["pre"] in _SINGLE_DIGITS)
    if kind == "bert":
        return word_piece([_to_word_piece(token) for token in tokens], lowercase=True)
    scores = content["scores"]
    if kind not in ("llama", "t5"):
        raise Unsupported(
            f"GGUF tokenizer of kind {kind!r}", hint="give the token list with --tokens FILE instead"
        )
    if not scores or len(scores) != len(tokens):
        raise Malformed("tokenizer.ggml.scores is missing or has the wrong length")
    unknown = types.index(2) if 2 in types else 0
    if kind == "llama":
        fallback = _BYTE in types
        model: models.Model = models.BPE(
            vocab,
            _merges_from_scores(vocab, scores, types),
            unk_token=tokens[unknown],
            fuse_unk=True,
            byte_fallback=fallback,
        )
    else:
        model = models.Unigram(list(zip(tokens, scores, strict=True)), unk_id=unknown)
    tokenizer = Tokenizer(model)
    prefix = [] if content["add_space_prefix"] is False else [normalizers.Prepend(_WORD_START)]
    tokenizer.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", _WORD_START)])
    to_space = [decoders.Replace(_WORD_START, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*to_space, decoders.Strip(" ", 1, 0)] if prefix else to_space)
    return tokenizer


def _to_word_piece(token: str) -> str:
    if token.startswith(_WORD_START):
        return token[1:]
    return token if token.startswith("[") and token.endswith("]") else f"##{token}"


def _merges_from_scores(
    vocab: Mapping[str, int], scores: list[float], types: list[int]
) -> list[tuple[str, str]]:
    """SentencePiece BPE keeps no merge list: a pair merges in the order of the merged token's score."""
    rules: list[tuple[float, int, int, str, str]] = []
    for token, i in vocab.items():
        if types[i] not in _ORDINARY_TYPES or types[i] == _BYTE:
            continue
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in vocab and right in vocab:
                rules.append((-scores[i], vocab[left], vocab[right], left, right))
    rules.sort()
    return [(left, right) for *_, left, right in rules]
