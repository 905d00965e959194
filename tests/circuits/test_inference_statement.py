"""The statement of a proof of inference, field by field, and each rule of what goes together by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from huref.circuits.inference.prompt_opening import HIDDEN
from huref.circuits.inference_statement import MAX_GAP, MAX_TEXT, InferenceStatement, prepare_inference
from huref.common.errors import HurefError, Malformed, Rejected, Unsupported
from huref.common.files.canonical import canonical_json
from huref.common.files.commitment_file import CommitmentFile
from tests import ROOT
from tests.support.fields import Place, case_name, changed

BUNDLE = ROOT / "tests/vectors/bundles/answers.huref"
GOOD: dict[str, Any] = json.loads((BUNDLE / "inference.json").read_bytes())
COMMITMENT = CommitmentFile.decode((BUNDLE / "commitment.json").read_bytes(), "commitment.json")
VOCAB = COMMITMENT.directory.shape["vocab"]
ANSWER = ("answers", 1)
SMALL = {
    "ids": [0, 1],
    "first": 1,
    "gaps": [0],
    "odds": 4,
    "prompt": None,
    "answer": None,
    "prompt_digest": None,
}

ALLOWED: list[tuple[Place, Any]] = [
    (("answers",), [SMALL] * 2048),
    ((*ANSWER, "ids"), [0] * 4096),
    ((*ANSWER, "ids"), [0]),
    ((*ANSWER, "first"), 1),
    ((*ANSWER, "first"), 4096),
    ((*ANSWER, "prompt_digest"), "0123456789abcdef" * 4),
    ((*ANSWER, "gaps"), [MAX_GAP] * 4096),
    ((*ANSWER, "odds"), 1),
    ((*ANSWER, "odds"), (1 << 30) - 1),
    ((*ANSWER, "prompt"), "é" * MAX_TEXT),
    ((*ANSWER, "answer"), ""),
]
REFUSED: list[tuple[Place, Any]] = [
    (("format",), "huref-statement/2"),
    (("protocol",), "huref/proof/2"),
    (("kind",), "fingerprint"),
    (("model_id",), str.upper),
    (("model_id",), "0" * 63),
    (("answers",), []),
    (("answers",), [SMALL] * 2049),
    ((*ANSWER, "ids"), []),
    ((*ANSWER, "ids"), [0] * 4097),
    ((*ANSWER, "ids", 0), -1),
    ((*ANSWER, "ids", 0), True),
    ((*ANSWER, "ids", 0), 1.0),
    ((*ANSWER, "first"), 0),
    ((*ANSWER, "first"), 4097),
    ((*ANSWER, "prompt_digest"), ""),
    ((*ANSWER, "prompt_digest"), "0123456789ABCDEF" * 4),
    ((*ANSWER, "prompt_digest"), "0" * 65),
    ((*ANSWER, "gaps"), []),
    ((*ANSWER, "gaps"), [0] * 4097),
    ((*ANSWER, "gaps", 0), -1),
    ((*ANSWER, "gaps", 0), MAX_GAP + 1),
    ((*ANSWER, "odds"), 0),
    ((*ANSWER, "odds"), 1 << 30),
    ((*ANSWER, "prompt"), "a" * (MAX_TEXT + 1)),
    ((*ANSWER, "answer"), "a" * (MAX_TEXT + 1)),
    ((*ANSWER, "answer"), 7),
    ((*ANSWER, "more"), 7),
]


def decode(content: Any) -> InferenceStatement:
    return InferenceStatement.decode(canonical_json(content), "inference.json")


@pytest.mark.parametrize("case", ALLOWED, ids=case_name)
def test_what_it_may_say(case: tuple[Place, Any]) -> None:
    """Whether a program goes with it is for `prepare_inference`."""
    content = changed(GOOD, *case)
    assert json.loads(decode(content).encode()) == content


@pytest.mark.parametrize("case", REFUSED, ids=case_name)
def test_what_it_may_not(case: tuple[Place, Any]) -> None:
    with pytest.raises(Malformed) as caught:
        decode(changed(GOOD, *case))
    where = ".".join(map(str, case[0]))
    assert caught.value.message.startswith(f"inference.json.{where}"), caught.value.message


def prepared(content: Any, commitment: CommitmentFile = COMMITMENT) -> Any:
    return prepare_inference(decode(content), commitment)


def refused(content: Any, commitment: CommitmentFile = COMMITMENT) -> HurefError:
    with pytest.raises(HurefError) as caught:
        prepared(content, commitment)
    return caught.value


def second(**change: Any) -> dict[str, Any]:
    """The good statement with these changes of its second answer, of two claims behind two ids."""
    return changed(GOOD, ANSWER, lambda answer: {**answer, **change})


RULES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "an id of the vocabulary": (
        {"ids": [5, VOCAB - 1, 1, 2]}, {"ids": [5, VOCAB, 1, 2]}, f"ids: token ids are below {VOCAB}",
    ),
    "a claim": ({"first": 3, "gaps": [0]}, {"first": 4, "gaps": [0]}, "do not go with the ids"),
    "no fewer claims than none": ({"first": 1}, {"first": 5}, "do not go with the ids"),
    "a gap for each or one for all": ({"gaps": [0, 1]}, {"gaps": [0, 1, 2]}, "do not go with the ids"),
    "not a gap for some": (
        {"first": 1, "gaps": [0, 1, 2]}, {"first": 1, "gaps": [0, 1]}, "do not go with the ids",
    ),
    "odds of its claims": ({"odds": (2 << 18) - 1}, {"odds": 2 << 18}, "odds: more than 2 tokens can have"),
    "no text of a hidden prompt": (
        {"prompt_digest": "a" * 64, "prompt": None}, {"prompt_digest": "a" * 64, "prompt": ""},
        "prompt: a text beside ids that are hidden",
    ),
    "a gap for each id behind a hidden prompt": (
        {"prompt_digest": "a" * 64, "first": 1, "gaps": [0] * 4},
        {"prompt_digest": "a" * 64, "first": 1, "gaps": [0] * 3}, "do not go with the ids",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_what_goes_together(name: str) -> None:
    good, bad, message = RULES[name]
    assert prepared(second(**good)).digest != prepared(GOOD).digest
    error = refused(second(**bad))
    assert isinstance(error, Malformed) and message in error.message
    assert error.message.startswith("inference.answers.1"), "the answer is named"


def test_ids_of_all_answers_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids that are not run count too."""
    total = sum(len(answer["ids"]) for answer in GOOD["answers"])
    monkeypatch.setattr("huref.circuits.inference_statement.MAX_IDS", total)
    assert prepared(GOOD)
    monkeypatch.setattr("huref.circuits.inference_statement.MAX_IDS", total - 1)
    error = refused(GOOD)
    assert isinstance(error, Malformed) and f"more than {total - 1} token ids in all" in error.message


