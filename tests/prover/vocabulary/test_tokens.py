"""Token orders: exact counts on small vocabularies, real tokenizers, bad input, and the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from huref.common.errors import HurefError, InputOutputError, Malformed, Unsupported, UsageError
from huref.prover.checkpoint.checkpoint import open_checkpoint
from huref.prover.demo.checkpoints import find
from huref.prover.vocabulary import frequency
from huref.prover.vocabulary.frequency import corpus_counts, frequency_list_digest, word_list_counts
from huref.prover.vocabulary.gguf_tokenizer import gguf_vocabulary
from huref.prover.vocabulary.tokenizer import Vocabulary
from huref.prover.vocabulary.tokens import (
    TokenOrder,
    load_vocabulary,
    order_tokens,
    read_token_file,
    select_rarest,
    token_order,
    write_token_file,
)
from tests.support.tiny_models import build

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]"]


def loaded(source: Any) -> Vocabulary:
    vocabulary = load_vocabulary(source)
    assert vocabulary is not None
    return vocabulary


def huref(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "from huref.common.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@cache
def real(name: str) -> TokenOrder:
    return order_tokens(find(name))


@pytest.fixture
def word_pieces(tmp_path: Path) -> Path:
    """A folder with a WordPiece vocabulary: specials at 0..5, then cat dog ##s fish the."""
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIALS, "cat", "dog", "##s", "fish", "the"]))
    return tmp_path


def test_corpus_order_by_hand(word_pieces: Path) -> None:
    corpus = word_pieces / "corpus.md"
    corpus.write_text("The cats [MASK] the dogs\nthe fish\n\ndogs\n")
    # the 3, ##s 3 (larger id than nothing else with 3: ids 8 < 10), dog 2, then cat and fish with 1 each
    assert token_order(word_pieces, corpus).tolist() == [8, 10, 7, 6, 9]
    order = order_tokens(word_pieces, corpus)
    assert order.source == "corpus"
    assert order.frequency_digest == frequency_list_digest(corpus) != frequency_list_digest()


def test_corpus_is_counted_alike_in_any_cut(tmp_path: Path) -> None:
    vocabulary = loaded(find("minilm"))
    words = ["a", "longer", "text", "with", "some", "words", "and", "commas,", "again", "and", "again"]
    once, lines = tmp_path / "once", tmp_path / "lines"
    once.write_text(" ".join(words * 2000))
    lines.write_text("\n".join(words * 2000))
    first, second = (corpus_counts(vocabulary.tokenizer, vocabulary.vocab_size, f) for f in (once, lines))
    # one line of 110 kB is read in two pieces; the cut may split one word
    assert once.stat().st_size > 100_000
    assert int(np.abs(first - second).sum()) <= 4
    assert int(second.sum()) == 2000 * len(
        vocabulary.tokenizer.encode(" ".join(words), add_special_tokens=False)
    )


def test_word_list_order_by_hand(word_pieces: Path) -> None:
    vocabulary = loaded(word_pieces)
    counts = word_list_counts(vocabulary.tokenizer, vocabulary.vocab_size)
    assert vocabulary.ordinary.tolist() == [6, 7, 8, 9, 10]
    from wordfreq import get_frequency_dict

    frequency = get_frequency_dict("en", "large")
    # both spellings of a word are lower-cased here, so its whole weight 7 + 1 goes to its pieces
    for token, words in ((6, ("cat", "cats")), (7, ("dog", "dogs")), (9, ("fish", "fishs"))):
        expected = 8 * sum(frequency.get(word, 0) for word in words)
        got = counts[token] / 1e12
        others = counts[token] / 1e12 - expected
        assert expected <= got * (1 + 1e-3) and others < 0.05 * expected


def test_real_orders_are_plausible() -> None:
    for name, space in (("minilm", ""), ("smollm2", "Ġ")):
        vocabulary = loaded(find(name))
        order = real(name).ids
        token = vocabulary.tokenizer.id_to_token
        top = {token(i) for i in order[:40].tolist()}
        assert {f"{space}{word}" for word in ("the", "to", "and", "of", "in", "is")} <= top
        assert sorted(order.tolist()) == vocabulary.ordinary.tolist()
        corpus = Path(str(files("huref.prover.derivatives") / "data" / "harbour.txt"))
        order = order_tokens(find(name), corpus).ids
        counts = corpus_counts(vocabulary.tokenizer, vocabulary.vocab_size, corpus)[order]
        assert counts[0] > 20 and counts[-1] == 0 and (np.diff(counts) <= 0).all()
        ties = np.diff(counts) == 0
        assert (np.diff(order)[ties] > 0).all()


