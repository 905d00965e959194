"""A bundle with hidden prompts as its readers meet it: what shows of the prompts, what opens them, what is refused."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from huref.circuits.inference_statement import MAX_IDS
from huref.common.errors import HurefError, Malformed, Rejected, UsageError
from huref.common.files import bundle as form
from huref.common.files.bundle import parse_bundle
from huref.common.files.canonical import canonical_json
from huref.common.files.commitment_file import CommitmentFile
from huref.common.files.passages import Passage, passage_lines, read_passages
from huref.prover.inference.prove import Answered, Question, opening_of, prove_inference
from huref.verifier.commands.verify import describe
from huref.verifier.inference import OPENED, UNREAD, InferenceVerdict, verify_inference
from huref.verifier.report.inspect_html import page
from huref.verifier.report.inspection import Inspection, inspect
from huref.verifier.report.summary import summary
from huref.verifier.verdict import CLOSED
from tests.conftest import Made
from tests.support.command import huref
from tests.support.forge import Files, Json, check, load
from tests.support.schemas import validate

SECRET = "of thirteen"
QUESTIONS = [
    Question([313, 317, 331, 337], 4, generate=2, prompt=SECRET),
    Question([347, 349], 2, generate=2),
]


@pytest.fixture(scope="module")
def made(tiny: Made, tmp_path_factory: pytest.TempPathFactory) -> Answered:
    out = tmp_path_factory.mktemp("hidden") / "answers.huref"
    return prove_inference(tiny.commitment, out, QUESTIONS, hide_prompt=True, fingerprint=tiny.bundle)


@pytest.fixture(scope="module")
def files(made: Answered) -> Files:
    return load(made.path)


@pytest.fixture(scope="module")
def opening(made: Answered) -> list[Passage]:
    assert made.opening is not None
    return read_passages(made.opening)


def told(made: Answered) -> list[str]:
    """How ids, texts and salts of the prompts would be written."""
    assert made.opening is not None
    salts = [passage.salt or "" for passage in read_passages(made.opening)]
    return [SECRET, *salts, *(f"{a},{space}{b}" for a, b in ((317, 331), (347, 349)) for space in ("", " "))]


@pytest.fixture(scope="module")
def inspected(files: Files) -> Inspection:
    return inspect(parse_bundle(Path("a"), files))


@pytest.fixture(scope="module")
def found(made: Answered) -> InferenceVerdict:
    assert made.verdict.inference is not None
    return made.verdict.inference


def test_nothing_but_the_opening_has_the_prompts(made: Answered, files: Files, inspected: Inspection) -> None:
    assert made.opening == opening_of(made.path) and made.opening.parent == made.path.parent
    assert stat.S_IMODE(made.opening.stat().st_mode) == 0o600
    shown = [json.dumps(inspected.to_dict()), page(inspected), json.dumps(made.verdict.to_dict())]
    shown += [data.decode("latin-1") for data in files.values()]
    for text in told(made):
        assert not any(text in one for one in shown), text
    assert sorted(path.name for path in made.path.parent.iterdir()) == [made.path.name, made.opening.name]


def test_an_unopened_bundle_is_said_to_be_one(made: Answered, inspected: Inspection) -> None:
    verdict = made.verdict
    lines = "\n".join(describe(made.path, verdict))
    assert f"WARNING: {CLOSED}" in lines and UNREAD in lines and OPENED not in lines
    assert CLOSED in verdict.to_dict()["warnings"] and not any("opened" in line for line in verdict.proven())
    hidden = "give the 2 answers below, 2 of them behind prompts that are not shown; it does not"
    assert hidden in page(inspected)


def test_the_page_of_one_answer(made: Answered, found: InferenceVerdict) -> None:
    one = replace(
        found,
        statement=found.statement.model_copy(update={"answers": found.statement.answers[:1]}),
        answers=found.answers[:1],
    )
    for shown, end in (
        (one, ", behind a prompt that is not shown;"),
        (replace(one, opened={0: [1] * 4}), ";"),
    ):
        said = summary(Inspection("a", verdict=replace(made.verdict, inference=shown)))
        assert f"give the answer below{end} it does not" in said.holds


def test_an_opened_bundle_says_that_texts_beside_the_ids_were_not_read(
    files: Files, opening: list[Passage], tmp_path: Path
) -> None:
    file, asked = tmp_path / "a.jsonl", tmp_path / "asked.jsonl"
    other = {"prompt": "another text", "answer_ids": [1]}
    file.write_bytes(passage_lines(passage.model_copy(update=other) for passage in opening))
    asked.write_bytes(passage_lines(opening))
    verdict = check(files, opening=file, prompts=asked)
    assert OPENED in verdict.not_proven() and UNREAD not in verdict.not_proven()
    shown = validate(verdict.to_dict(), "verdict")
    assert shown["warnings"] == [] and "another text" not in json.dumps(shown)
    assert [one["prompt_ids"] for one in shown["inference"]["answers"]] == [list(q.ids) for q in QUESTIONS]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"salt": None}, UsageError),
        ({"prompt_ids": None, "prompt": "a"}, UsageError),
        ({"salt": "AB" * 32}, Malformed),
        ({"salt": "ab" * 31}, Malformed),
        ({"salt": "ab" * 32 + "\n"}, Malformed),
        ({"prompt_ids": [-1]}, Malformed),
        ({"prompt_ids": [True]}, Malformed),
    ],
)
def test_what_opens_nothing(
    change: Json, kind: type[HurefError], made: Answered, opening: list[Passage], tmp_path: Path
) -> None:
    lines = [{**one.model_dump(exclude_none=True), **change} for one in opening]
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = huref("verify", made.path, "--open", file)
    assert run.code == kind.exit_code and str(file) in run.err


Change = Callable[[list[Json]], Any]
FORMS: dict[str, tuple[Change, str]] = {
    "a text beside a digest": (lambda said: said[0].update(prompt="a"), r"answers\.0\.prompt: a text beside"),
    "no claim": (lambda said: said[0].update(ids=[]), r"answers\.0\.ids"),
    "no hidden token": (lambda said: said[0].update(first=0), r"answers\.0\.first"),
    "too many hidden tokens": (lambda said: said[0].update(first=MAX_IDS + 1), r"answers\.0\.first"),
    "too many tokens in all": (lambda said: said[0].update(first=MAX_IDS - 5), "more than 4096 token ids in all"),
    "a digest in capitals": (lambda said: said[0].update(prompt_digest="AB" * 32), r"answers\.0\.prompt_digest"),
    "no digest": (lambda said: said[0].update(prompt_digest=None), r"answers\.0: gaps and the first"),
    "a field less": (lambda said: said[0].pop("prompt"), r"answers\.0\.prompt"),
    "a digest that is left out": (lambda said: said[0].pop("prompt_digest"), "a field is missing"),
    "an id that stands for a hidden one": (lambda said: said[0].update(ids=[-1, 5]), r"answers\.0\.ids\.0"),
    "a token that is none": (lambda said: said[0].update(ids=[384, 5]), r"answers\.0\.ids: token ids"),
}  # fmt: skip


def verified(files: Files, change: Change) -> None:
    """The proof of inference alone, under a changed statement."""
    value = json.loads(files[form.INFERENCE])
    change(value["answers"])
    commitment = CommitmentFile.decode(files[form.COMMITMENT], form.COMMITMENT)
    verify_inference({**files, form.INFERENCE: canonical_json(value)}, commitment, 100)


@pytest.mark.parametrize("name", FORMS)
def test_impossible_statements_of_hidden_prompts(name: str, files: Files) -> None:
    change, message = FORMS[name]
    with pytest.raises(Malformed, match=message):
        verified(files, change)


def exchanged(field: str) -> Change:
    def change(answers: list[Json]) -> None:
        answers[0][field], answers[1][field] = answers[1][field], answers[0][field]

    return change


CHANGES: dict[str, Change] = {
    "digests exchanged": exchanged("prompt_digest"),
    "lengths exchanged": exchanged("first"),
    "a published prompt in place of a hidden one": lambda said: said[0].update(
        prompt_digest=None, ids=[313, 317, 331, 337, *said[0]["ids"]]
    ),
    "answers in another order": lambda said: said.reverse(),
    "an answer left out": lambda said: said.pop(),
    "a text": lambda said: said[0].update(answer="a text"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_field_beside_a_hidden_prompt_is_bound(name: str, files: Files) -> None:
    """Where a proof of what is said would be of another length, its bytes may be no messages at all."""
    with pytest.raises((Rejected, Malformed)) as caught:
        verified(files, CHANGES[name])
    assert isinstance(caught.value, Malformed) or caught.value.path.startswith("inference.")


# the owner


def test_places_where_no_opening_goes(tiny: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before any work."""
    monkeypatch.chdir(tmp_path)
    asked = ("--commitment", tiny.commitment, "--prompt-ids", "[1]", "--generate", "1", "--hide-prompt")
    for out in (".", "..", "/", "sub/.."):
        run = huref("prove-inference", *asked, "--out", out)
        assert run.code == UsageError.exit_code and "exists already" in run.err, run.err
    (tmp_path / "a.prompts.jsonl").mkdir()
    (tmp_path / "b.prompts.jsonl").write_text("mine")
    for name, force, words in (
        ("a", ("--force",), "is a folder"),
        ("b", (), "opens the prompts of an older"),
    ):
        run = huref("prove-inference", *asked, "--out", f"{name}.huref", *force)
        assert run.code == UsageError.exit_code and words in run.err
    assert (tmp_path / "b.prompts.jsonl").read_text() == "mine"
