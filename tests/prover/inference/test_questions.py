"""From options or a file to prompts with their answers; what does not go together is said by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from huref.common.errors import Malformed, UsageError
from huref.common.files.passages import Passage, passage_lines, read_passages
from huref.prover.inference.questions import paired, questions
from huref.prover.vocabulary.encode import TextCoder
from tests.conftest import Made
from tests.support.command import huref
from tests.support.tiny_tokenizer import common_words


def test_options_are_paired_in_their_order() -> None:
    found = paired(["a", "b"], [], [], [[3], [4, 5]], None)
    assert found == [Passage(prompt="a", answer_ids=[3]), Passage(prompt="b", answer_ids=[4, 5])]
    assert paired([], [[1], [2]], [], [], 7) == [Passage(prompt_ids=[1]), Passage(prompt_ids=[2])]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((["a"], [[1]], ["b"], [], None), "every prompt with --prompt, or every one"),
        (([], [], ["b"], [], None), "every prompt with --prompt, or every one"),
        ((["a"], [], [], [], None), "one of --answer, --answer-ids and --generate"),
        ((["a"], [], ["b"], [[1]], None), "one of --answer, --answer-ids and --generate"),
        ((["a"], [], ["b"], [], 3), "one of --answer, --answer-ids and --generate"),
        ((["a", "b", "c"], [], ["d", "e"], [], None), "3 prompts and 2 answers"),
        ((["a"], [], [], [[1], [2]], None), "1 prompt and 2 answers"),
    ],
)
def test_options_that_do_not_go_together(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        paired(*given)


def test_texts_and_ids_beside_them_have_to_agree(tiny: Made) -> None:
    coder, (first, second, third) = TextCoder.of(tiny.checkpoint), common_words(3)
    prompt, answer = f"{first} {second}", f" {third}"
    ids, begin = coder.continued(prompt, answer)
    whole = Passage(prompt=prompt, prompt_ids=ids[:begin], answer=answer, answer_ids=ids[begin:])
    (found,) = questions([whole], None, tiny.commitment, None)
    assert (found.ids, found.first, found.prompt, found.answer) == (ids, begin, prompt, answer)
    for changed, name in (
        ({"prompt_ids": [*ids[:begin], 1]}, "prompt"),
        ({"answer_ids": [1, *ids[begin:]]}, "answer"),
        ({"prompt_ids": [1], "answer": None}, "prompt"),
        ({"prompt": None, "answer_ids": [1]}, "answer"),
    ):
        with pytest.raises(
            UsageError, match=f"prompt 2: the tokenizer cuts the text of the {name} into other"
        ):
            questions([whole, whole.model_copy(update=changed)], None, tiny.commitment, None)


def test_an_answer_too_few_or_too_many(tmp_path: Path) -> None:
    told, untold = Passage(prompt_ids=[1], answer_ids=[2]), Passage(prompt_ids=[1])
    with pytest.raises(UsageError, match="prompt 2: there is no answer"):
        questions([told, untold], None, tmp_path, None)
    with pytest.raises(UsageError, match="prompt 1: there is an answer, and --generate asks for another"):
        questions([told, untold], 4, tmp_path, None)


def test_lines_of_json_are_read_as_they_are_written(tmp_path: Path) -> None:
    file = tmp_path / "asked.jsonl"
    passages = [Passage(prompt="é 🙂\u2028", prompt_ids=[1, 2]), Passage(prompt_ids=[3], answer="ok")]
    file.write_bytes(passage_lines(passages) + b"\n")
    assert read_passages(file) == passages
    assert b"answer" not in passage_lines(passages[:1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no prompts"),
        (b'{"prompt": "a"}\n{"promt": "b"}', r"line 2\.promt: Extra inputs"),
        (b'{"prompt": "a"}\n\n[1]', "line 3: not a JSON object"),
        (b'{"answer": "a"}', "line 1: neither prompt nor prompt_ids"),
        (b'{"prompt_ids": [1, -1]}', r"line 1\.prompt_ids\.1"),
        (b'{"prompt_ids": [true]}', r"line 1\.prompt_ids\.0"),
        (b'{"prompt": "a", "prompt": "b"}', "line 1: not a JSON object"),
        (b"\xff", "not a text in UTF-8"),
        (b"\n" * (1 << 12), "more than 4096 lines"),
    ],
)
def test_other_files_are_malformed(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(Malformed, match=message):
        read_passages(tmp_path / "a.jsonl")


def test_the_command_says_what_is_wrong(tiny: Made, tmp_path: Path) -> None:
    asked = tmp_path / "asked.jsonl"
    asked.write_bytes(passage_lines([Passage(prompt_ids=[1])]))
    for given, code, words in (
        (("--prompts", asked), 2, "there is no answer"),
        (("--prompts", asked, "--prompt", "a"), 2, "each with an option of its own"),
        (("--prompts", tmp_path / "none"), 4, "no such file"),
        (("--prompts", tiny.checkpoint / "config.json"), 3, "line 1"),
        (("--prompt-ids", "[1]", "--prompt-ids", "[2]", "--answer-ids", "[3]"), 2, "2 prompts and 1 answer"),
        (("--prompt-ids", "[1]", "--prompt-ids", "[2]", "--answer-ids", "[3]", "--answer-ids", "[]"), 2,
         "prompt 2: a prompt of at least one token is needed, and an answer"),
    ):  # fmt: skip
        run = huref("prove-inference", "--commitment", tiny.commitment, "--out", tmp_path / "a.huref", *given)
        assert run.code == code and words in run.err, (given, run.err)
    assert not (tmp_path / "a.huref").exists()
