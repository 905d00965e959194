"""Text to token ids by a checkpoint's own tokenizer, in every format that one comes in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

from huref.common.errors import Malformed, UsageError
from huref.prover.demo.checkpoints import find
from huref.prover.vocabulary.encode import TextCoder, decode, encode
from huref.prover.vocabulary.gguf_tokenizer import gguf_vocabulary

TEXT = "The harbour was quiet, and 12 boats lay there.\n"
WORDS = ("<s>", "[UNK]", "the", "harbour", "is", "quiet", "</s>")


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """tokenizer.json of words, whose texts begin with <s>."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in ("<s>", "</s>")])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_a_text_begins_as_the_post_processor_says(words: Path) -> None:
    assert encode(words, "the harbour is quiet") == [0, 2, 3, 4, 5]
    assert encode(words / "tokenizer.json", "the fish") == [0, 2, 1]
    assert decode(words, [0, 2, 3, 6]) == "<s> the harbour </s>"


def test_an_answer_goes_on_where_the_prompt_ends(words: Path) -> None:
    coder = TextCoder.of(words)
    assert coder.continued("the harbour", " is quiet") == ([0, 2, 3, 4, 5], 3)
    assert coder.continued("the harb", "our is") == (
        [0, 2, 1, 1, 4],
        3,
    )  # the prompt's ids stay what they were


def test_what_has_no_ids_is_refused(words: Path) -> None:
    coder = TextCoder.of(words, 6)
    with pytest.raises(UsageError, match="'</s>' has no row in the embedding of 6"):
        coder.encode("the </s>")
    with pytest.raises(UsageError, match="99 is no token"):
        coder.decode([2, 99])
    with pytest.raises(UsageError, match="no tokens"):
        coder.continued("the harbour", "")
    with pytest.raises(UsageError, match="no tokenizer"):
        encode(words.parent, "the")


def test_an_empty_text_has_no_tokens(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UsageError, match="'' has no tokens"):
        encode(tmp_path, "")


def test_a_gguf_vocabulary(tmp_path: Path) -> None:
    coder = TextCoder.of(find("smollm2"), 49152)
    ids = coder.encode(TEXT)
    assert coder.decode(ids) == TEXT and 1 not in ids  # this model's texts begin with no token of their own
    assert coder.continued("The harb", "our was") == (coder.encode("The harb") + coder.encode("our was"), 2)
    joint, first = coder.continued("The harbour", " was quiet")
    assert joint == coder.encode("The harbour was quiet") and first == len(coder.encode("The harbour"))
    coder.tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert (
        transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json")).encode(TEXT)
        == ids
    )


@pytest.fixture(scope="module")
def piece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece model of the layout of LLaMA's."""
    import sentencepiece

    folder = tmp_path_factory.mktemp("piece")
    corpus = folder / "corpus.txt"
    corpus.write_text("".join(f"the harbour {i} was quiet and boats lay there\n" for i in range(300)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(folder / "tokenizer"), vocab_size=330, model_type="bpe",
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=2,
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("text", ["the harbour was quiet", "boats 77, Öl and 東\n", "quiet  there"])
def test_a_sentence_piece_model(piece: Path, text: str) -> None:
    import sentencepiece

    own = sentencepiece.SentencePieceProcessor(model_file=str(piece / "tokenizer.model"), add_bos=True)
    coder = TextCoder.of(piece)
    assert coder.encode(text) == own.encode(text)
    assert coder.decode(coder.encode(text)[1:]) == own.decode(own.encode(text))


def test_answers_after_sentence_piece_have_no_space_of_their_own(piece: Path) -> None:
    coder = TextCoder.of(piece)
    joint = coder.encode("the harbour was quiet")
    assert coder.continued("the harbour", " was quiet") == (joint, len(coder.encode("the harbour")))
    ids, first = coder.continued("the harb", "our was quiet")
    assert ids[:first] == coder.encode("the harb") and coder.decode(ids[1:]) == "the harbour was quiet"


def test_the_config_decides_whether_a_text_has_a_beginning(piece: Path) -> None:
    config = piece / "tokenizer_config.json"
    config.write_text(json.dumps({"add_bos_token": False}))
    try:
        assert encode(piece, "quiet")[0] != 1
    finally:
        config.unlink()
    assert encode(piece, "quiet")[0] == 1


def _gguf(**more: Any) -> dict[str, Any]:
    tokens = ["<s>", "a", "b", "<unk>"]
    said = {"model": "llama", "tokens": tokens, "scores": [0.0, 0.0, 0.0, 0.0], "token_type": [3, 1, 1, 2]}
    said |= {"add_space_prefix": False, "bos_token_id": 0}
    return {f"tokenizer.ggml.{name}": value for name, value in (said | more).items()}


@pytest.mark.parametrize(
    ("more", "begun"),
    [
        ({}, True),
        ({"add_bos_token": False}, False),
        ({"add_bos_token": True}, True),
        ({"bos_token_id": None}, False),
    ],
)
def test_a_gguf_file_says_how_texts_begin(more: dict[str, Any], begun: bool) -> None:
    vocabulary = gguf_vocabulary(_gguf(**more))
    assert vocabulary is not None and vocabulary.tokenizer.encode("ab").ids == [0, 1, 2][not begun :]
    assert vocabulary.tokenizer.encode("ab", add_special_tokens=False).ids == [1, 2]


@pytest.mark.parametrize("pre", ["llama-bpe", "gpt-2"])
def test_byte_level_vocabularies_differ_in_it(pre: str) -> None:
    merges = {
        "model": "gpt2",
        "pre": pre,
        "merges": ["a b"],
        "tokens": ["<s>", "a", "b", "ab"],
        "token_type": [3, 1, 1, 1],
    }
    vocabulary = gguf_vocabulary(_gguf(**merges))
    assert vocabulary is not None and vocabulary.tokenizer.encode("ab").ids == (
        [0, 3] if pre == "llama-bpe" else [3]
    )


@pytest.mark.parametrize("begin", [4, -9, -1, "0", 1.5])
def test_a_beginning_that_is_no_token(begin: Any) -> None:
    with pytest.raises(Malformed, match="bos_token_id"):
        gguf_vocabulary(_gguf(bos_token_id=begin))
