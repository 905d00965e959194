"""Facts of the inference program are found when a model is committed, and lie under its id."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from huref.circuits.commitment import inference_facts
from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference.facts import Facts
from huref.common.errors import ProverError, Unsupported, UsageError
from huref.prover.checkpoint.families import open_model
from huref.prover.commitment import folder as commitment_folder
from huref.prover.inference_facts import NO_PROGRAM, find_inference
from huref.prover.owner import Options, commit, prove
from huref.prover.progress import Progress
from huref.prover.run.inference import units
from huref.prover.run.inference.executor import execute_inference
from huref.prover.run.inference.settings import Settings
from huref.prover.run.inference.texts import TEXTS, calibration_texts
from huref.prover.run.inference.units import Calibration, first_difference
from huref.prover.vocabulary.tokens import load_vocabulary
from tests.conftest import Made
from tests.support import tiny_models
from tests.support.command import huref
from tests.support.schemas import validate

ONE_PROOF = Options(proofs=1)


class Noted(Progress):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def made(checkpoint: Path, folder: Path, options: Options = ONE_PROOF) -> tuple[Facts | None, list[str]]:
    noted = Noted()
    opened = commit(checkpoint, folder, options, progress=noted, prove_range=False)
    read = commitment_folder.read_public(folder)
    assert read == opened.public and ("calibrate" in noted.seconds) == (read.directory.inference is not None)
    return inference_facts(read.directory), noted.notes


def test_the_committed_integers_run_under_the_facts(tiny: Made) -> None:
    opened = commitment_folder.load(tiny.commitment)
    facts = opened.source.inference
    assert facts is not None and (facts.activation, facts.epsilon, facts.layers[0].theta) == (
        "silu",
        "1e-06",
        10000,
    )
    program = compile_inference(opened.source.shape, facts, 12)
    ids = list(range(40, 52))
    assert execute_inference(program, opened.source.weights, ids).values["head"].shape == (12, 384)


def test_it_can_be_left_out(tiny: Made, tmp_path: Path) -> None:
    assert made(tiny.checkpoint, tmp_path / "a", replace(ONE_PROOF, inference=False)) == (None, [])
    with pytest.raises(UsageError, match="was made without an inference program"):
        prove(None, tmp_path / "a.huref", Options(inference=True), commitment=tmp_path / "a")
    with pytest.raises(UsageError, match="was made with an inference program"):
        prove(None, tmp_path / "b.huref", Options(inference=False), commitment=tiny.commitment)


def test_a_model_without_a_program_is_committed_without(tmp_path: Path) -> None:
    checkpoint = tiny_models.build("olmo2", tmp_path / "model")
    facts, notes = made(checkpoint, tmp_path / "a")
    assert (
        facts is None
        and len(notes) == 1
        and notes[0].startswith(f"{NO_PROGRAM}: ")
        and "no inference program yet for olmo2" in notes[0]
    )
    with pytest.raises(Unsupported, match="inference program"):
        commit(checkpoint, tmp_path / "b", replace(ONE_PROOF, inference=True))
    assert not (tmp_path / "b").exists()


def test_paper_has_none_and_says_so_only_when_asked(tmp_path: Path) -> None:
    checkpoint = tiny_models.build("llama", tmp_path / "model", vocab_size=600)
    paper = Options("paper", k=512, proofs=1)
    assert made(checkpoint, tmp_path / "a", paper) == (None, [])
    with pytest.raises(Unsupported, match="paper-1 commits to two layers"):
        commit(checkpoint, tmp_path / "b", replace(paper, inference=True))


def test_values_without_units(tiny: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the run cannot hold is a program less, or an error where one is wanted."""
    model = open_model(tiny.checkpoint)
    settings = Settings.alike(model.shape, "silu", "1e-06")
    calibration = Calibration(model.shape, settings, [[1, 2, 3]], Path("t"), "")
    weights = dict(commitment_folder.load(tiny.commitment).source.weights)
    steps = weights["l1.q.step"].copy()
    steps[0, 0] += 60
    weights["l1.q.step"] = steps
    noted = Noted()
    assert find_inference(calibration, weights, None, noted) is None
    assert noted.notes[0].startswith(f"{NO_PROGRAM}: inference: secret shifts of")
    with pytest.raises(ProverError, match="secret shifts"):
        find_inference(calibration, weights, True, noted)


