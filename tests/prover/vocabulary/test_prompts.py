"""Challenge prompts: the same everywhere, others for every seed and tokenizer, a token for each of their words."""

from __future__ import annotations

import hashlib
import re
import struct
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from huref.common.errors import UsageError
from huref.common.files.passages import read_passages
from huref.prover.demo.checkpoints import find
from huref.prover.vocabulary.prompts import DEFAULT_BEGINNING, FEWEST, draw_prompts, parse_seed
from huref.prover.vocabulary.tokenizer import Vocabulary, finish
from huref.prover.vocabulary.tokens import load_vocabulary
from tests.support.command import huref
from tests.support.tiny_tokenizer import common_words

SEED = bytes(range(32))


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    found = load_vocabulary(find("smollm2"))
    assert found is not None
    return found


def test_the_rule_by_hand(vocabulary: Vocabulary) -> None:
    """Written down again as the docs have it."""
    known = [piece.decode() for piece in vocabulary.pieces if re.fullmatch(rb" [a-z]{3,12}", piece)]
    for n, prompt in enumerate(draw_prompts(vocabulary, SEED, 3, 5)):
        message = (
            b"huref/ask/1".ljust(32, b"\0")
            + SEED
            + bytes.fromhex(vocabulary.digest)
            + struct.pack("<II", n, 0)
        )
        words = struct.unpack("<5Q", hashlib.shake_256(message).digest(40))
        assert prompt.text == DEFAULT_BEGINNING + "".join(known[word % len(known)] for word in words)


def test_frozen_prompts(vocabulary: Vocabulary) -> None:
    """Whoever draws later must get these."""
    texts = [prompt.text for prompt in draw_prompts(vocabulary, SEED, 2, 4)]
    assert texts == FROZEN


FROZEN = [
    "Write a short story with these words: attentive handing corridor scared",
    "Write a short story with these words: myocard grace dissolves disk",
]


def test_a_word_is_a_token(vocabulary: Vocabulary) -> None:
    begun = vocabulary.tokenizer.encode(DEFAULT_BEGINNING).ids
    prompts = draw_prompts(vocabulary, SEED, 40, 7)
    for prompt in prompts:
        assert prompt.ids[:-7] == begun and vocabulary.tokenizer.encode(prompt.text).ids == prompt.ids
    assert len({prompt.text for prompt in prompts}) == 40
    plain = draw_prompts(vocabulary, SEED, 40, 7, "")
    assert all(len(prompt.ids) == 7 and not prompt.text.startswith(" ") for prompt in plain)


def test_other_seeds_and_tokenizers_give_other_prompts(vocabulary: Vocabulary) -> None:
    first = draw_prompts(vocabulary, SEED, 1)[0].text
    assert draw_prompts(vocabulary, SEED[::-1], 1)[0].text != first
    other = Vocabulary(
        vocabulary.tokenizer, vocabulary.vocab_size, vocabulary.ordinary, vocabulary.pieces, "00" * 32
    )
    assert draw_prompts(other, SEED, 1)[0].text != first
    assert draw_prompts(vocabulary, SEED, 2)[0].text == first  # more prompts leave the first ones alone


def _merging(words: int) -> Vocabulary:
    """A tokenizer in which some two words in a row are one token."""
    plain = [f"▁{word}" for word in common_words(3 * words) if 3 <= len(word) <= 12][:words]
    scores = [("<unk>", 0.0), ("▁", -20.0), *((word, -10.0) for word in plain)]
    scores += [(first + second, -1.0) for first in plain[::3] for second in plain[:40]]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=0))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return finish(tokenizer)


def test_a_text_whose_words_grow_together_is_drawn_again() -> None:
    vocabulary = _merging(1100)
    prompts = draw_prompts(vocabulary, SEED, 60, 16, "")
    assert all(len(prompt.ids) == 16 for prompt in prompts)


def test_what_cannot_be_drawn(vocabulary: Vocabulary, tmp_path: Path) -> None:
    for count, words in ((0, 8), (1, 0), (1, 1025), (4097, 1)):
        with pytest.raises(UsageError, match="choose 1 to"):
            draw_prompts(vocabulary, SEED, count, words)
    few = Tokenizer(
        models.WordLevel({f"▁{word}": i for i, word in enumerate(common_words(500))}, unk_token="▁the")
    )
    few.pre_tokenizer = pre_tokenizers.Metaspace()
    with pytest.raises(UsageError, match=f"{FEWEST} are needed"):
        draw_prompts(finish(few), SEED, 1)
    for seed in ("", "00", "g" * 64, "0" * 65):
        with pytest.raises(UsageError, match="64 hex digits"):
            parse_seed(seed)
    assert parse_seed("0x" + "AB" * 32) == b"\xab" * 32


def test_the_command(tmp_path: Path, vocabulary: Vocabulary) -> None:
    arguments = ("--tokenizer", find("smollm2"), "--seed", SEED.hex(), "--count", 3, "--tokens", 4)
    run = huref("ask", *arguments)
    assert run.code == 0 and vocabulary.digest in run.err
    found = huref("ask", *arguments, "--json").json
    assert found["schema"] == "huref-asked/1" and found["tokenizer_digest"] == vocabulary.digest
    assert [prompt["text"] for prompt in found["prompts"]] == run.out.splitlines()
    assert [len(prompt["ids"]) for prompt in found["prompts"]] == [12, 12, 12]
    run = huref("ask", *arguments, "--out", tmp_path / "asked.jsonl")
    assert run.out == "" and "3 prompts written" in run.err
    written = read_passages(tmp_path / "asked.jsonl")
    assert [{"text": one.prompt, "ids": one.prompt_ids} for one in written] == found["prompts"]
    run = huref("ask", "--tokenizer", tmp_path, "--seed", SEED.hex())
    assert run.code == 2 and "no tokenizer" in run.err
    run = huref("ask", *arguments[:2], "--seed", "12", "--json")
    assert run.code == 2 and "64 hex digits" in run.err
