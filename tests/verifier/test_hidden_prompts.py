"""Answers behind hidden prompts in a bundle: what it shows, what opens it, and what does not."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from huref.circuits.inference.prompt_opening import HIDDEN, prompt_digest
from huref.circuits.inference_statement import InferenceStatement
from huref.common.algebra.field import P
from huref.common.errors import Malformed, ProverError, Rejected, UsageError
from huref.common.files import bundle as form
from huref.common.files.bundle import parse_bundle
from huref.common.files.passages import Passage, passage_lines, read_passages
from huref.common.rejection import meaning
from huref.prover.audit import _check_texts
from huref.prover.checkpoint.families import open_model
from huref.prover.inference.prove import Answered, Question, opening_of, prove_inference
from huref.prover.inference.questions import questions
from huref.verifier.commands.inspect import describe
from huref.verifier.inference import UNREAD
from huref.verifier.report.inspect_html import page
from huref.verifier.report.inspection import inspect
from huref.verifier.verdict import CLOSED
from tests.conftest import Made
from tests.support.command import huref
from tests.support.forge import Files, check, load, reseal
from tests.support.schemas import validate

SECRET = "the secret question"
QUESTIONS = [
    Question([303, 307, 311, 320], 4, generate=3, prompt=SECRET),
    Question([305, 306], 2, generate=2),
]
IDS = [[303, 307, 311, 320], [305, 306]]


def hide(tiny: Made, out: Path, asked: list[Question] = QUESTIONS, **more: Any) -> Answered:
    return prove_inference(tiny.commitment, out, asked, hide_prompt=True, fingerprint=tiny.bundle, **more)


@pytest.fixture(scope="module")
def made(tiny: Made, tmp_path_factory: pytest.TempPathFactory) -> Answered:
    return hide(tiny, tmp_path_factory.mktemp("hidden") / "a.huref")


@pytest.fixture(scope="module")
def files(made: Answered) -> Files:
    return load(made.path)


@pytest.fixture(scope="module")
def statement(files: Files) -> InferenceStatement:
    return InferenceStatement.decode(files[form.INFERENCE], form.INFERENCE)


@pytest.fixture
def opening(made: Answered) -> list[Passage]:
    assert made.opening is not None
    return read_passages(made.opening)


def test_what_opens_the_prompts_lies_beside_the_bundle(made: Answered, opening: list[Passage]) -> None:
    assert made.opening == made.path.with_name("a.prompts.jsonl")
    if os.name == "posix":
        assert stat.S_IMODE(made.opening.stat().st_mode) == 0o600
    assert [one.prompt_ids for one in opening] == IDS and [one.prompt for one in opening] == [SECRET, None]
    assert len({one.salt for one in opening}) == 2


def test_nothing_of_them_is_in_the_bundle(
    files: Files, statement: InferenceStatement, opening: list[Passage]
) -> None:
    first, second = statement.answers
    assert (first.prompt, first.first, len(first.ids)) == (None, 4, 3)
    assert (second.prompt, second.first, len(second.ids)) == (None, 2, 2)
    assert [one.prompt_digest for one in statement.answers] == [
        prompt_digest(bytes.fromhex(one.salt or ""), one.prompt_ids or []) for one in opening
    ]
    for data in files.values():
        for one in opening:
            assert SECRET.encode() not in data and (one.salt or "").encode() not in data
            assert bytes.fromhex(one.salt or "") not in data
    assert statement.run_ids == [*[HIDDEN] * 4, *first.ids[:-1], *[HIDDEN] * 2, second.ids[0]]


def test_closed_and_opened(made: Answered, files: Files, tmp_path: Path) -> None:
    verdict = check(files)
    found = verdict.inference
    assert found is not None and found.closed == 2
    assert UNREAD in verdict.not_proven() and verdict.warnings() == [CLOSED]
    said = validate(verdict.to_dict(), "verdict")["inference"]["answers"]
    assert [one["prompt_ids"] for one in said] == [None, None]
    assert [one["prompt_tokens"] for one in said] == [4, 2]
    opened = check(files, opening=made.opening, prompts=made.opening)
    assert opened.inference is not None and opened.inference.closed == 0
    assert UNREAD not in opened.not_proven() and opened.warnings() == []
    told = validate(opened.to_dict(), "verdict")["inference"]["answers"]
    assert [one["prompt_ids"] for one in told] == IDS
    shown = page(inspect(parse_bundle(Path("a"), files)))
    assert "prompt of 4 hidden tokens" in shown and "Whoever may read a prompt opens it" in shown


def test_on_the_command_line(made: Answered) -> None:
    closed, opened = huref("verify", made.path), huref("verify", made.path, "--open", made.opening)
    assert closed.code == opened.code == 0
    assert f"WARNING: {CLOSED}" in closed.out and CLOSED not in opened.out + opened.err
    assert "begin with a hidden prompt, 2 of them opened to you" in opened.out
    assert CLOSED in huref("verify", made.path, "--json").err
    asked = huref("verify", made.path, "--prompts", made.opening)
    assert asked.code == Rejected.exit_code and "prompt 1 is hidden" in asked.out
    assert huref("verify", made.path, "--prompts", made.opening, "--open", made.opening).code == 0


def salted(passages: list[Passage], number: int, **change: Any) -> list[Passage]:
    found = list(passages)
    found[number] = found[number].model_copy(update=change)
    return found


WRONG: dict[str, Callable[[list[Passage]], list[Passage]]] = {
    "another id": lambda one: salted(one, 0, prompt_ids=[303, 307, 311, 321]),
    "an id too large for any": lambda one: salted(one, 0, prompt_ids=[303, 307, 311, 1 << 64]),
    "an id left out": lambda one: salted(one, 1, prompt_ids=[305]),
    "no ids": lambda one: salted(one, 1, prompt_ids=[]),
    "an id more": lambda one: salted(one, 1, prompt_ids=[305, 306, 0]),
    "another salt": lambda one: salted(one, 1, salt="0" * 64),
    "salts exchanged": lambda one: salted(salted(one, 0, salt=one[1].salt), 1, salt=one[0].salt),
    "a line that opens nothing": lambda one: [*one, one[0].model_copy(update={"prompt_ids": [1]})],
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_open(name: str, files: Files, opening: list[Passage], tmp_path: Path) -> None:
    file = tmp_path / "opening.jsonl"
    file.write_bytes(passage_lines(WRONG[name](opening)))
    with pytest.raises(Rejected) as caught:
        check(files, opening=file)
    assert caught.value.path == "expect.opening" and "does not open" in meaning(caught.value.path)


def test_prompts_open_one_by_one(files: Files, opening: list[Passage], tmp_path: Path) -> None:
    """In any order, and each to those alone who have its line."""
    file = tmp_path / "opening.jsonl"
    file.write_bytes(passage_lines(opening[1:]))
    verdict = check(files, opening=file)
    found = verdict.inference
    assert found is not None and found.closed == 1 and verdict.warnings() == [CLOSED]
    assert [found.prompt_ids(number) for number in range(2)] == [None, IDS[1]]
    with pytest.raises(Rejected, match="prompt 1 is hidden"):
        check(files, opening=file, prompts=file)
    file.write_bytes(passage_lines([*opening[::-1], opening[1]]))
    found = check(files, opening=file).inference
    assert found is not None and [found.prompt_ids(number) for number in range(2)] == IDS


def test_a_line_that_opens_nothing(files: Files, opening: list[Passage], tiny: Made, tmp_path: Path) -> None:
    file = tmp_path / "opening.jsonl"
    for change, what in (({"salt": None}, "salt"), ({"prompt_ids": None, "prompt": "a"}, "token ids")):
        file.write_bytes(passage_lines(salted(opening, 1, **change)))
        with pytest.raises(UsageError, match=f"line 2 has no {what}"):
            check(files, opening=file)
    file.write_text('{"prompt_ids": [1], "salt": "00"}\n')
    with pytest.raises(Malformed, match="salt"):
        check(files, opening=file)
    file.write_bytes(passage_lines(opening))
    with pytest.raises(Rejected) as caught:
        check(load(tiny.bundle), opening=file)
    assert caught.value.path == "expect.inference"


def test_a_published_prompt_has_nothing_to_open(
    answered: Answered, opening: list[Passage], tmp_path: Path
) -> None:
    file = tmp_path / "opening.jsonl"
    file.write_bytes(passage_lines(opening[:1]))
    with pytest.raises(Rejected, match="line 1 opens no hidden prompt") as caught:
        check(load(answered.path), opening=file)
    assert caught.value.path == "expect.opening"


HARMLESS: dict[str, tuple[list[int], str, str]] = {
    "others": ([301, 302], "inference.prompt", "is not the one that was run"),
    "one more": ([305, 306, 307], "inference.prompt", "is not the one that was run"),
    "the same mod p, which are no tokens": ([305 + P, 306], "expect.opening", "opens no hidden prompt"),
}
"""What an owner who ran 305, 306 publishes the digest of, and where showing that fails."""


@pytest.fixture(scope="module")
def lies(tiny: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of an answer behind each. The owner's own check refuses it; without that check it verifies, since a
    digest binds nobody yet.
    """
    module, out = "huref.prover.inference.prove", tmp_path_factory.mktemp("lies") / "a.huref"
    digests = iter([harmless for harmless, _, _ in HARMLESS.values()] * 2)
    asked = [QUESTIONS[1]] * len(HARMLESS)
    with mock.patch(f"{module}.prompt_digest", lambda salt, ids: prompt_digest(salt, next(digests))):
        with pytest.raises(ProverError, match="does not verify"):
            hide(tiny, out, asked)
        assert not out.exists() and not opening_of(out).exists(), "nothing is left behind"
        with mock.patch(f"{module}.open_prompts", lambda *_: None):
            return hide(tiny, out, asked).path