def test_facts_that_do_not_compile_are_not_published(tiny: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    source = commitment_folder.load(tiny.commitment).source
    facts = source.inference
    assert facts is not None
    wrong = replace(facts, layers=(replace(facts.layers[0], query_shift=40), *facts.layers[1:]))
    monkeypatch.setattr(units, "calibrate", lambda *_: wrong)
    with pytest.raises(ProverError, match=r"l0\.scores: these units need a negative shift"):
        Calibration(source.shape, Settings.alike(source.shape, "silu", "1e-06"), [[1]], Path("t"), "").facts(
            source.weights
        )


def test_a_list_of_tokens_is_no_tokenizer(tiny: Made, tmp_path: Path) -> None:
    """The checkpoint's own tokenizer is what the texts are read with; without one there is no program."""
    checkpoint = tiny_models.build("llama", tmp_path / "model")
    listed = Options(proofs=1, tokens=tiny.bundle / "fingerprint.json")
    assert made(checkpoint, tmp_path / "a", listed)[0] is not None
    (checkpoint / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    facts, notes = made(checkpoint, tmp_path / "b", listed)
    assert facts is None and "no tokenizer to calibrate" in notes[0]
    elsewhere = Options(proofs=1, tokens=tmp_path / "tokenizer.json")
    assert made(checkpoint, tmp_path / "c", elsewhere)[0] is not None


def test_texts_begin_with_ordinary_tokens_and_with_marks(tiny: Made) -> None:
    vocabulary = load_vocabulary(tiny.checkpoint)
    assert vocabulary is not None
    texts = calibration_texts(vocabulary, 384)
    assert texts and all(0 <= i < 384 for text in texts for i in text) and max(map(len, texts)) <= 64
    with_mark = calibration_texts(vocabulary, 385)  # the mark's id, which has no embedding in the tiny model
    assert with_mark[-1][0] == 384 and len(with_mark) == len(TEXTS) + 1


def test_what_two_calibrations_may_differ_in(tiny: Made) -> None:
    facts = commitment_folder.load(tiny.commitment).source.inference
    assert facts is not None and first_difference(facts, facts) is None
    layer = facts.layers[1]

    def changed(**units: object) -> str | None:
        return first_difference(
            facts, replace(facts, layers=(facts.layers[0], replace(layer, **units), *facts.layers[2:]))
        )  # type: ignore[arg-type]

    assert changed(value=layer.value + 1) is None and changed(value=layer.value - 2) == "layers[1].value.0"
    assert changed(stream=(layer.stream[0], layer.stream[1] - 2)) == "layers[1].stream.1"
    assert (
        changed(up_outliers=((4, 1),)) is None and changed(up_outliers=((4, 2),)) == "layers[1].up_outliers.4"
    )
    assert first_difference(facts, replace(facts, epsilon="1e-05")) == "epsilon"
    assert first_difference(facts, replace(facts, layers=facts.layers[:1])) == "layers"
    low, high = dict(facts.shifts)["head"]
    assert (
        first_difference(facts, replace(facts, shifts=(*facts.shifts[:-1], ("head", (low, high + 2)))))
        == "shifts.head[1]"
    )


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    llama, olmo2 = (tiny_models.build(name, tmp_path / name) for name in ("llama", "olmo2"))
    run = huref("commit", llama, "--out", tmp_path / "a", "--proofs", 4, "--json")
    assert run.code == 0 and validate(run.json, "committed")["inference"] is True and "calibrate:" in run.err
    run = huref("commit", llama, "--out", tmp_path / "b", "--proofs", 4, "--no-inference", "--json")
    assert run.code == 0 and run.json["inference"] is False and NO_PROGRAM not in run.err
    run = huref("commit", olmo2, "--out", tmp_path / "c", "--proofs", 4)
    assert run.code == 0 and run.err.count(NO_PROGRAM) == 1
    assert huref("commit", olmo2, "--out", tmp_path / "d", "--inference").code == Unsupported.exit_code
