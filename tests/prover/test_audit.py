"""An audit makes every fact of a bundle again: each one that is false by itself is found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from huref.circuits.fingerprint.profiles import get_profile
from huref.circuits.inference_statement import Answer, InferenceStatement
from huref.common.errors import InputOutputError, Rejected, UsageError
from huref.common.files import bundle as form
from huref.common.files.bundle import read_bundle
from huref.common.files.keys import SecretKey
from huref.prover.audit import Claims, _check_texts, audit, recompute
from huref.prover.checkpoint.families import open_model
from huref.prover.commitment.folder import describe_files, read_seed
from huref.prover.inference.prove import Answered
from huref.prover.owner import Options, prove
from huref.prover.progress import Progress
from huref.prover.vocabulary.encode import TextCoder
from huref.verifier import image, verify
from tests.conftest import Made
from tests.support import tiny_models
from tests.support.forge import load, reseal

KEYS = [SecretKey(1234567 + i) for i in range(3)]


@pytest.fixture
def copy(tiny: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.bundle, tmp_path / "copy.huref"))


@pytest.fixture(scope="module")
def claims(tiny: Made) -> Claims:
    return Claims.of(read_bundle(tiny.bundle))


def failure(made: Made, claims: Claims, tokens: Path | None = None) -> str:
    """Path of the fact that differs from the checkpoint."""
    with pytest.raises(Rejected) as caught:
        recompute(claims, made.checkpoint, read_seed(made.commitment / "private"), tokens, Progress())
    return caught.value.path


def _said(claims: Claims, **fields: Any) -> Claims:
    return replace(claims, statement=claims.statement.model_copy(update=fields))


def _under(claims: Claims, **fields: Any) -> Claims:
    return replace(claims, directory=claims.directory.model_copy(update=fields))


def _tokens(claims: Claims, **fields: Any) -> Claims:
    return _under(claims, tokens=claims.directory.tokens.model_copy(update=fields))


def _first_source(claims: Claims, **fields: Any) -> Claims:
    changed = claims.sources[0].model_copy(update=fields)
    return replace(claims, sources=[changed, *claims.sources[1:]])


def _inference(claims: Claims, **fields: Any) -> Claims:
    return _under(claims, inference={**(claims.directory.inference or {}), **fields})


def _first_layer(claims: Claims, **fields: Any) -> Claims:
    first, *others = (claims.directory.inference or {})["layers"]
    return _inference(claims, layers=[{**first, **fields}, *others])


def _bump(values: dict[str, Any]) -> dict[str, Any]:
    name = sorted(values)[0]
    value = values[name]
    return {**values, name: (value[0] + 1, *value[1:]) if isinstance(value, tuple) else value + 1}


def _swapped(entries: list[str] | None) -> list[str]:
    first, second, *others = entries or ()
    return [second, first, *others]


FACTS: dict[str, Callable[[Claims], Claims]] = {
    "audit.sources": lambda c: _first_source(c, name="another.safetensors"),
    "audit.sources.model.safetensors": lambda c: _first_source(c, sha256="0" * 64),
    "audit.shape": lambda c: _under(c, shape={**c.directory.shape, "other_mixers": True}),
    "audit.shape.vocab": lambda c: _under(
        c, shape={**c.directory.shape, "vocab": c.directory.shape["vocab"] + 1}
    ),
    "audit.shape.layers": lambda c: _under(
        c, shape={**c.directory.shape, "layers": c.directory.shape["layers"] + 1}
    ),
    "audit.tokens.source": lambda c: _tokens(c, source="corpus"),
    "audit.tokens.tokenizer": lambda c: _tokens(c, tokenizer_digest="0" * 64),
    "audit.tokens.frequencies": lambda c: _tokens(c, frequency_digest="0" * 64),
    "audit.tokens.k": lambda c: _under(c, k=c.directory.k - 1),
    "audit.tokens.p": lambda c: _under(c, p=c.directory.p * 2),
    "audit.tokens.ids": lambda c: _tokens(c, ids=c.directory.tokens.ids[::-1]),
    "audit.root": lambda c: replace(c, root="0" * 64),
    "audit.shifts": lambda c: _said(c, shifts=_bump(c.statement.shifts)),
    "audit.calibration_sums": lambda c: _said(c, calibration_sums=_bump(c.statement.calibration_sums)),
    "audit.caps": lambda c: _said(c, caps=_bump(c.statement.caps)),
    "audit.ratios": lambda c: _said(c, ratios=_bump(c.statement.ratios)),
    "audit.v": lambda c: _said(c, e=[c.statement.outputs[0] + 1, *c.statement.outputs[1:]]),
    "audit.tokens.pieces": lambda c: _tokens(c, pieces=_swapped(c.directory.tokens.pieces)),
    "audit.inference.epsilon": lambda c: _inference(c, epsilon="1e-05"),
    "audit.inference.theta": lambda c: _first_layer(c, theta=500000),
    "audit.inference.logits": lambda c: _inference(c, logits=c.directory.inference["logits"] - 2),
    "audit.inference.layers[0].gate.0": lambda c: _first_layer(c, gate=5),
    "audit.inference.layers[0].up_outliers.7": lambda c: _first_layer(c, up_outliers=[[7, 2]]),
    "audit.fidelity": lambda c: replace(c, fidelity=c.fidelity.model_copy(update={"v": 0.9})),
}


@pytest.mark.parametrize("path", FACTS)
def test_each_false_fact_is_found(tiny: Made, claims: Claims, path: str) -> None:
    assert failure(tiny, FACTS[path](claims)) == path


def test_units_one_apart_are_those_of_another_machine(tiny: Made, claims: Claims) -> None:
    layer = (claims.directory.inference or {})["layers"][0]
    near = _first_layer(claims, gate=layer["gate"] - 1, up_outliers=[*layer["up_outliers"], [87, 1]])
    recompute(near, tiny.checkpoint, read_seed(tiny.commitment / "private"), None, Progress())


def test_a_program_for_a_checkpoint_without_one(tiny: Made, claims: Claims, tmp_path: Path) -> None:
    copy = Made(shutil.copytree(tiny.checkpoint, tmp_path / "model"), tiny.proved)
    config = copy.checkpoint / "config.json"
    config.write_text(config.read_text().replace('"silu"', '"relu"'))
    sources = describe_files(open_model(copy.checkpoint), get_profile("hardened"))
    assert failure(copy, replace(claims, sources=list(sources))) == "audit.inference"


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A bundle whose owner publishes fidelity and fits term weights."""
    folder = tmp_path_factory.mktemp("paper")
    checkpoint = tiny_models.build("gpt2", folder / "model", vocab_size=600)
    return Made(checkpoint, prove(checkpoint, folder / "a.huref", Options(profile="paper", k=512, proofs=1)))