@pytest.mark.parametrize("name", HARMLESS)
def test_a_digest_of_other_ids_than_were_run(name: str, lies: Path, tmp_path: Path) -> None:
    harmless, path, reason = HARMLESS[name]
    files, shown = load(lies), tmp_path / "shown.jsonl"
    line = read_passages(opening_of(lies))[list(HARMLESS).index(name)]
    shown.write_bytes(passage_lines([line.model_copy(update={"prompt_ids": harmless})]))
    check(files)
    with pytest.raises(Rejected, match=reason) as caught:
        check(files, opening=shown)
    assert caught.value.path == path and "not the one behind" in meaning("inference.prompt")


def test_a_digest_is_bound(files: Files, statement: InferenceStatement) -> None:
    first, second = statement.answers
    for answers in (
        [first.model_copy(update={"prompt_digest": "0" * 64}), second],
        [first.model_copy(update={"prompt_digest": second.prompt_digest}), second],
        [first.model_copy(update={"first": 3}), second],
        [first.model_copy(update={"prompt_digest": None, "first": 1, "ids": [1, *first.ids]}), second],
    ):
        changed = statement.model_copy(update={"answers": answers}).encode()
        with pytest.raises((Rejected, Malformed)) as caught:
            check(reseal({**files, form.INFERENCE: changed}))
        assert isinstance(caught.value, Malformed) or caught.value.path.startswith("inference.")