def test_specials_are_out() -> None:
    assert not {0, 100, 101, 102, 103} & set(loaded(find("minilm")).ordinary.tolist())
    assert 1 not in loaded(find("minilm")).ordinary  # [unused0]
    smollm2 = loaded(find("smollm2"))
    assert smollm2.vocab_size == 49152 and len(smollm2.ordinary) == 49135
    assert smollm2.ordinary[0] == 17


def test_files_of_one_tokenizer_give_one_order(tmp_path: Path) -> None:
    corpus = Path(str(files("huref.prover.derivatives") / "data" / "harbour.txt"))
    from_json, from_vocab = (
        token_order(find("minilm") / name, corpus) for name in ("tokenizer.json", "vocab.txt")
    )
    assert np.array_equal(from_json, from_vocab)
    loaded(find("smollm2")).tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert np.array_equal(token_order(tmp_path, corpus), token_order(find("smollm2"), corpus))


def test_byte_bpe_from_vocab_and_merges(tmp_path: Path) -> None:
    content = json.loads(loaded(find("smollm2")).tokenizer.to_str())["model"]
    vocab = content["vocab"]
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    merges = [" ".join(pair) for pair in content["merges"]]
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    here, there = loaded(tmp_path).tokenizer, loaded(find("smollm2")).tokenizer
    text = "The lamps on the breakwater aren't lit before four."
    assert here.encode(text).ids == there.encode(text).ids
    assert here.decode(here.encode(text).ids) == text
    assert vocab["<|im_end|>"] not in loaded(tmp_path).ordinary
    (tmp_path / "merges.txt").write_text("#version: 0.2\nthree parts here\n")
    with pytest.raises(Malformed, match="pair of tokens"):
        load_vocabulary(tmp_path)


def sentence_piece() -> dict[str, Any]:
    """A GGUF "llama" vocabulary with byte tokens; scores are minus the rank, as SentencePiece writes them."""
    pieces = ["▁t", "he", "▁the", "in", "▁a", "an", "▁an", "er", "▁there", "re", "the"]
    letters = list("▁abcdefghijklmnopqrstuvwxyz")
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *pieces, *letters]
    types = [2, 3, 3, *([6] * 256), *([1] * (len(pieces) + len(letters)))]
    scores = [0.0] * 259 + [-float(i) for i in range(len(pieces))] + [-1e6] * len(letters)
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.scores": scores,
    }