@pytest.fixture(scope="module")
def papers(paper: Made) -> Claims:
    return Claims.of(read_bundle(paper.bundle))


def test_papers_true_claims_agree(paper: Made, papers: Claims) -> None:
    checks = recompute(papers, paper.checkpoint, read_seed(paper.commitment / "private"), None, Progress())
    assert len(checks) == 7 and papers.fidelity.v is not None


def test_false_term_weights_are_found(paper: Made, papers: Claims) -> None:
    weights = papers.directory.term_weights
    wrong = _under(papers, term_weights=[*weights[:-1], weights[-1] ^ 1])
    assert failure(paper, wrong) == "audit.term_weights"


def test_false_fidelity_is_found(paper: Made, papers: Claims) -> None:
    wrong = papers.fidelity.model_copy(update={"v": 0.9})
    assert failure(paper, replace(papers, fidelity=wrong)) == "audit.fidelity.v"
    wrong = papers.fidelity.model_copy(update={"terms": {"x": 1.0}})
    assert failure(paper, replace(papers, fidelity=wrong)) == "audit.fidelity.terms"


def test_one_false_cosine_is_found(paper: Made, papers: Claims) -> None:
    for value in (0.9, float("nan")):
        terms = dict(papers.fidelity.terms)
        name = sorted(terms)[-1]
        terms[name] = value
        changed = replace(papers, fidelity=papers.fidelity.model_copy(update={"terms": terms}))
        assert failure(paper, changed) == f"audit.fidelity.terms.{name}"


