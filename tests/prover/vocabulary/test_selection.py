"""Which tokens `hardened-2` reads: by bytes and frequency, whatever the ids and whatever else a vocabulary holds."""

from __future__ import annotations

import base64
import io
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from huref.common.errors import Malformed, Unsupported
from huref.prover.vocabulary.pieces import byte_level, reader_of, sentence_piece, word_piece
from huref.prover.vocabulary.selection import choose, octaves
from huref.prover.vocabulary.tokenizer import byte_bpe
from huref.prover.vocabulary.tokens import load_vocabulary

TEXT = (files("huref.prover.derivatives") / "data" / "harbour.txt").read_text(encoding="utf-8").splitlines()


def zipf(size: int) -> tuple[list[bytes], np.ndarray]:
    """Tokens whose counts fall as in text."""
    return [b" word %d" % i for i in range(size)], (10**12 // np.arange(1, size + 1)).astype(np.int64)


def test_octaves_are_exact() -> None:
    total = 12 * 10**12
    edges = [total >> j for j in range(11, 22)]
    counts = np.array([total, 1, 2, *edges, *(edge + 1 for edge in edges), *(edge - 1 for edge in edges)])
    expected = [max(12, next(j for j in range(40, -1, -1) if int(c) << j <= total)) for c in counts]
    assert octaves(counts).tolist() == [min(20, x) for x in expected]


def test_ids_order_and_further_tokens_do_not_matter() -> None:
    tokens, counts = zipf(30000)
    chosen = choose(tokens, counts)
    picked = [tokens[i] for i in chosen.tolist()]
    assert 3500 < len(picked) < 5121 and len(set(picked)) == len(picked)
    order = np.random.default_rng(0).permutation(len(tokens))
    again = choose([tokens[i] for i in order], counts[order])
    assert [tokens[order[i]] for i in again.tolist()] == picked
    unused = [b" never %d" % i for i in range(1000)]
    assert choose(tokens + unused, np.append(counts, np.zeros(1000, np.int64))).tolist() == chosen.tolist()
    rare = choose(tokens + unused, np.append(counts, np.ones(1000, np.int64)))
    assert rare.tolist() == chosen.tolist()
    lost = set(picked[::100])
    left = [token for token in tokens if token not in lost]
    kept = [left[i] for i in choose(left, counts[[token not in lost for token in tokens]]).tolist()]
    assert set(picked) - lost <= set(kept), "whoever is lost is lost alone, also the commonest"
    assert len(set(kept) - set(picked)) <= len(lost), "of a full octave the next ones take the places"


def test_equal_bytes_count_once() -> None:
    tokens, counts = zipf(20000)
    double = choose([*tokens, *tokens], np.concatenate([counts, counts // 2 + 1]))
    assert double.max() < len(tokens)
    assert choose([b"a"], np.array([0])).tolist() == []


def test_bytes_of_tokens() -> None:
    assert (
        byte_level("Ġthe") == b" the"
        and byte_level("Ã©") == "é".encode()
        and byte_level("日") == "日".encode()
    )
    assert sentence_piece("▁the") == b" the" and sentence_piece("<0x0A>") == b"\n"
    assert word_piece("the") == b" the" and word_piece("##ing") == b"ing"
    assert reader_of(byte_bpe({"a": 0, "b": 1, "ab": 2}, ["a b"])) is byte_level


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_sentence_piece_models(tmp_path: Path, kind: str) -> None:
    written = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT),
        model_writer=written,
        vocab_size=500,
        model_type=kind,
        byte_fallback=True,
        minloglevel=2,
    )
    (tmp_path / "tokenizer.model").write_bytes(written.getvalue())
    vocabulary = load_vocabulary(tmp_path)
    assert vocabulary is not None and len(vocabulary.ordinary) == 497
    theirs = SentencePieceProcessor(model_proto=written.getvalue())
    lines = [line for line in TEXT if line]
    equal = [theirs.encode(x) == vocabulary.tokenizer.encode(x, add_special_tokens=False).ids for x in lines]
    assert sum(equal) >= 0.95 * len(lines)
    (tmp_path / "tokenizer.model").write_bytes(b"\xff\xff\xff\xff")
    with pytest.raises(Malformed, match="SentencePiece"):
        load_vocabulary(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(Malformed, match="Git LFS"):
        load_vocabulary(tmp_path)


def test_sentence_piece_models_of_characters(tmp_path: Path) -> None:
    written = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT), model_writer=written, model_type="char", vocab_size=60, minloglevel=2
    )
    (tmp_path / "tokenizer.model").write_bytes(written.getvalue())
    with pytest.raises(Unsupported, match="characters"):
        load_vocabulary(tmp_path)


@pytest.mark.parametrize("name", ["qwen.tiktoken", "tokenizer.model"])
def test_tiktoken(tmp_path: Path, name: str) -> None:
    tokens = [*(bytes([i]) for i in range(256)), b"th", b" th", b" the", b"he"]
    lines = [base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens)]
    (tmp_path / name).write_bytes(b"".join(lines))
    vocabulary = load_vocabulary(tmp_path)
    assert vocabulary is not None and vocabulary.pieces == tuple(tokens)
    assert vocabulary.tokenizer.encode("a the").ids == [97, 258]
    (tmp_path / name).write_bytes(b"".join([*lines, b"YQ== many\n"]))
    with pytest.raises(Malformed, match="line 261"):
        load_vocabulary(tmp_path)


def test_the_digest_is_that_of_ids_and_bytes(tmp_path: Path) -> None:
    made = byte_bpe({"a": 0, "b": 1, "ab": 2}, ["a b"])
    content = json.loads(made.to_str())
    digests = []
    for merges in (["a b"], [["a", "b"]]):
        content["model"]["merges"] = merges
        (tmp_path / "tokenizer.json").write_text(json.dumps(content))
        vocabulary = load_vocabulary(tmp_path)
        assert vocabulary is not None
        digests.append(vocabulary.digest)
    assert digests[0] == digests[1]
