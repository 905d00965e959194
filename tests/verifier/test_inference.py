"""A proof of inference in a bundle: what holds, what is said of it, and what is rejected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from huref.circuits.inference_statement import Answer, InferenceStatement
from huref.common.errors import Damaged, HurefError, Malformed, Rejected, Unsupported
from huref.common.files import bundle as form
from huref.common.files.bundle import parse_bundle
from huref.common.rejection import meaning
from huref.prover.inference.prove import Answered, Question, prove_inference
from huref.prover.owner import Options, commit
from huref.verifier.inference import FLAT, UNLIKELY, InferenceVerdict, scores
from huref.verifier.measured import measured
from huref.verifier.report.inspect_html import page
from huref.verifier.report.inspection import inspect
from huref.verifier.verdict import NO_MODEL
from tests.conftest import Made
from tests.support import tiny_models
from tests.support.command import huref
from tests.support.forge import Files, Json, check, load, reseal, with_manifest
from tests.support.schemas import validate


@pytest.fixture(scope="module")
def files(answered: Answered) -> Files:
    return load(answered.path)


@pytest.fixture(scope="module")
def statement(files: Files) -> InferenceStatement:
    return InferenceStatement.decode(files[form.INFERENCE], form.INFERENCE)


def _found(answered: Answered) -> InferenceVerdict:
    assert answered.verdict.inference is not None
    return answered.verdict.inference


def test_a_bundle_says_what_its_answer_shows(answered: Answered, files: Files, tiny: Made) -> None:
    found, verdict = _found(answered), check(files)
    shown = found.all
    assert (found.statement.claimed, shown.argmaxes, shown.largest, shown.median) == (3, 3, 0.0, 0.0)
    assert verdict.fingerprint == tiny.proved.verdict.fingerprint
    assert any("give each of the last 3 tokens of 7 published ones" in line for line in verdict.proven())
    assert NO_MODEL in verdict.not_proven()
    assert 0 < shown.probability <= 1 and f"at least {shown.probability:.2g}." in found.proven()[0]
    assert "published ones, behind those before it, the largest logit, and" in found.proven()[0]
    assert any("ever served" in line for line in verdict.not_proven())
    assert not any("own choice" in line for line in verdict.not_proven())
    (said,) = validate(verdict.to_dict(), "verdict")["inference"]["answers"]
    assert said["answer_ids"] == found.statement.answers[0].ids[4:]


def test_gaps_are_in_logits_and_words_are_quoted(answered: Answered, statement: InferenceStatement) -> None:
    said = _said(statement, prompt="a\x1b[31m\nProven:", answer=None, gaps=[0, 1, 2])
    found = replace(_found(answered), statement=said, answers=(scores(said.answers[0], 2),))
    shown = found.all
    assert (shown.argmaxes, shown.largest, shown.median) == (1, 0.5, 0.25)
    assert "at most 0.5 below the largest (of 1 of them proven: the largest)" in found.proven()[0]
    lines = found.not_proven()
    assert "own choice" in lines[2] and "\x1b" not in lines[3] and "\n" not in lines[3]
    assert len(lines) == 4 and "That the prompt's token ids are those of the text" in lines[3]
    both = replace(found, statement=_said(statement, prompt="a", answer="two words")).not_proven()
    assert "the prompt's token ids" in both[-2]
    assert both[-1].endswith('the answer\'s token ids are those of the text "two words".')


def test_unlikely_tokens_are_said_to_be(answered: Answered, statement: InferenceStatement) -> None:
    """Three claims of 384 equal logits each; a gap of one logit leaves 1/e of the probability."""
    for odds, gap, probability in ((4 * 384 * 3, 0, 1 / 384), (4 * 3 * 10, 64, math.exp(-1) / 10)):
        (said,) = _said(statement, odds=odds, gaps=[gap]).answers
        found = replace(_found(answered), answers=(scores(said, 6),))
        assert math.isclose(found.all.probability, probability)
        assert (UNLIKELY in found.not_proven()) == (found.all.probability < FLAT)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"max_gap": 0.0}, None),
        ({"min_argmax": 1.0}, None),
        ({"max_gap": -0.1}, "expect.max_gap"),
        ({"min_argmax": 1.01}, "expect.min_argmax"),
        ({"min_probability": 1e-4}, None),
        ({"min_probability": 1.01}, "expect.min_probability"),
        ({"min_probability": math.nan}, "expect.min_probability"),
        ({"max_gap": math.nan}, "expect.max_gap"),
        ({"min_argmax": math.nan}, "expect.min_argmax"),
    ],
)
def test_conditions(files: Files, options: dict[str, float], path: str | None) -> None:
    if path is None:
        check(files, **options)
        return
    with pytest.raises(Rejected) as caught:
        check(files, **options)
    assert caught.value.path == path


def test_a_condition_that_is_just_met(files: Files, answered: Answered) -> None:
    found = _found(answered).all
    check(files, max_gap=found.largest, min_argmax=1.0, min_probability=found.probability)
    with pytest.raises(Rejected):
        check(files, min_probability=math.nextafter(found.probability, 1))


def test_a_condition_that_is_not_met_is_not_called_another_model(files: Files, tiny: Made) -> None:
    assert "shows less" in meaning("expect.min_argmax") and "shows less" in meaning("expect.max_gap")
    assert "no proof of inference" in meaning("expect.inference")
    assert "about something else" in meaning("expect.model_id")


def test_conditions_need_an_answer(tiny: Made) -> None:
    run = huref("verify", tiny.bundle, "--max-gap", "1")
    assert run.code == Rejected.exit_code and "expect.inference" in run.err + run.out


def test_what_others_score_stands_beside_it_and_is_said_to_be_measured_elsewhere(
    answered: Answered, files: Files, tiny: Made
) -> None:
    found = measured()
    heading, lines = answered.verdict.sections()[-1]
    assert heading == found.heading and "not on this model, and not proven" in heading
    assert len(lines) == len(found.servers) + 1 and found.source in lines[-1]
    first = found.servers[0]
    assert f"{100 * first.argmax:.1f} % of {first.tokens} tokens" in lines[0]
    said = validate(answered.verdict.to_dict(), "verdict")["inference"]["measured"]
    assert [one["largest"] for one in said["servers"]] == [one.largest for one in found.servers]
    shown_page = page(inspect(parse_bundle(Path("a"), files)))
    run = huref("verify", answered.path)
    assert all(heading in shown and lines[0] in shown for shown in (shown_page, run.out))
    assert "give the answer below" in shown_page and "not show that these numbers are a model" in shown_page
    assert all(heading != name for name, _ in tiny.proved.verdict.sections())
    assert not any(lines[0] == line for line in answered.verdict.proven())


def test_the_command_shows_it(answered: Answered) -> None:
    run = huref("verify", answered.path, "--min-argmax", "1")
    assert run.code == 0
    assert "inference    3 tokens claimed, 3 proven argmaxes, largest gap 0, median 0" in run.out


def _said(statement: InferenceStatement, **change: object) -> InferenceStatement:
    """Its answer changed, or the model id."""
    if "model_id" in change:
        return statement.model_copy(update=change)
    (answer,) = statement.answers
    return statement.model_copy(update={"answers": [answer.model_copy(update=change)]})


def _with(files: Files, statement: InferenceStatement, **change: object) -> Files:
    return reseal({**files, form.INFERENCE: _said(statement, **change).encode()})


Change = Callable[[Answer], dict[str, object]]
CHANGES: dict[str, Change] = {
    "another token": lambda s: {"ids": [*s.ids[:-1], (s.ids[-1] + 1) % 384]},
    "another prompt": lambda s: {"ids": [s.ids[0] + 1, *s.ids[1:]]},
    "one token less": lambda s: {"ids": s.ids[:-1]},
    "another beginning": lambda s: {"first": s.first - 1},
    "another gap": lambda s: {"gaps": [1]},
    "more likely": lambda s: {"odds": s.odds - 1},
    "less likely": lambda s: {"odds": s.odds + 1},
    "gaps of their own": lambda s: {"gaps": [0, 0, 0]},
    "another text": lambda s: {"prompt": "a text"},
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_field_is_bound(files: Files, statement: InferenceStatement, name: str) -> None:
    with pytest.raises(Rejected) as caught:
        check(_with(files, statement, **CHANGES[name](statement.answers[0])))
    assert caught.value.path.startswith("inference.")


FORMS: dict[str, tuple[dict[str, object], type[HurefError]]] = {
    "a token that is none": ({"ids": [3, 7, 11, 20, 384]}, Malformed),
    "no claim": ({"first": 7}, Malformed),
    "an empty answer": ({"ids": [3, 7, 11, 20]}, Malformed),
    "too few gaps": ({"gaps": [0, 0]}, Malformed),
    "no odds": ({"odds": 0}, Malformed),
    "odds of more tokens": ({"odds": 3 << 18}, Malformed),
    "a gap too large": ({"gaps": [1 << 17]}, Malformed),
    "another model": ({"model_id": "0" * 64}, Rejected),
}


@pytest.mark.parametrize("name", FORMS)
def test_impossible_statements(files: Files, statement: InferenceStatement, name: str) -> None:
    change, kind = FORMS[name]
    with pytest.raises(kind):
        check(_with(files, statement, **change))


def test_an_answer_of_another_model(files: Files, other: Made, statement: InferenceStatement) -> None:
    theirs = load(other.bundle)
    moved = {name: files[name] for name in (form.INFERENCE, form.INFERENCE_PROOF)}
    with pytest.raises(Rejected) as caught:
        check(reseal({**theirs, **moved}))
    assert caught.value.path == "inference.model_id"
    renamed = statement.model_copy(update={"model_id": other.proved.verdict.model_id})
    with pytest.raises(Rejected) as caught:
        check(reseal({**theirs, **moved, form.INFERENCE: renamed.encode()}))
    assert caught.value.path.startswith("inference.") and caught.value.path != "inference.model_id"


def test_every_part_of_the_proof_counts(files: Files) -> None:
    proof = files[form.INFERENCE_PROOF]
    for at in range(0, len(proof), len(proof) // 7):
        flipped = proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :]
        with pytest.raises((Rejected, Malformed)):
            check(reseal({**files, form.INFERENCE_PROOF: flipped}))
    for broken in (proof[:-1], proof + b"\0"):
        with pytest.raises(Malformed):
            check(reseal({**files, form.INFERENCE_PROOF: broken}))


def test_the_two_files_go_together(files: Files) -> None:
    for name in (form.INFERENCE, form.INFERENCE_PROOF):
        left = {key: data for key, data in files.items() if key != name}
        with pytest.raises(Malformed, match="go together"):
            check(with_manifest(left, lambda manifest, name=name: manifest["files"].pop(name)))


def test_no_answer_rides_along_unlisted(files: Files) -> None:
    """The manifest covers every file, so that signatures do."""
    pair = (form.INFERENCE, form.INFERENCE_PROOF)

    def unlisted(manifest: Json) -> None:
        for name in pair:
            manifest["files"].pop(name)

    def without(*names: str) -> Files:
        return {name: data for name, data in files.items() if name not in names}

    both = with_manifest(files, unlisted)
    alone = with_manifest(without(form.INFERENCE), unlisted)
    for changed, name in (
        (both, form.INFERENCE),
        (alone, form.INFERENCE_PROOF),
        *((without(name), name) for name in pair),
    ):
        with pytest.raises(Damaged, match=f"{re.escape(name)} is missing or not in manifest"):
            check(changed)


def test_a_demanded_level_holds_for_the_answer_too(files: Files) -> None:
    with pytest.raises(Rejected, match="security"):
        check(files, min_security=128)


def test_maps_of_a_hostile_shape_are_not_made(
    files: Files, statement: InferenceStatement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huref.circuits.inference_statement.MAX_TURNS", 6 * 16**2 - 1)
    with pytest.raises(Unsupported, match="6 tokens are too many for heads of 16"):
        check(files)


def test_a_model_without_a_program(files: Files, statement: InferenceStatement) -> None:
    from huref.circuits.inference_statement import prepare_inference
    from huref.common.files.commitment_file import CommitmentFile

    commitment = CommitmentFile.decode(files[form.COMMITMENT], form.COMMITMENT)
    bare = commitment.model_copy(
        update={"directory": commitment.directory.model_copy(update={"inference": None})}
    )
    with pytest.raises(Rejected, match="no inference program"):
        prepare_inference(statement.model_copy(update={"model_id": bare.model_id}), bare)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gemma2", "gpt2"])
def test_other_layouts_from_checkpoint_to_verdict(family: str, tmp_path: Path) -> None:
    caps = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 7.0} if family == "gemma2" else {}
    checkpoint = tiny_models.build(family, tmp_path / "model", vocab_size=600, **caps)
    commit(checkpoint, tmp_path / "c", Options(proofs=4, inference=True))
    question = Question([5, 6, 7, 8], 4, generate=3)
    done = prove_inference(tmp_path / "c", tmp_path / "a.huref", [question])
    found = check(load(done.path)).inference
    assert found is not None and (found.statement.claimed, found.all.largest) == (3, 0.0)
    with pytest.raises(Rejected) as caught:
        check(_with(load(done.path), found.statement, ids=[5, 6, 7, 9, *found.statement.answers[0].ids[4:]]))
    assert caught.value.path.startswith("inference.")