def test_a_source_more_or_less_is_found(tiny: Made, claims: Claims) -> None:
    for sources in ([], [*claims.sources, claims.sources[0]]):
        assert failure(tiny, replace(claims, sources=sources)) == "audit.sources"


def test_another_checkpoint_or_seed_is_found(tiny: Made, other: Made, claims: Claims) -> None:
    """Another model of the same shape that even has the file's name, size and hash; another seed."""
    with pytest.raises(Rejected) as caught:
        recompute(claims, tiny.checkpoint, read_seed(other.commitment / "private"), None, Progress())
    assert caught.value.path == "audit.root"
    theirs = replace(claims, sources=Claims.of(read_bundle(other.bundle)).sources)
    with pytest.raises(Rejected) as caught:
        recompute(theirs, other.checkpoint, read_seed(tiny.commitment / "private"), None, Progress())
    assert caught.value.path == "audit.root"


def test_true_claims_agree(tiny: Made, claims: Claims) -> None:
    checks = recompute(claims, tiny.checkpoint, read_seed(tiny.commitment / "private"), None, Progress())
    assert len(checks) == 7 and claims.fidelity.v is None


@pytest.mark.parametrize("published", [("prompt",), ("answer",), ("prompt", "answer")])
def test_texts_that_are_not_those_of_the_ids(tmp_path: Path, published: tuple[str, ...]) -> None:
    """The texts beside a proof of inference are a reader's facts too; ids without texts are what is proven."""
    model = open_model(tiny_models.build("llama", tmp_path / "model"))
    coder = TextCoder.of(model.checkpoint, model.shape.vocab)
    said = {"prompt": coder.decode(range(3, 9)), "answer": " " + coder.decode(range(20, 23))}
    texts = {name: said.get(name) if name in published else None for name in said}
    ids, first = coder.continued(said["prompt"], said["answer"])
    if len(published) == 1:
        begun, behind = coder.encode(said["prompt"]), coder.encode(said["answer"])
        ids, first = begun + behind, len(begun)
    fields = {"ids": ids, "first": first, "gaps": [0], "odds": 9}
    silent = Answer(**fields, prompt=None, answer=None)
    true = silent.model_copy(update=texts)
    for before, where in (([], ""), ([silent, true], "answers.2.")):
        (sentence,) = _check_texts(saying(*before, true), model)
        assert all(name in sentence for name in published)
        for name in published:
            lied = true.model_copy(update={name: " " + coder.decode([40, 41])})
            with pytest.raises(Rejected) as caught:
                _check_texts(saying(*before, lied), model)
            assert caught.value.path == f"audit.{where}{name}"
    assert _check_texts(saying(silent), model) == []


def saying(*answers: Answer) -> InferenceStatement:
    return InferenceStatement(model_id="0" * 64, answers=list(answers))


def test_an_answers_texts_are_checked_with_the_rest(tiny: Made, claims: Claims, answered: Answered) -> None:
    found = Claims.of(read_bundle(answered.path)).answer
    assert found is not None and found.answers[0].prompt is None
    coder = TextCoder.of(tiny.checkpoint)
    for prompt, path in ((coder.decode([40, 41]), "audit.prompt"), ("", "audit.texts")):
        lied = replace(claims, answer=saying(found.answers[0].model_copy(update={"prompt": prompt})))
        assert failure(tiny, lied) == path