def test_a_salt_is_used_once(made: Answered, tiny: Made) -> None:
    assert made.opening is not None
    lines = [one.model_copy(update={"prompt": None}) for one in read_passages(made.opening)]
    with pytest.raises(UsageError, match="a salt opens the proof that it was made for"):
        questions(lines, 2, tiny.commitment, None)


def test_an_opening_is_not_replaced_by_mistake(tiny: Made, tmp_path: Path) -> None:
    out = tmp_path / "b.huref"
    opening_of(out).write_text("of an older bundle\n")
    with pytest.raises(UsageError, match="opens the prompts of an older bundle"):
        hide(tiny, out)
    assert opening_of(out).read_text() == "of an older bundle\n" and not out.exists()


def test_an_audit_leaves_the_texts_of_hidden_prompts_alone(tiny: Made, statement: InferenceStatement) -> None:
    assert all(one.answer is None for one in statement.answers)
    first, second = statement.answers
    said = statement.model_copy(update={"answers": [first.model_copy(update={"answer": "any"}), second]})
    assert _check_texts(said, open_model(tiny.checkpoint)) == []


def test_the_whole_command(tiny: Made, tmp_path: Path) -> None:
    out = tmp_path / "c.huref"
    arguments = ("--commitment", tiny.commitment, "--fingerprint", tiny.bundle, "--out", out, "--generate", 1)
    run = huref("prove-inference", *arguments, "--prompt-ids", "[305, 306]", "--hide-prompt", "--json")
    assert run.code == 0 and run.json["opening"] == str(opening_of(out))
    (said,) = run.json["inference"]["answers"]
    assert said["prompt_ids"] is None and said["prompt_tokens"] == 2


