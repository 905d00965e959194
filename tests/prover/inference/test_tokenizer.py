"""Texts need no tokenizer where the commitment knows its own, and never another one than it was made with."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from huref.common.errors import InputOutputError, Malformed, ProverError, UsageError
from huref.common.files.keys import SecretKey
from huref.common.files.passages import Passage
from huref.prover.commands.prove_inference import _passages
from huref.prover.commitment.tokenizer_place import TokenizerPlace
from huref.prover.inference import prove as proving
from huref.prover.inference.prove import Question, check_commitment, prove_inference
from huref.prover.inference.questions import questions
from huref.prover.inference.tokenizer import tokenizer_of
from huref.prover.vocabulary.encode import TextCoder
from huref.prover.vocabulary.tokens import own_vocabulary
from tests.conftest import Made
from tests.support.command import huref
from tests.support.tiny_tokenizer import common_words

NAME = "tokenizer-place.json"


def asked(
    commitment: Path, tokenizer: Path | None = None, generate: int | None = 2, **passage: Any
) -> Question:
    """The question of one passage."""
    named = None if tokenizer is None else str(tokenizer)
    (found,) = questions([Passage(**passage)], generate, commitment, named)
    return found


@pytest.fixture
def copied(tiny: Made, tmp_path: Path) -> Path:
    """A folder with a commitment's kept place, and a copy of the tokenizer there."""
    (tmp_path / "private").mkdir()
    (tmp_path / "model").mkdir()
    shutil.copy(tiny.checkpoint / "tokenizer.json", tmp_path / "model")
    kept = TokenizerPlace.read(tiny.commitment / "private")
    assert kept is not None
    TokenizerPlace(tmp_path / "model", kept.digest).write(tmp_path / "private")
    return tmp_path


def test_a_commitment_knows_its_tokenizer(tiny: Made) -> None:
    found = tokenizer_of(tiny.commitment, None)
    assert found.digest == own_vocabulary(tiny.checkpoint, tiny.checkpoint, None).digest
    assert stat.S_IMODE((tiny.commitment / "private" / NAME).stat().st_mode) == 0o600
    assert NAME not in {path.name for path in tiny.bundle.iterdir()}


def test_texts_are_the_same_with_and_without_naming_it(tiny: Made) -> None:
    text = " ".join(common_words(3))
    named = asked(tiny.commitment, tiny.checkpoint, prompt=text)
    assert named.ids == [0, 1, 2]
    assert asked(tiny.commitment, prompt=text) == named


def test_ids_need_none(tmp_path: Path) -> None:
    assert asked(tmp_path, prompt_ids=[1, 2]).ids == [1, 2]
    with pytest.raises(UsageError, match="tokenizer"):
        asked(tmp_path, prompt="a text")


def test_another_tokenizer_at_the_place_is_refused(copied: Path) -> None:
    assert tokenizer_of(copied, None).digest
    file = copied / "model" / "tokenizer.json"
    changed = json.loads(file.read_text())
    first, second = common_words(2)
    vocabulary = changed["model"]["vocab"]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    file.write_text(json.dumps(changed))
    with pytest.raises(ProverError, match="another tokenizer"):
        tokenizer_of(copied, None)
    assert tokenizer_of(copied, copied / "model").digest  # who names it has chosen it
    file.unlink()
    with pytest.raises(ProverError, match="no longer there"):
        tokenizer_of(copied, None)


@pytest.mark.parametrize(
    "content", ["{}", "[]", '{"format": "huref-tokenizer-place/1", "path": 1, "digest": ""}']
)
def test_a_damaged_place_is_malformed(copied: Path, content: str) -> None:
    (copied / "private" / NAME).write_text(content)
    with pytest.raises(Malformed, match=r"names no tokenizer|not a JSON object"):
        tokenizer_of(copied, None)


def test_prompts_by_a_commitments_tokenizer(tiny: Made, tmp_path: Path) -> None:
    seed = ("--seed", "00" * 32)
    for both in ((), ("--tokenizer", tiny.checkpoint, "--commitment", tiny.commitment)):
        assert huref("ask", *seed, *both).code == UsageError.exit_code
    named = huref("ask", *seed, "--tokenizer", tiny.checkpoint)
    known = huref("ask", *seed, "--commitment", tiny.commitment)
    assert (known.code, known.out, known.err) == (named.code, named.out, named.err)


def test_an_answer_is_told_where_its_text_leads_back(tiny: Made) -> None:
    coder = TextCoder.of(tiny.checkpoint)
    first, second, third = common_words(3)
    prompt, answer = f"{first} {second}", f" {third}"
    ids, begin = coder.continued(prompt, answer)
    told = coder.told(prompt, ids, begin)
    assert told is not None and coder.continued(prompt, told) == (ids, begin)
    assert coder.told(prompt, [*ids, 1 << 20], begin) is None  # no token
    assert coder.told(f"{second} {first}", ids, begin) is None  # the ids are behind another prompt
    question = asked(tiny.commitment, generate=1, prompt=prompt)
    assert question.told is not None and question.told(ids) == told


def test_what_is_no_answer_is_said_before_the_work(
    tiny: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*arguments: object) -> None:
        raise AssertionError("the commitment was opened")

    monkeypatch.setattr(proving, "open_commitment", work)
    one = Question([1], 1, 1)
    for several in (
        [Question([1 << 20], 1, 2)],
        [Question([], 0, 2)],
        [Question([1], 1)],
        [Question([1], 1, 1 << 20)],
        [],
    ):
        with pytest.raises(UsageError):
            prove_inference(tiny.commitment, tmp_path / "a.huref", several)
    with pytest.raises(UsageError, match="prompt 2: a prompt of at least one token is needed, and an answer"):
        prove_inference(tiny.commitment, tmp_path / "a.huref", [one, Question([1], 1)])
    with pytest.raises(UsageError, match="at most 4096 tokens, these are 4098"):
        prove_inference(tiny.commitment, tmp_path / "a.huref", [Question([1], 1, 2048)] * 2)
    with pytest.raises(UsageError, match="names no owner"):
        prove_inference(tiny.commitment, tmp_path / "a.huref", [one], key=SecretKey.generate())
    with pytest.raises(InputOutputError, match="the private part of a commitment is not there"):
        prove_inference(tiny.bundle, tmp_path / "a.huref", [one])
    public = proving.read_public(tiny.commitment)
    without = public.model_copy(update={"directory": public.directory.model_copy(update={"inference": None})})
    monkeypatch.setattr(proving, "read_public", lambda folder: without)
    with pytest.raises(UsageError, match="no inference program"):
        check_commitment(tiny.commitment, None)
    assert not list(tmp_path.iterdir())


def test_a_text_that_looks_like_the_name_of_a_file(tiny: Made, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = _passages(None, ["prompt.txt"], None, None, None, 1)
    assert found.prompt == "prompt.txt"
    assert "there is no file prompt.txt" in capsys.readouterr().err