def test_tokens_by_another_rule(tiny: Made, claims: Claims, tmp_path: Path) -> None:
    """The rule is replayed, so a list that merely calls itself the rule's, or a rule that is not used, is found."""
    tokens = claims.directory.tokens
    listed = _tokens(claims, source="file", frequency_digest=None)  # bytes are the checkpoint's own
    with pytest.raises(UsageError, match="from a file"):
        recompute(listed, tiny.checkpoint, read_seed(tiny.commitment / "private"), None, Progress())
    file = tmp_path / "ids.txt"
    file.write_text("".join(f"{i}\n" for i in tokens.ids[1:] + tokens.ids[:1]))
    assert failure(tiny, listed, file) == "audit.tokens.ids"
    with pytest.raises(UsageError, match="not from a list"):
        recompute(claims, tiny.checkpoint, read_seed(tiny.commitment / "private"), file, Progress())
    file.write_text("".join(f"{i}\n" for i in tokens.ids))
    checks = recompute(listed, tiny.checkpoint, read_seed(tiny.commitment / "private"), file, Progress())
    assert any("owner's list" in check for check in checks)


def test_the_picture_is_drawn_again(copy: Path, tiny: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    files = load(copy)
    picture = bytearray(files[form.PICTURE])
    picture[len(picture) // 2] ^= 1
    for name, data in reseal({**files, form.PICTURE: bytes(picture)}).items():
        (copy / name).write_bytes(data)
    with pytest.raises(Rejected) as caught:
        audit(copy, tiny.checkpoint, tiny.commitment, key=KEYS[0])
    assert caught.value.path == "image"
    for name, data in files.items():
        (copy / name).write_bytes(data)
    monkeypatch.setattr(image, "find", lambda digest: None)
    verify(copy)  # a reader without the generator may go on, an auditor may not
    with pytest.raises(Rejected) as caught:
        audit(copy, tiny.checkpoint, tiny.commitment, key=KEYS[0])
    assert caught.value.path == "image" and not (copy / form.COSIGNATURES).exists()


def test_audit_and_cosign_a_bundle(copy: Path, tiny: Made, other: Made) -> None:
    (copy / f".{form.COSIGNATURES}.0123456789abcdef.tmp").write_bytes(b"{")  # an earlier audit was killed
    report = audit(copy, tiny.checkpoint, tiny.commitment, key=KEYS[0])
    assert report.cosigners == (KEYS[0].public_key,) and len(report.checks) == 8
    report = audit(copy, tiny.checkpoint, tiny.commitment / "private", key=KEYS[1])
    assert set(report.cosigners) == {KEYS[0].public_key, KEYS[1].public_key}
    verdict, before = verify(copy), read_bundle(copy).files[form.COSIGNATURES]
    assert verdict.unknown_cosigners == report.cosigners and verdict.cosigners == ()
    with pytest.raises(Rejected) as caught:
        audit(copy, other.checkpoint, tiny.commitment, key=KEYS[2])
    assert caught.value.path == "audit.sources.model.safetensors"
    with pytest.raises(UsageError, match="already"):
        audit(copy, tiny.checkpoint, tiny.commitment, key=KEYS[0])
    assert read_bundle(copy).files[form.COSIGNATURES] == before


def test_what_an_auditor_mixes_up(copy: Path, tiny: Made, other: Made, tmp_path: Path) -> None:
    """Said before the work, and never as a finding about the bundle."""
    with pytest.raises(UsageError, match="is the commitment of model id"):
        audit(copy, tiny.checkpoint, other.commitment, key=KEYS[0])
    with pytest.raises(InputOutputError, match="the private part of a commitment is not there"):
        audit(copy, tiny.checkpoint, copy)
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", copy)
    with pytest.raises(UsageError, match="a signature is added to a folder"):
        audit(packed, tiny.checkpoint, tiny.commitment, key=KEYS[0])
    assert not (copy / form.COSIGNATURES).exists()


def test_a_checkpoint_saved_in_another_way_is_another_source(
    tiny: Made, claims: Claims, tmp_path: Path
) -> None:
    """The same weights under another file name: the name is a fact, too."""
    folder = Path(shutil.copytree(tiny.checkpoint, tmp_path / "model"))
    (folder / claims.sources[0].name).rename(folder / "renamed.safetensors")
    with pytest.raises(Rejected) as caught:
        recompute(claims, folder, read_seed(tiny.commitment / "private"), None, Progress())
    assert caught.value.path == "audit.sources"