def test_an_inspection_shows_every_proof(files: Files, statement: InferenceStatement) -> None:
    """Each of the bundle's three transcripts whole, with its sizes and its ledger."""
    found = inspect(parse_bundle(Path("a"), files))
    assert [other.file for other in found.others] == [form.RANGE, form.INFERENCE_PROOF]
    for view in (found.proof, *found.others):
        assert view.security is not None and view.security.bits >= 12 and view.positions and view.geometry
        sent = sum(one.size for one in view.messages if one.kind == "absorb")
        (config, *_) = view.messages
        assert config.label == "config" and sent > len(files[view.file])
    inference = found.others[1]
    labels = [one.label for one in inference.messages]
    assert labels[1] == "statement" and {"prompt.point", "prompt.values"} <= set(labels)
    assert any(term.label == "prompt.point" for term in inference.security.terms)  # type: ignore[union-attr]
    said = validate(found.to_dict(), "inspection")["others"]
    assert [one["file"] for one in said] == [form.RANGE, form.INFERENCE_PROOF]
    lines = "\n".join(describe(found))
    for name in (form.RANGE, form.INFERENCE_PROOF):
        assert f"Messages and challenges of {name}:" in lines and f"Soundness of {name}:" in lines
    shown = page(found)
    assert "Soundness ledger of the proof of inference" in shown and "Sizes of the range proof" in shown


def test_an_inspection_shows_proofs_as_far_as_the_verifier_came(files: Files) -> None:
    broken = bytearray(files[form.RANGE])
    broken[-1] ^= 1
    found = inspect(parse_bundle(Path("a"), reseal({**files, form.RANGE: bytes(broken)})))
    assert found.failure is not None and found.verdict is None
    assert [other.file for other in found.others] == [form.RANGE] and found.others[0].messages
    assert found.others[0].geometry and validate(found.to_dict(), "inspection")


def test_what_opens_the_prompts_is_not_written_over_the_prompts(tiny: Made, tmp_path: Path) -> None:
    asked = tmp_path / "d.prompts.jsonl"
    asked.write_bytes(passage_lines([Passage(prompt_ids=[5, 6], answer_ids=[7])]))
    before = asked.read_bytes()
    run = huref(
        "prove-inference", "--commitment", tiny.commitment, "--out", tmp_path / "d.huref",
        "--prompts", asked, "--hide-prompt", "--force",
    )  # fmt: skip
    assert run.code == UsageError.exit_code and "is where what opens the prompts is written" in run.err
    assert asked.read_bytes() == before
