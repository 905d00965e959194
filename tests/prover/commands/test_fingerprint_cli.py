"""`huref fingerprint` and `huref compare`, and `derive` end to end: reproducible, complete or nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from huref.circuits.fingerprint.hardened.vector import picture_vector
from huref.circuits.fingerprint.profiles import HARDENED, PAPER
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.program.evaluate import run
from huref.circuits.whole import compile_whole
from huref.common.cli import app, register
from huref.common.errors import Malformed
from huref.common.files.fingerprint_file import read_fingerprint
from huref.common.image.generator import render
from huref.common.image.png import png_pixels
from huref.common.image.registry import embedded
from huref.common.words import ALONE
from huref.prover.checkpoint.families import open_model
from huref.prover.run.fingerprint import derive
from huref.verifier.report.picture import captioned, in_terminal
from tests.support.tiny_models import VOCAB, build
from tests.support.tiny_tokenizer import common_words

if not any(command.name == "fingerprint" for command in app.registered_commands):
    register(app)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two unrelated tiny models, a sharded copy of the first, and a token list."""
    folder = tmp_path_factory.mktemp("models")
    tokens = folder / "tokens.txt"
    tokens.write_text("".join(f"{i}\n" for i in range(VOCAB)))
    return {
        "a": build("llama", folder / "a"),
        "sharded": build("llama", folder / "sharded", max_shard_size="100KB"),
        "b": build("llama", folder / "b", seed=5),
        "tokens": tokens,
    }


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_fingerprint_file(models: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    result = invoke("fingerprint", models["a"], "--tokens", models["tokens"], "--out", out, "--json")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == ["fingerprint.json", "picture.png"]
    found = read_fingerprint(out)
    assert json.loads(result.stdout) == found.model_dump()
    assert (found.profile, found.challenge, found.k, found.p) == ("hardened-2", None, VOCAB, 32)
    assert found.token_ids == list(range(VOCAB)) and found.token_source == "file"
    assert found.token_pieces == [word.encode().hex() for word in common_words(VOCAB)]
    assert len(found.v) == 512 and len(set(found.v)) > 100
    assert found.e is not None and picture_vector(found.e).tolist() == found.v
    assert found.fidelity.v is None and found.fidelity.terms == {}
    # what the file says is enough to recompile the program and to check it against the weights
    shape = ModelShape.from_dict(found.shape)
    pieces = [bytes.fromhex(piece) for piece in found.token_pieces]
    program = compile_whole(shape, found.token_ids, pieces, found.p, b"")
    again = derive(open_model(models["a"]), HARDENED, tokens=models["tokens"])
    trace = run(program, again.weights, found.shifts)
    assert trace.v.tolist() == found.e
    assert {name: list(sums) for name, sums in trace.sums.items()} == found.calibration_sums


def test_sharded_and_repeated_runs_are_identical(models: dict[str, Path]) -> None:
    assert len(list(models["sharded"].glob("*.safetensors"))) > 1
    runs = [
        derive(open_model(models[name]), HARDENED, tokens=models["tokens"]) for name in ("a", "a", "sharded")
    ]
    for other in runs[1:]:
        assert other.trace.v.tolist() == runs[0].trace.v.tolist()
        assert other.steps == runs[0].steps
        for name, weight in runs[0].weights.items():
            assert np.array_equal(weight, other.weights[name])


def test_paper_profile_matches_the_reference_definition(tmp_path: Path) -> None:
    from benchmarks.fidelity import reference_meanpool
    from huref.circuits.fingerprint.outputs import standardize

    for family in ("llama", "gpt2"):
        model = open_model(build(family, tmp_path / family, vocab_size=600))
        tokens = tmp_path / f"{family}.txt"
        tokens.write_text("".join(f"{i}\n" for i in range(600)))
        found = derive(model, PAPER, tokens=tokens)
        assert (found.k, found.p, max(found.term_weights)) == (512, 256, 127)
        direct = standardize(reference_meanpool(model, found.tokens.ids), PAPER)
        assert float(standardize(found.trace.v, PAPER) @ direct) / 512 > 0.99


def test_compare(models: dict[str, Path], tmp_path: Path) -> None:
    for name in "ab":
        assert invoke("fingerprint", models[name], "--out", tmp_path / name).exit_code == 0
    files = invoke("compare", tmp_path / "a", tmp_path / "b" / "fingerprint.json", "--json")
    assert files.exit_code == 0
    report = json.loads(files.stdout)
    assert abs(report["cosine"]) < 0.2 and report["verdict"] == "unrelated" and "ics" not in report
    mixed = invoke("compare", tmp_path / "a", models["a"], "--json")
    assert mixed.exit_code == 0 and json.loads(mixed.stdout)["cosine"] == pytest.approx(1)
    checkpoints = invoke("compare", models["a"], models["sharded"], "--json")
    report = json.loads(checkpoints.stdout)
    assert report["cosine"] == pytest.approx(1) and report["ics"] == pytest.approx(1)
    assert report["pcs"] == pytest.approx(1) and report["verdict"] == "same base"
    text = invoke("compare", models["a"], models["b"])
    assert text.exit_code == 0 and "ICS of the terms" in text.stdout and "unrelated" in text.stdout


def test_compare_shows_both_pictures(models: dict[str, Path], tmp_path: Path) -> None:
    for name in "ab":
        options = ("--tokens", models["tokens"], "--out", tmp_path / name)
        assert invoke("fingerprint", models[name], *options).exit_code == 0
    sheet = tmp_path / "both.png"
    quiet = invoke("compare", tmp_path / "a", tmp_path / "b", "--picture", sheet, "--json")
    assert quiet.exit_code == 0 and abs(json.loads(quiet.stdout)["cosine"]) < 0.2
    vectors = [read_fingerprint(tmp_path / name).v for name in "ab"]
    joined = png_pixels(sheet.read_bytes())
    side = embedded().weights.resolution
    for index, v in enumerate(vectors):
        left = index * (side + 8)
        assert np.array_equal(joined[:side, left : left + side], render(v))
    assert joined.shape[0] > side + 44 and (joined[side + 4 :] < 128).any()
    said = json.loads(quiet.stdout)["words"]
    assert len(said) == 2 and said[0] != said[1] and all(len(words.split()) == 6 for words in said)
    assert png_pixels((tmp_path / "a" / "picture.png").read_bytes()).shape == (side, side, 3)
    assert np.array_equal(png_pixels((tmp_path / "a" / "picture.png").read_bytes()), render(vectors[0]))
    text = invoke("compare", tmp_path / "a", tmp_path / "b" / "fingerprint.json", "--show")
    assert text.exit_code == 0 and text.stdout.count("\u2580") > 1000 and "unrelated" in text.stdout
    assert all(f"{ALONE}   {words}\n" in text.stdout for words in said)
    assert f"({ALONE})" in text.stdout, "under the pictures, too"
    assert "\u2580" not in invoke("compare", tmp_path / "a", tmp_path / "b").stdout
    unknown = invoke("compare", tmp_path / "a", tmp_path / "b", "--picture", sheet, "--generator", "nobody")
    assert unknown.exit_code == 3 and "nobody" in unknown.stderr


def test_captions_take_any_name() -> None:
    picture = np.zeros((128, 128, 3), dtype=np.uint8)
    for name in ("x" * 300, "\x1b[31m\n\0", "模型 ñ 🙂"):
        assert captioned([picture, picture], [name, name], ["line"]).shape == (308, 520, 3)
        two = ["one two three four five six"] * 2
        assert captioned([picture, picture], [name, name], ["line"], two).shape == (348, 520, 3)
        assert "four five six" in in_terminal([picture, picture], [name, name], ["line"], two)
        shown = in_terminal([picture, picture], [name, name], ["line"])
        assert shown.splitlines()[-1] == "line" and "\x1b[31m" not in shown.splitlines()[-2]


def test_no_name_hides_a_mark_or_runs_under_the_other_picture() -> None:
    picture = np.zeros((256, 256, 3), dtype=np.uint8)
    for name in ("x" * 300, "llama" + "\u200b" * 19, "W" * 24, "\u2014" * 40):
        shown = in_terminal([picture, picture], [(name, " (unproven)"), "b"], [])
        assert " (unproven)  " in shown.splitlines()[-1]
        plain = captioned([picture, picture], ["", "b"], [])
        long = captioned([picture, picture], [(name, " (unproven)"), "b"], [])
        assert np.array_equal(plain[:, 264:], long[:, 264:]) and (plain != long).any(), ascii(name)


def test_a_line_beside_pictures_cannot_command_the_terminal() -> None:
    picture = np.zeros((8, 8, 3), dtype=np.uint8)
    shown = in_terminal([picture, picture], ["a", "b"], ["by \x1b[2Jnobody\nVERIFIED"])
    assert shown.splitlines()[-1] == "by \\x1b[2Jnobody\\nVERIFIED"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("{a}", "--k", "264"), 2, "K and P follow"),
        (("{a}", "--p", "32"), 2, "K and P follow"),
        (("{a}", "--profile", "paper", "--k", "5000"), 2, "K = 5000"),
        (("{a}", "--profile", "paper", "--k", "100"), 2, "multiple"),
        (("{a}", "--profile", "paper", "--p", "48"), 2, "power of two"),
        (("{a}", "--profile", "paper", "--p", "256"), 2, "P = 256"),
        (("{a}", "--profile", "soft"), 2, "no profile"),
        (("{a}", "--profile", "paper"), 2, "paper needs P = 256"),
        (("{a}", "--profile", "paper", "--challenge", "00" * 32), 2, "answers no challenges"),
        (("{a}", "--challenge", "00"), 2, "64 hex digits"),
        (("{a}", "--device", "quantum"), 2, "no device"),
        (("{a}/nothing",), 4, "nothing"),
        (("{nan}",), 3, "NaN or infinity"),
        (("{truncated}",), 3, "safetensors"),
        (("{missing}",), 3, "missing"),
        (("{unknown}",), 3, "warp"),
    ],
)
def test_bad_input_leaves_nothing_behind(
    models: dict[str, Path], tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    places = {
        name: damaged(models["a"], name, tmp_path) for name in ("nan", "truncated", "missing", "unknown")
    }
    filled = [argument.format(a=models["a"], **places) for argument in arguments]
    out = tmp_path / "out"
    result = invoke("fingerprint", *filled, "--tokens", models["tokens"], "--out", out)
    assert result.exit_code == code, result.output
    lines = [line for line in result.stderr.split("\r")[-1].splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and message in lines[0]
    assert not out.exists() and "Traceback" not in result.output


def damaged(source: Path, kind: str, folder: Path) -> Path:
    """A copy of a checkpoint with one defect."""
    from safetensors.numpy import load_file, save_file

    target = folder / kind
    target.mkdir()
    config = json.loads((source / "config.json").read_text())
    tensors = load_file(source / "model.safetensors")
    if kind == "nan":
        tensors["model.layers.2.mlp.up_proj.weight"][3, 3] = np.nan
    if kind == "missing":
        del tensors["model.layers.1.self_attn.v_proj.weight"]
    if kind == "unknown":
        config["model_type"], config["architectures"] = "warp", ["WarpForCausalLM"]
    save_file(tensors, target / "model.safetensors")
    if kind == "truncated":
        content = (target / "model.safetensors").read_bytes()
        (target / "model.safetensors").write_bytes(content[: len(content) // 2])
    (target / "config.json").write_text(json.dumps(config))
    shutil.copy(source / "tokenizer.json", target)
    return target


def test_fingerprints_of_different_kinds_are_not_compared(models: dict[str, Path], tmp_path: Path) -> None:
    large = build("llama", tmp_path / "large", vocab_size=1100)
    for name, size in (("full", "1024"), ("half", "512")):
        options = ("--profile", "paper", "--k", size, "--out", tmp_path / name)
        assert invoke("fingerprint", large, *options).exit_code == 0
    result = invoke("compare", tmp_path / "full", tmp_path / "half")
    assert result.exit_code == 2 and "differ in k" in result.stderr
    (tmp_path / "fingerprint.json").write_text('{"v": [1, 2')
    result = invoke("compare", tmp_path / "full", tmp_path / "fingerprint.json")
    assert result.exit_code == 3 and "not a fingerprint file" in result.stderr
    assert invoke("compare", tmp_path / "full", tmp_path / "gone").exit_code == 4


def test_fingerprint_file_is_strict(models: dict[str, Path], tmp_path: Path) -> None:
    options = ("--tokens", models["tokens"], "--out", tmp_path)
    assert invoke("fingerprint", models["a"], *options).exit_code == 0
    content = json.loads((tmp_path / "fingerprint.json").read_text())
    for change in ({"extra": 1}, {"v": content["v"][:-1]}, {"schema_version": "huref-fingerprint/0"}):
        (tmp_path / "fingerprint.json").write_text(json.dumps({**content, **change}))
        with pytest.raises(Malformed, match="not a fingerprint file"):
            read_fingerprint(tmp_path)