def test_maps_are_those_of_the_longest_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = max(len(answer["ids"]) for answer in GOOD["answers"]) - 1
    entries = tokens * COMMITMENT.directory.shape["head_dim"] ** 2
    monkeypatch.setattr("huref.circuits.inference_statement.MAX_TURNS", entries)
    assert prepared(GOOD)
    monkeypatch.setattr("huref.circuits.inference_statement.MAX_TURNS", entries - 1)
    error = refused(GOOD)
    assert isinstance(error, Unsupported) and f"{tokens} tokens are too many" in error.message


def test_it_is_prepared_with_its_own_commitment_alone() -> None:
    error = refused({**GOOD, "model_id": "0" * 64})
    assert isinstance(error, Rejected) and error.path == "inference.model_id"
    assert error.expected == COMMITMENT.model_id


def test_a_window_bounds_every_sequence() -> None:
    """What no program can run is malformed: a sequence longer than the facts' window."""
    directory = COMMITMENT.directory
    facts = {**(directory.inference or {}), "window": 6}
    for window, fits in ((6, True), (5, False)):
        changed_ = directory.model_copy(update={"inference": {**facts, "window": window}})
        commitment = CommitmentFile.of(changed_, COMMITMENT.root, [])
        content = {**GOOD, "model_id": commitment.model_id}
        if fits:
            assert prepared(content, commitment)
            continue
        error = refused(content, commitment)
        assert isinstance(error, Malformed) and "inference: no such program" in error.message


def test_hidden_ids_are_no_ids() -> None:
    """The answer's own ids, their places and the length of the run are those of the published statement."""
    published = decode(second(prompt=None))
    ids = published.answers[1].ids
    hidden = decode(second(ids=ids[2:], first=2, prompt_digest="a" * 64, prompt=None))
    assert hidden.lengths == published.lengths and hidden.claims() == published.claims()
    at = published.lengths[0]
    assert hidden.run_ids[: at + 3] == [*published.run_ids[:at], HIDDEN, HIDDEN, ids[2]]
    said = hidden.answers[1]
    assert (said.prompt_ids, said.answer_ids, said.hidden, said.claimed) == (None, ids[2:], 2, 2)
    assert published.answers[1].prompt_ids == ids[:2] and published.answers[1].answer_ids == ids[2:]


def test_hidden_ids_count(monkeypatch: pytest.MonkeyPatch) -> None:
    total = sum(len(answer["ids"]) for answer in GOOD["answers"])
    content = second(ids=GOOD["answers"][1]["ids"][2:], first=2, prompt_digest="a" * 64, prompt=None)
    monkeypatch.setattr("huref.circuits.inference_statement.MAX_IDS", total - 1)
    assert f"more than {total - 1} token ids" in refused(content).message