def best_merges(text: str, metadata: dict[str, Any]) -> list[str]:
    """SentencePiece BPE, slowly: merge the adjacent pair of the best score until none is left."""
    scores = dict(zip(metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.scores"], strict=True))
    parts = list("▁" + text.replace(" ", "▁"))
    while True:
        pairs = [(scores[a + b], -i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in scores]
        if not pairs:
            return parts
        at = -max(pairs)[1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


@pytest.mark.parametrize("text", ["the hen in there", "anther an a the other", "banana theatre"])
def test_sentence_piece_merges_follow_the_scores(text: str) -> None:
    metadata = sentence_piece()
    vocabulary = gguf_vocabulary(metadata)
    assert vocabulary is not None
    assert vocabulary.tokenizer.encode(text).tokens == best_merges(text, metadata)
    assert vocabulary.tokenizer.decode(vocabulary.tokenizer.encode(text).ids) == text
    assert vocabulary.ordinary[0] == 3  # bytes are ordinary, control tokens are not


def test_gguf_kinds() -> None:
    words = ["[PAD]", "[UNK]", "▁cat", "s", "▁dog"]
    bert = gguf_vocabulary(
        {
            "tokenizer.ggml.model": "bert",
            "tokenizer.ggml.tokens": words,
            "tokenizer.ggml.token_type": [3, 2, 1, 1, 1],
        }
    )
    assert bert is not None and bert.tokenizer.encode("Cats dog").ids == [2, 3, 4]
    assert bert.ordinary.tolist() == [2, 3, 4]
    scores = [-20.0 if token == "▁the" else -30.0 for token in sentence_piece()["tokenizer.ggml.tokens"]]
    unigram = gguf_vocabulary(
        sentence_piece() | {"tokenizer.ggml.model": "t5", "tokenizer.ggml.scores": scores}
    )
    assert unigram is not None
    # -20 for the whole word beats -60 for "▁t" and "he"
    assert unigram.tokenizer.encode("the then").tokens == ["▁the", "▁the", "n"]
    assert gguf_vocabulary({}) is None
    with pytest.raises(Unsupported, match="rwkv"):
        gguf_vocabulary(sentence_piece() | {"tokenizer.ggml.model": "rwkv"})
    with pytest.raises(Malformed, match="token_type"):
        gguf_vocabulary(sentence_piece() | {"tokenizer.ggml.token_type": [1]})
    with pytest.raises(Malformed, match="scores"):
        gguf_vocabulary(sentence_piece() | {"tokenizer.ggml.scores": [1.0]})
    with pytest.raises(Malformed, match="merges"):
        gguf_vocabulary(sentence_piece() | {"tokenizer.ggml.model": "gpt2"})


def test_digest_follows_the_content(tmp_path: Path) -> None:
    source = json.loads((find("minilm") / "tokenizer.json").read_text())
    digest = loaded(find("minilm")).digest

    def digest_of(content: dict[str, Any]) -> str:
        file = tmp_path / "tokenizer.json"
        file.write_text(json.dumps(content))
        return loaded(file).digest

    assert digest_of(dict(reversed(source.items()))) == digest
    assert digest_of({**source, "truncation": None, "padding": None}) == digest
    vocab = dict(source["model"]["vocab"])
    vocab["the"], vocab["to"] = vocab["to"], vocab["the"]
    assert digest_of({**source, "model": {**source["model"], "vocab": vocab}}) != digest


def test_the_word_list_is_the_pinned_one() -> None:
    """Down to words that occur once in three million: 10^−6.5."""
    bands = frequency._bands()
    assert (len(bands), sum(map(len, bands))) == (651, 53_572) and bands[-1]
    assert frequency_list_digest() == "c961348fef8713d7a097786668f7c4666414ceb519f504b2f019b504954fe805"


def test_an_opened_checkpoint_will_do(word_pieces: Path) -> None:
    corpus = word_pieces / "corpus"
    corpus.write_text("fish")
    folder = build("llama", word_pieces / "tiny", vocab_size=11)
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text((word_pieces / "vocab.txt").read_text())
    checkpoint = open_checkpoint(folder)
    assert order_tokens(checkpoint, corpus).ids.tolist() == [9, 6, 7, 8, 10]


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = build("llama", tmp_path / "tiny")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match="no tokenizer") as caught:
        order_tokens(folder)
    assert "AutoTokenizer" in str(caught.value.hint) and "--tokens" in str(caught.value.hint)


def test_a_tokenizer_larger_than_the_embedding_is_refused(word_pieces: Path) -> None:
    corpus = word_pieces / "corpus"
    corpus.write_text("cat the")
    (word_pieces / "config.json").write_text('{"vocab_size": 11}')
    assert token_order(word_pieces, corpus).tolist() == [6, 10, 7, 8, 9]
    (word_pieces / "config.json").write_text('{"vocab_size": 9}')
    with pytest.raises(UsageError, match="2 ordinary tokens beyond the 9 rows"):
        token_order(word_pieces, corpus)
    with pytest.raises(UsageError, match="another model"):
        order_tokens(word_pieces, corpus, vocab_size=8)


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        ("{", Malformed, "tokenizer.json"),
        ('{"model": {"type": "Nonsense"}}', Malformed, "tokenizer.json"),
    ],
)
def test_bad_tokenizers(tmp_path: Path, content: str, error: type[HurefError], words: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(error, match=words):
        order_tokens(tmp_path)


def test_bad_sources(tmp_path: Path, word_pieces: Path) -> None:
    with pytest.raises(InputOutputError, match="no such file"):
        order_tokens(tmp_path / "nowhere")
    with pytest.raises(InputOutputError, match="corpus"):
        order_tokens(word_pieces, tmp_path / "corpus")
    (tmp_path / "corpus").write_bytes(b"caf\xe9 \xff")
    with pytest.raises(Malformed, match="UTF-8"):
        order_tokens(word_pieces, tmp_path / "corpus")
    (tmp_path / "corpus").write_bytes(b"\n\n")
    with pytest.raises(Malformed, match="no text"):
        order_tokens(word_pieces, tmp_path / "corpus")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "vocab.txt").write_text("no\nunknown\ntoken")
    with pytest.raises(Malformed, match="UNK"):
        order_tokens(tmp_path / "other")


def test_token_file_round_trip(tmp_path: Path) -> None:
    ids = np.array([5, 3, 900, 0], dtype=np.int64)
    write_token_file(tmp_path / "ids.txt", ids)
    assert (tmp_path / "ids.txt").read_text() == "5\n3\n900\n0\n"
    order = read_token_file(tmp_path / "ids.txt", vocab_size=901, at_least=4)
    assert np.array_equal(order.ids, ids) and order.source == "file"
    assert [p.name for p in tmp_path.iterdir()] == ["ids.txt"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n2.5\n", r"line 2 is not a token id: '2\.5'"),
        ("1\n\n2\n", "line 2 is not a token id"),
        ("-1\n", "line 1 is not a token id"),
        ("٣\n", "line 1 is not a token id"),
        ("9" * 30 + "\n", "line 1 is not a token id"),
        ("1\n2\n1\n3\n", "line 3: id 1 occurs twice"),
        ("1\n100\n3\n4", "line 2: id 100 is outside the vocabulary of 100"),
        ("1\n2\n", "2 token ids, at least 3 are needed"),
        ("", "0 token ids, at least 3 are needed"),
    ],
)
def test_bad_token_files(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "ids.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(Malformed, match=message) as caught:
        read_token_file(file, vocab_size=100, at_least=3)
    assert "\n" not in caught.value.message
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(Malformed, match="UTF-8"):
        read_token_file(file)


def test_select_rarest() -> None:
    order = np.arange(10)[::-1].copy()
    assert select_rarest(order, 3).tolist() == [2, 1, 0]
    assert select_rarest(order, 10).tolist() == order.tolist()
    for k in (0, 11):
        with pytest.raises(UsageError, match=f"K = {k}"):
            select_rarest(order, k)


def test_command(tmp_path: Path) -> None:
    minilm, out = str(find("minilm")), tmp_path / "ids"
    written = huref("tokens", minilm, "--out", str(out))
    assert written.returncode == 0 and written.stdout == ""
    assert out.read_text() == "".join(f"{i}\n" for i in real("minilm").ids.tolist())
    corpus = str(files("huref.prover.derivatives") / "data" / "harbour.txt")
    one, two = (huref("tokens", minilm, "--corpus", corpus, PYTHONHASHSEED=seed) for seed in ("1", "2"))
    assert one.stdout == two.stdout and len(one.stdout.split()) == len(real("minilm").ids)
    rarest = huref("tokens", minilm, "--corpus", corpus, "-k", "5")
    assert rarest.stdout.split() == one.stdout.split()[-5:]


def test_command_errors(tmp_path: Path, word_pieces: Path) -> None:
    missing = huref("tokens", str(tmp_path / "nowhere"))
    assert missing.returncode == 4 and missing.stdout == ""
    assert missing.stderr.splitlines() == [f"error: {tmp_path / 'nowhere'}: no such file or folder"]
    (tmp_path / "corpus").write_text("the fish")
    corpus = ("--corpus", str(tmp_path / "corpus"))
    many = huref("tokens", str(word_pieces), *corpus, "-k", "999", "--out", str(tmp_path / "out"))
    assert many.returncode == 2 and "K = 999" in many.stderr and not (tmp_path / "out").exists()


def test_tokenizers_truncation_is_off() -> None:
    tokenizer: Tokenizer = loaded(find("minilm")).tokenizer
    assert len(tokenizer.encode("word " * 1000, add_special_tokens=False).ids) == 1000
