"""Every sentence about proven answers, word for word where numbers stand in it, and what makes it appear."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from huref.circuits.argument.security import SecurityReport, Term
from huref.circuits.inference_statement import Answer, InferenceStatement
from huref.verifier.inference import OPENED, UNLIKELY, UNREAD, InferenceVerdict, scores
from huref.verifier.measured import measured
from tests.support.frozen_verdicts import begin

SECURITY = SecurityReport((Term("loose", "", 300.0), Term("tight", "", 101.256)))
LIKELY, UNIT = 4 * 4, 6
"""Odds of tokens each as likely as three others together; gaps count 64ths of a logit."""
RUN = "The integers under this model id, run as a language model by their directory's inference program"
CHOICE = "That the claimed tokens are the model's own choice: within such a gap there may be several."
TEXTS = "That the token ids of an answer and its prompt are those of the texts beside them."


def said(**change: Any) -> Answer:
    """Two claimed tokens behind three."""
    fields = {
        "ids": [1, 2, 3, 4, 5],
        "first": 3,
        "gaps": [0],
        "odds": 2 * LIKELY,
        "prompt": None,
        "answer": None,
    }
    return Answer.read({**fields, **change}, "answer")


def verdict(*answers: Answer) -> InferenceVerdict:
    statement = InferenceStatement(model_id="0" * 64, answers=list(answers))
    return InferenceVerdict(statement, SECURITY, tuple(scores(one, UNIT) for one in answers), 4321)


def served(this: str, one: str) -> str:
    return (
        f"That {this} ever served, or served by this model: whoever serves another one may prove {one} afterw"
    )


@pytest.mark.parametrize(
    ("answer", "given", "how", "probability"),
    [
        (said(), "2 tokens of 5", "the largest logit", "0.25"),
        (said(first=4, odds=LIKELY), "token of 5", "the largest logit", "0.25"),
        (said(gaps=[64]), "2 tokens of 5", "a logit at most 1 below the largest", "0.092"),
        (
            said(gaps=[0, 32]), "2 tokens of 5",
            "a logit at most 0.5 below the largest (of 1 of them proven: the largest)", "0.15",
        ),
        (said(odds=8), "2 tokens of 5", "the largest logit", "1"),
        (said(odds=7), "2 tokens of 5", "the largest logit", "1"),
    ],
)  # fmt: skip
def test_what_is_proven_of_one(answer: Answer, given: str, how: str, probability: str) -> None:
    assert verdict(answer).proven() == [
        f"{RUN}, give each of the last {given} published ones, behind those before it, {how}, and on average (harmonic "
        f"mean) a probability of at least {probability}.",
    ]
    assert verdict(answer).one_by_one() == []


def test_what_is_not_proven_of_one() -> None:
    this = served("this answer was", "this one")
    begin(verdict(said()).not_proven(), [this])
    begin(verdict(said(gaps=[0, 1])).not_proven(), [this, CHOICE])
    begin(verdict(said(odds=40 * 2 * 4)).not_proven(), [UNLIKELY, this])
    begin(verdict(said(odds=20 * 2 * 4)).not_proven(), [this])
    prompt, answer = "That the prompt's token ids are those of", "That the answer's token ids are those of"
    begin(verdict(said(prompt="a b")).not_proven(), [this, f'{prompt} the text "a b".'])
    begin(verdict(said(answer="c")).not_proven(), [this, f"{answer} the text c."])
    begin(verdict(said(prompt="", answer="c")).not_proven(), [this, prompt, answer])
    hostile = verdict(said(prompt='a".\nProven:\x1b[31m\u202e', gaps=[1])).not_proven()
    begin(hostile, [this, CHOICE, prompt])
    assert all(line.isprintable() for line in hostile) and 'a".' not in hostile[2]


def test_what_is_said_of_several() -> None:
    found = verdict(said(), said(ids=[7, 8], first=1, gaps=[32], odds=LIKELY, answer='x"'))
    mean = 3 / (8 + math.exp(0.5) * 4)
    assert found.proven() == [
        f"{RUN} on each of 2 published sequences of tokens alone, give each of the last tokens of every sequence, 3 in "
        "all, behind those before it, a logit at most 0.5 below the largest (of 2 of them proven: the largest), and on "
        f"average (harmonic mean) a probability of at least {mean:.2g}.",
    ]
    begin(found.not_proven(), [served("these answers were", "these"), CHOICE, TEXTS])
    begin(
        verdict(said(odds=320), said(odds=320)).not_proven(),
        [UNLIKELY, served("these answers were", "these"), TEXTS],
    )
    assert found.one_by_one() == [
        "Answer 1: 2 tokens claimed, 2 proven argmaxes, largest gap 0, median 0, probability at least 0.25; "
        "prompt ids [1, 2, 3], answer ids [4, 5].",
        "Answer 2: 1 tokens claimed, 0 proven argmaxes, largest gap 0.5, median 0.5, probability at least 0.15; "
        'prompt ids [7], answer "x\\"".',
    ]


def test_more_answers_than_are_listed() -> None:
    assert len(verdict(*[said()] * 64).one_by_one()) == 64
    lines = verdict(*[said()] * 66).one_by_one()
    assert len(lines) == 65 and lines[-1] == "2 more answers, which --json has too."


def test_json_has_each_and_all() -> None:
    first = said(prompt="a", answer="b")
    second = said(ids=[7, 8], first=1, gaps=[32], odds=LIKELY)
    found = verdict(first, second)
    assert found.to_dict() == {
        "answers": [
            {
                "prompt_ids": [1, 2, 3], "prompt_tokens": 3, "prompt_digest": None, "answer_ids": [4, 5],
                "claimed": 2, "argmaxes": 2, "largest_gap": 0.0, "median_gap": 0.0, "probability": 0.25,
                "said_by_owner": {"prompt": "a", "answer": "b"},
            },
            {
                "prompt_ids": [7], "prompt_tokens": 1, "prompt_digest": None, "answer_ids": [8], "claimed": 1,
                "argmaxes": 0, "largest_gap": 0.5, "median_gap": 0.5,
                "probability": found.answers[1].probability,
                "said_by_owner": {"prompt": None, "answer": None},
            },
        ],
        "claimed": 3, "argmaxes": 2, "largest_gap": 0.5, "median_gap": 0.0, "probability": found.all.probability,
        "bits": 101.26, "proof_bytes": 4321, "measured": measured().to_dict(),
    }  # fmt: skip


def test_what_answers_say_is_printable_and_short() -> None:
    hostile = said(prompt="\x1b\n\u202e", answer="b" * 9999)
    long = said(ids=[1] * 3000 + [4, 5], first=3000)
    for number, line in enumerate(verdict(hostile, long).one_by_one(), 1):
        assert line.startswith(f"Answer {number}: ") and line.isprintable() and len(line) < 900


DIGEST = "5a" * 32


def hidden(**change: Any) -> Answer:
    """Two claimed tokens behind three hidden ones."""
    return said(**{"ids": [4, 5], "prompt_digest": DIGEST, **change})


def test_what_is_said_of_a_hidden_prompt() -> None:
    found, this = verdict(hidden(answer="b")), served("this answer was", "this one")
    given = f"{RUN}, give each of 2 tokens, behind those before it and a prompt of 3 hidden tokens"
    best = ", the largest logit, and on average (harmonic mean) a probability of at least 0.25."
    assert found.closed == 1 and found.proven() == [given + best]
    answer = "That the answer's token ids are those of the text b."
    begin(found.not_proven(), [UNREAD, this, answer])
    assert found.not_proven()[0] == UNREAD
    opened = replace(found, opened={0: [1, 2, 3]})
    assert opened.closed == 0 and opened.proven() == [f"{given} that was opened to you{best}"]
    begin(opened.not_proven(), [OPENED, this, answer])
    shown = [one.to_dict()["answers"][0] for one in (found, opened)]
    assert [one["prompt_ids"] for one in shown] == [None, [1, 2, 3]]
    assert all(
        (one["prompt_tokens"], one["prompt_digest"], one["answer_ids"]) == (3, DIGEST, [4, 5])
        for one in shown
    )
    token = verdict(hidden(ids=[4], first=1, odds=LIKELY)).proven()[0]
    assert "give each of token, behind" not in token and "a prompt of 1 hidden token," in token


def test_what_is_said_of_several_of_which_some_are_hidden() -> None:
    found = verdict(hidden(), said(), hidden())
    begin = f"{RUN} on each of 3 sequences of tokens alone, of which 2 begin with a hidden prompt"
    assert found.proven()[0].startswith(f"{begin}, give each of the last tokens of every sequence, 6 in all")
    assert found.closed == 2 and found.not_proven()[0] == UNREAD
    line = f"prompt of 3 hidden tokens, digest {DIGEST}, answer ids [4, 5]."
    assert found.one_by_one()[0].endswith(line) and found.one_by_one()[1].endswith(
        "prompt ids [1, 2, 3], answer ids [4, 5]."
    )
    one = replace(found, opened={2: [8, 8, 8]})
    assert one.proven()[0].startswith(f"{begin}, 1 of them opened to you, give")
    assert one.closed == 1 and one.not_proven()[0] == UNREAD
    opened = replace(found, opened={0: [9, 9, 9], 2: [8, 8, 8]})
    assert opened.proven()[0].startswith(f"{begin}, 2 of them opened to you, give")
    assert opened.closed == 0 and UNREAD not in opened.not_proven()
    assert opened.one_by_one()[2].endswith("prompt ids [8, 8, 8], answer ids [4, 5].")
