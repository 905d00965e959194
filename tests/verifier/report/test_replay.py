"""What an inspection takes from a replay: the verifier is replaced here by one that answers at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from huref.circuits.argument.security import SecurityReport, Term
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.program.program import (
    Deflation,
    GatedMatMul,
    HeadProducts,
    Likeness,
    MatMul,
    SketchSum,
    View,
)
from huref.common.errors import (
    Damaged,
    HurefError,
    InputOutputError,
    Malformed,
    Rejected,
    Unsupported,
    UsageError,
)
from huref.common.files import bundle as form
from huref.common.files.bundle import Bundle
from huref.common.rejection import meaning
from huref.verifier.report import inspection
from huref.verifier.report.inspection import Inspection, LayerView, inspect
from huref.verifier.report.transcripts import Message, ProofView
from huref.verifier.terms import layers_said, terms_read
from tests.support.frozen_verdicts import MATCHES, UNCHECKED, made

PICTURE = b"\x89PNG"


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Inspection]:
    """An inspection with a verifier that calls `what` with its recorder and returns, or raises, what that does."""
    bundle: Any = Bundle(Path("model.huref"), SimpleNamespace(), {form.PICTURE: PICTURE}, ("x",))  # type: ignore[arg-type]

    def run(what: Callable[..., Any], given: Any = bundle) -> Inspection:
        def verify(found: Bundle, *, min_security: int, recorders: Any) -> Any:
            assert found is bundle and min_security == 7
            assert list(recorders) == [form.PROOF, form.RANGE, form.INFERENCE_PROOF]
            return what(recorders[form.PROOF])

        monkeypatch.setattr(inspection, "_describe", lambda found, bundle: found.words.append("described"))
        monkeypatch.setattr(inspection, "read_bundle", lambda path: {"other.huref": bundle}[path])
        monkeypatch.setattr(inspection, "verify", verify)
        return inspect(given, min_security=7)

    return run


def raised(error: HurefError) -> Callable[..., Any]:
    def what(_: Any) -> Any:
        raise error

    return what


def test_only_a_picture_that_matches_is_taken(replay: Callable[..., Inspection]) -> None:
    for picture in (MATCHES, UNCHECKED, replace(MATCHES, status="differs")):
        verdict = made("paper", picture=picture)
        found = replay(lambda _, verdict=verdict: verdict)
        assert found.verdict is verdict and found.failure is None and found.words == ["described"]
        assert found.picture == (PICTURE if picture is MATCHES else None)
        assert (found.word, found.to_dict()["verified"]) == ("VERIFIED", True)


def test_a_path_is_read(replay: Callable[..., Inspection]) -> None:
    assert replay(lambda _: made("paper"), "other.huref").bundle == "other.huref"
    assert replay(lambda _: made("paper")).bundle == "model.huref"


def test_a_rejection_ends_the_record(replay: Callable[..., Inspection]) -> None:
    found = replay(raised(Rejected("image.pixels", "no", expected="e" * 999, got=0)))
    assert found.verdict is None and found.picture is None and found.word == "REJECTED"
    said = found.failure
    assert said is not None and (said.kind, said.path, said.message) == ("Rejected", "image.pixels", "no")
    assert said.meaning == meaning("image.pixels") and said.expected == "e" * 199 + "…" and said.got == "0"
    bare = replay(raised(Rejected("a", "no"))).failure
    assert bare is not None and bare.expected is None and bare.got is None
    assert replay(raised(Rejected("a", "no", got="g" * 999))).to_dict()["failure"]["got"] == "g" * 199 + "…"


@pytest.mark.parametrize("kind", [Malformed, Damaged, Unsupported])
def test_what_is_no_bundle_is_described(replay: Callable[..., Inspection], kind: type[HurefError]) -> None:
    found = replay(raised(kind("what", hint="try")))
    said = found.failure
    assert said is not None and (said.kind, said.path, said.message) == (kind.__name__, "", "what")
    assert said.hint == "try" and found.verdict is None and found.word == kind.__name__.upper()


@pytest.mark.parametrize("kind", [InputOutputError, UsageError])
def test_what_cannot_be_read_is_raised(replay: Callable[..., Inspection], kind: type[HurefError]) -> None:
    with pytest.raises(kind):
        replay(raised(kind("no")))


def test_what_the_recorder_keeps(replay: Callable[..., Inspection]) -> None:
    at = np.array([3, 1 << 40], dtype="<i8").tobytes()

    def what(record: Any) -> Any:
        record("challenge", "opening.weights", at)
        record("challenge", "opening.level12", at[:8])
        record("challenge", "opening.weights.grind", b"12345")
        record("absorb", "opening.proof", b"123456789")
        return made("paper")

    found = replay(what)
    assert found.proof.positions == {"opening.weights": [3, 1 << 40], "opening.level12": [3]}
    said = [(message.kind, message.label, message.size, message.preview) for message in found.proof.messages]
    assert said == [
        ("challenge", "opening.weights", 16, at.hex()),
        ("challenge", "opening.level12", 8, at[:8].hex()),
        ("challenge", "opening.weights.grind", 5, b"12345".hex()),
        ("absorb", "opening.proof", 9, b"123456789".hex()),
    ]


def test_json_has_all_of_the_record() -> None:
    layer = LayerView("a", "b", 2, 3, 4, (-5, 6), 7, 8, (9, None), ("c",))
    message = Message("absorb", "a", 1, "00", 0.5)
    security = SecurityReport((Term("a", "b", 90.0, 4),))
    proof = ProofView(form.PROOF, {"g": "1"}, None, [message])
    found = Inspection("model.huref", words=["w"], layers=[layer], proof=proof)
    full = replace(proof, security=security, positions={"p": [1]})
    said = replace(found, proof=full, others=[replace(full, file=form.RANGE)], files={"f": 1}).to_dict()
    assert list(said) == [
        "schema", "bundle", "verified", "failure", "verdict", "files", "ignored", "statement", "words", "geometry",
        "layers", "security", "messages", "positions", "others",
    ]  # fmt: skip
    names = ("geometry", "security", "messages", "positions")
    assert said["others"] == [{"file": form.RANGE, **{name: said[name] for name in names}}]
    assert (said["schema"], said["bundle"]) == ("huref-inspection/1", "model.huref")
    assert (said["files"], said["words"], said["geometry"]) == ({"f": 1}, ["w"], {"g": "1"})
    assert said["positions"] == {"p": [1]} and said["layers"][0]["calibration"] == (9, None)
    assert said["messages"] == [{"kind": "absorb", "label": "a", "size": 1, "preview": "00", "at": 0.5}]
    assert said["security"] == [
        {"label": "a", "formula": "b", "error_bits": 90.0, "grinding": 4, "bits": 94.0},
    ]
    assert found.to_dict()["security"] == []


@pytest.mark.parametrize(
    ("name", "width", "challenge", "tables"),
    [
        ("paper", "", None, "public tables"),
        ("signed", "gated ", "ab" * 32, f"tables drawn from the challenge {'ab' * 32}"),
    ],
)
def test_words_of_a_statement(name: str, width: str, challenge: str | None, tables: str) -> None:
    statement = made(name).statement.model_copy(update={"challenge": challenge})
    verdict = made(name, statement=statement)
    said = verdict.directory
    assert inspection._words(statement, verdict.commitment) == [
        f"Profile {said.profile}, protocol {statement.protocol}, {tables}.",
        "Weights cut as hidden size 64, 4 heads "
        f"({said.shape['kv_heads']} for keys and values) of 16, {width}feed-forward width 88.",
        f"{said.k} tokens pooled into {said.p} blocks.",
        f"Model id {verdict.model_id}: this directory, and the weights committed under {verdict.commitment.root} with "
        f"{said.random_rows} random rows, enough for {said.proofs} proofs.",
        f"Claim: the program on these weights gives ({', '.join(map(str, statement.outputs[:6]))}, …), "
        f"{len(statement.outputs)} integers.",
        f"Fingerprint {verdict.fingerprint}.",
    ]


def test_words_of_layers_that_differ() -> None:
    verdict = made("signed")
    shape = {
        **verdict.directory.shape,
        "blocks": [[True, 88, 0], [False, 44, 0], [True, 88, 4]],
        "other_mixers": True,
    }
    assert ModelShape.from_dict(shape).blocks
    directory = verdict.directory.model_copy(update={"shape": shape})
    commitment = verdict.commitment.model_copy(update={"directory": directory})
    lines = inspection._words(verdict.statement, commitment)
    assert lines[2:6] == [*terms_read(shape), *layers_said(shape), lines[5]] and len(lines) == 9


NUMBERS = np.zeros(1, dtype=np.int64)


@pytest.mark.parametrize(
    ("acc", "said"),
    [
        (SketchSum("E", NUMBERS, NUMBERS, NUMBERS.astype(np.int8)), "S · E"),
        (SketchSum("E", NUMBERS, NUMBERS, NUMBERS.astype(np.int8), multipliers="m"), "S · diag(μ) · E"),
        (MatMul(View("a"), View("b"), 4), "a · bᵀ"),
        (MatMul(View("a", "tile", 2, 2), View("b", "repeat", 2, 2), 4), "tile(a) · repeat(b)ᵀ"),
        (MatMul(View("a"), View("b", transposed=True), 4, split=2), "a · b, in 2 sums"),
        (GatedMatMul("a", "g", "u", 4), "a · (g ∘ u)ᵀ"),
        (HeadProducts("a", View("b"), 2), "Σ a ∘ b by head"),
        (HeadProducts("a", View("b", "repeat", 2, 2), 2), "Σ a ∘ repeat(b) by head"),
        (Likeness("a", 2), "aᵀ · a by layer"),
        (Deflation("a", "b", "r", 3), "8 · a − w · b"),
    ],
    ids=str,
)
def test_formulas(acc: Any, said: str) -> None:
    assert inspection._formula(acc) == said
