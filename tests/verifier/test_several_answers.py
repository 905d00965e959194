"""Several answers in one proof: what is said of each, what a reader may ask of them, and what is rejected."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from huref.circuits.inference_statement import MAX_IDS, Answer, InferenceStatement
from huref.common.errors import HurefError, Malformed, Rejected, UsageError
from huref.common.files import bundle as form
from huref.common.files.bundle import parse_bundle
from huref.common.files.passages import Passage, passage_lines
from huref.common.rejection import meaning
from huref.prover.inference.prove import Answered, Question, prove_inference
from huref.verifier.inference import ANSWERS, InferenceVerdict, scores
from huref.verifier.report.inspect_html import page
from huref.verifier.report.inspection import inspect
from tests.conftest import Made
from tests.support.command import huref
from tests.support.forge import Files, check, load, reseal
from tests.support.schemas import validate

QUESTIONS = [
    Question([3, 7, 11, 20], 4, generate=3, prompt="of four"),
    Question([5, 6], 2, generate=2),
    Question([9, 8, 7, 6], 4, generate=3, prompt="of other four"),
    Question([5, 6, 1, 2], 2),
]
"""Three that the model answers and one that is given: two lengths of sequences, and two of each."""


@pytest.fixture(scope="module")
def made(tiny: Made, tmp_path_factory: pytest.TempPathFactory) -> Answered:
    out = tmp_path_factory.mktemp("answers") / "a.huref"
    return prove_inference(tiny.commitment, out, QUESTIONS, fingerprint=tiny.bundle)


@pytest.fixture(scope="module")
def files(made: Answered) -> Files:
    return load(made.path)


@pytest.fixture(scope="module")
def found(made: Answered) -> InferenceVerdict:
    assert made.verdict.inference is not None
    return made.verdict.inference


@pytest.fixture(scope="module")
def statement(found: InferenceVerdict) -> InferenceStatement:
    return found.statement


def test_every_answer_is_that_of_its_prompt_alone(
    statement: InferenceStatement, answered: Answered, tiny: Made
) -> None:
    """The first question is the one of the bundle with a single answer."""
    assert answered.verdict.inference is not None
    (alone,) = answered.verdict.inference.statement.answers
    first = statement.answers[0]
    assert (first.ids, first.gaps, first.odds) == (alone.ids, alone.gaps, alone.odds)
    assert [answer.ids[: answer.first] for answer in statement.answers] == [
        list(question.ids[: question.first]) for question in QUESTIONS
    ]
    assert statement.lengths == (6, 3, 6, 3) and statement.claimed == 10


def test_what_is_said_of_each(made: Answered, files: Files, found: InferenceVerdict) -> None:
    sentence = found.proven()[0]
    assert "on each of 4 published sequences of tokens alone" in sentence and ", 10 in all," in sentence
    heading, lines = made.verdict.sections()[3]
    assert heading == ANSWERS and len(lines) == 4
    assert lines[0].startswith(
        "Answer 1: 3 tokens claimed, 3 proven argmaxes, largest gap 0, median 0, probab"
    )
    assert (
        'prompt "of four", answer ids [' in lines[0] and "prompt ids [5, 6], answer ids [1, 2]." in lines[3]
    )
    run, shown_page = huref("verify", made.path), page(inspect(parse_bundle(Path("a"), files)))
    assert "10 tokens claimed" in run.out and "in 4 answers" in run.out
    assert all(line in run.out for line in lines) and "give the 4 answers below" in shown_page
    assert all(line.replace('"', "&quot;") in shown_page for line in lines)
    said = validate(made.verdict.to_dict(), "verdict")["inference"]
    assert [one["claimed"] for one in said["answers"]] == [3, 2, 3, 2] and said["claimed"] == 10
    assert said["answers"][2]["said_by_owner"]["prompt"] == "of other four"
    assert said["largest_gap"] == max(one["largest_gap"] for one in said["answers"]) > 0
    assert not any("token ids are those of the text " in line for line in made.verdict.not_proven())


def test_numbers_of_all_follow_from_those_of_each(found: InferenceVerdict) -> None:
    shown = found.all
    assert shown.argmaxes == sum(one.argmaxes for one in found.answers) == 8
    inverse = sum(len(one.gaps) / one.probability for one in found.answers)
    assert math.isclose(shown.probability, 10 / inverse)


def test_many_answers_are_counted_not_listed(found: InferenceVerdict) -> None:
    said = found.statement.model_copy(update={"answers": found.statement.answers * 20})
    lines = replace(found, statement=said, answers=found.answers * 20).one_by_one()
    assert len(lines) == 65 and lines[-1] == "16 more answers, which --json has too."


@pytest.mark.parametrize("condition", ["max_gap", "min_argmax", "min_probability"])
def test_conditions_are_on_all_answers_and_name_the_least(
    condition: str, files: Files, found: InferenceVerdict
) -> None:
    bound = {"max_gap": found.all.largest, "min_argmax": 0.8, "min_probability": found.all.probability}[
        condition
    ]
    check(files, **{condition: bound})
    worse = math.nextafter(bound, -1 if condition == "max_gap" else 2)
    with pytest.raises(Rejected, match=r"least in answer 4 of 4: 2 tokens claimed, 0 proven") as caught:
        check(files, **{condition: worse})
    assert caught.value.path == f"expect.{condition}"


def passages(statement: InferenceStatement, *, answers: bool = False) -> list[Passage]:
    return [
        Passage(prompt_ids=one.ids[: one.first], answer_ids=one.ids[one.first :] if answers else None)
        for one in statement.answers
    ]


ASKED: dict[str, tuple[Callable[[list[Passage]], list[Passage]], str]] = {
    "one left out": (lambda asked: asked[:-1], "another number of answers than of prompts"),
    "one more": (lambda asked: [*asked, asked[0]], "another number of answers than of prompts"),
    "two exchanged": (lambda asked: [asked[2], asked[1], asked[0], asked[3]], "prompt 1 is another one"),
    "one twice": (lambda asked: [asked[0], asked[1], asked[0], asked[3]], "prompt 3 is another one"),
    "another answer": (
        lambda asked: [*asked[:3], asked[3].model_copy(update={"answer_ids": [1, 3]})], "answer 4 is another one",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_the_prompts_that_were_asked(
    name: str, files: Files, statement: InferenceStatement, tmp_path: Path
) -> None:
    file = tmp_path / "asked.jsonl"
    for answers in (False, True):
        file.write_bytes(passage_lines(passages(statement, answers=answers)))
        check(files, prompts=file)
    change, message = ASKED[name]
    file.write_bytes(passage_lines(change(passages(statement))))
    with pytest.raises(Rejected, match=message) as caught:
        check(files, prompts=file)
    assert caught.value.path == "expect.prompts" and "other prompts" in meaning(caught.value.path)


def test_prompts_are_asked_for_by_their_ids(
    files: Files, statement: InferenceStatement, tiny: Made, tmp_path: Path
) -> None:
    file = tmp_path / "asked.jsonl"
    for passage, what in (
        (Passage(prompt="of four"), "prompt 1"),
        (Passage(prompt_ids=[1], answer="a"), "answer 1"),
    ):
        file.write_bytes(passage_lines([passage]))
        with pytest.raises(UsageError, match=f"{what} has no token ids"):
            check(files, prompts=file)
    whole = [
        one.model_copy(update={"prompt": "said", "answer": "too"})
        for one in passages(statement, answers=True)
    ]
    file.write_bytes(passage_lines(whole))
    check(files, prompts=file)  # texts beside ids are not compared
    file.write_bytes(passage_lines([Passage(prompt_ids=[1])]))
    run = huref("verify", tiny.bundle, "--prompts", file)
    assert run.code == Rejected.exit_code and "expect.inference" in run.err + run.out


def _with(files: Files, statement: InferenceStatement, answers: list[Answer]) -> Files:
    changed = statement.model_copy(update={"answers": answers})
    return reseal({**files, form.INFERENCE: changed.encode()})


def _moved(said: list[Answer]) -> list[Answer]:
    """The first token of the second sequence behind the last one of the first."""
    first, second, *others = said
    ids = [*first.ids, second.ids[0]]
    return [
        first.model_copy(update={"ids": ids}),
        second.model_copy(update={"ids": second.ids[1:], "first": 1}),
        *others,
    ]


def _prompts_exchanged(said: list[Answer]) -> list[Answer]:
    first, second, third, fourth = said
    return [
        first.model_copy(update={"ids": third.ids[:4] + first.ids[4:]}),
        second,
        third.model_copy(update={"ids": first.ids[:4] + third.ids[4:]}),
        fourth,
    ]


def _odds_exchanged(said: list[Answer]) -> list[Answer]:
    first, second, *others = said
    moved = {"odds": first.odds + 1}, {"odds": second.odds - 1}
    return [first.model_copy(update=moved[0]), second.model_copy(update=moved[1]), *others]


CHANGES: dict[str, Callable[[list[Answer]], list[Answer]]] = {
    "an answer left out": lambda said: said[:-1],
    "the first left out": lambda said: said[1:],
    "an answer doubled": lambda said: [*said, said[-1]],
    "an answer doubled in another's place": lambda said: [said[0], said[1], said[0], said[3]],
    "answers in another order": lambda said: [said[2], said[1], said[0], said[3]],
    "two prompts exchanged": _prompts_exchanged,
    "a sequence moved by one": _moved,
    "all in one sequence": lambda said: [
        said[0].model_copy(update={"ids": [i for one in said for i in one.ids], "gaps": [1 << 16]})
    ],
    "one answer's tokens less likely for another's": _odds_exchanged,
    "another gap for one": lambda said: [
        *said[:3],
        said[3].model_copy(update={"gaps": [said[3].gaps[0] + 1]}),
    ],
    "a text for one": lambda said: [*said[:3], said[3].model_copy(update={"answer": "a text"})],
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_answer_is_bound(name: str, files: Files, statement: InferenceStatement) -> None:
    """Where a proof of what is said would be of another length, its bytes may be no messages at all."""
    with pytest.raises((Rejected, Malformed)) as caught:
        check(_with(files, statement, CHANGES[name](statement.answers)))
    assert isinstance(caught.value, Malformed) or caught.value.path.startswith("inference.")


FORMS: dict[str, tuple[Callable[[list[Answer]], list[Answer]], str]] = {
    "no answer": (lambda said: [], r"inference\.json\.answers: "),
    "an empty answer": (
        lambda said: [*said[:3], said[3].model_copy(update={"ids": said[3].ids[:2]})], r"answers\.3: gaps and",
    ),
    "an empty prompt": (
        lambda said: [said[0].model_copy(update={"first": 0}), *said[1:]], r"inference\.json\.answers\.0\.first",
    ),
    "a sequence of one token": (
        lambda said: [said[0].model_copy(update={"ids": [1], "first": 1}), *said[1:]], r"answers\.0: gaps and",
    ),
    "gaps of another answer's length": (
        lambda said: [said[0], said[1].model_copy(update={"gaps": [0, 0, 0]}), *said[2:]], r"answers\.1: gaps and",
    ),
    "odds of more tokens": (
        lambda said: [*said[:3], said[3].model_copy(update={"odds": 2 << 18})], r"answers\.3\.odds: more than 2 ",
    ),
    "a token that is none": (
        lambda said: [*said[:3], said[3].model_copy(update={"ids": [5, 6, 1, 384]})], r"answers\.3\.ids: token ids",
    ),
    "too many tokens in all": (lambda said: said * (MAX_IDS // 18), "more than 4096 token ids in all"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_impossible_answers(name: str, files: Files, statement: InferenceStatement) -> None:
    change, message = FORMS[name]
    with pytest.raises(HurefError, match=message) as caught:
        check(_with(files, statement, change(statement.answers)))
    assert isinstance(caught.value, Malformed)


def test_gaps_of_every_token(tiny: Made, tmp_path: Path) -> None:
    done = prove_inference(
        tiny.commitment, tmp_path / "a.huref", QUESTIONS[1:], fingerprint=tiny.bundle, each=True
    )
    assert done.verdict.inference is not None
    first, _, given = done.verdict.inference.statement.answers
    assert first.gaps == [0, 0] and len(given.gaps) == 2 and given.gaps != [0, 0]
    assert scores(given, 6).argmaxes < 2
