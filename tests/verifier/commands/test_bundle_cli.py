"""The commands around bundles, as a user runs them: output, exit codes, and never a traceback."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from huref.common.cli import main
from huref.common.errors import ExitCode
from huref.common.files import bundle as form
from tests.conftest import Made
from tests.support import tiny_models
from tests.support.forge import load, reseal, with_manifest
from tests.support.schemas import validate

HTML_FORBIDDEN = ("<script", "http://", "https://", 'src="/', "@import")


class Result:
    """Exit code and captured output of one command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        assert "Traceback" not in out + err


@pytest.fixture
def huref(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Run the command line in this process, with commands registered once."""
    import typer

    from huref.common import cli

    def run(*arguments: object) -> Result:
        root = typer.Typer(name="huref", no_args_is_help=True, rich_markup_mode=None)
        root.callback()(cli.root)
        monkeypatch.setattr(cli, "app", root)
        monkeypatch.setattr(sys, "argv", ["huref", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capfd.readouterr()
        return Result(int(exit_.value.code or 0), out, err)

    return run


@contextmanager
def written(files: dict[str, bytes], folder: Path) -> Iterator[Path]:
    """Files as a bundle on disk."""
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    yield folder
    shutil.rmtree(folder)


def test_verify_says_what_it_proved_and_what_not(huref, tiny: Made) -> None:  # type: ignore[no-untyped-def]
    done = huref("verify", tiny.bundle)
    assert done.code == ExitCode.VERIFIED
    assert done.out.startswith("VERIFIED")
    assert "\nSaid by the owner, not proven:\n" in done.out and "deployed" in done.out
    assert tiny.proved.verdict.model_id in done.out


def test_verify_json_prints_one_object(huref, tiny: Made) -> None:  # type: ignore[no-untyped-def]
    done = huref("verify", tiny.bundle, "--json", "--root", tiny.proved.verdict.model_id)
    value = json.loads(done.out)
    assert value["verified"] is True and value["fingerprint"] == tiny.proved.verdict.fingerprint
    assert value["security"]["bits"] >= 100 and value["not_proven"]


def test_exit_codes(huref, tiny: Made, other: Made, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert huref("verify", tmp_path / "absent").code == ExitCode.IO
    assert huref("verify", tiny.bundle, "--root", other.proved.verdict.model_id).code == ExitCode.REJECTED
    assert huref("verify", tiny.bundle, "--expect", other.bundle).code == ExitCode.REJECTED
    assert huref("verify", tiny.bundle, "--min-security", "120").code == ExitCode.REJECTED
    assert huref("verify", tiny.bundle, "--root", "xyz").code == ExitCode.USAGE
    assert huref("verify", tiny.bundle, "--no-such-option").code == ExitCode.USAGE
    assert huref("verify").code == ExitCode.USAGE
    assert huref("verify", tiny.checkpoint).code == ExitCode.MALFORMED
    files = load(tiny.bundle)
    with written(with_manifest(files, lambda m: m.update(format="huref-bundle/9")), tmp_path / "a") as path:
        assert huref("verify", path).code == ExitCode.MALFORMED
    proof = bytearray(files[form.PROOF])
    proof[100] ^= 1
    with written({**files, form.PROOF: bytes(proof)}, tmp_path / "b") as path:
        done = huref("verify", path, "--json")
        assert done.code == ExitCode.REJECTED
        said = json.loads(done.out)
        assert said["error"] == "Rejected" and "files.proof.bin.sha256" in done.err
        assert said["verified"] is False and said["path"] == "files.proof.bin.sha256"


def test_inspect(huref, tiny: Made, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    page = tmp_path / "page.html"
    done = huref("inspect", tiny.bundle, "--html", page)
    assert done.code == ExitCode.VERIFIED
    for word in ("  gram  ", "lookup.alpha", "opening.weights.queries", "statement", "not proven"):
        assert word in done.out, word
    text = page.read_text()
    assert not any(word in text for word in HTML_FORBIDDEN)
    assert "data:image/png;base64," in text and "<details>" in text and "VERIFIED" in text
    value = json.loads(huref("inspect", tiny.bundle, "--json").out)
    labels = [message["label"] for message in value["messages"]]
    assert labels[0] == "config" and labels[1] == "statement"
    assert len(value["positions"]["opening.weights"]) == len(set(value["positions"]["opening.weights"]))
    sent = sum(m["size"] for m in value["messages"] if m["kind"] == "absorb")
    assert sent >= (tiny.bundle / form.PROOF).stat().st_size
    assert {layer["name"] for layer in value["layers"]} == set(value["statement"]["shifts"])


def test_inspect_names_the_first_failing_check(huref, tiny: Made, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    files = load(tiny.bundle)
    proof = bytearray(files[form.PROOF])
    proof[-40] ^= 1
    page = tmp_path / "page.html"
    with written(reseal({**files, form.PROOF: bytes(proof)}), tmp_path / "<b>&") as path:
        done = huref("inspect", path, "--html", page)
        assert done.code == ExitCode.REJECTED
        assert "First failing check" in done.out and "opening." in done.out
        assert "<b>&" not in page.read_text() and "&lt;b&gt;" in page.read_text()
        failure = json.loads(huref("inspect", path, "--json").out)["failure"]
        assert failure["path"].startswith("opening.") and failure["kind"] == "Rejected"
    with written({**files, form.MANIFEST: b"{}"}, tmp_path / "c") as path:
        assert huref("inspect", path).code == ExitCode.MALFORMED
    assert huref("inspect", tmp_path / "absent").code == ExitCode.IO


def test_commit_prove_verify_as_an_owner_does(huref, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    checkpoint = tiny_models.build("bert", tmp_path / "model")
    folder, bundle, key = tmp_path / "c", tmp_path / "b.huref", tmp_path / "key"
    public = huref("keygen", "--out", key).out.strip()
    done = huref("commit", checkpoint, "--out", folder, "--proofs", "3", "--owner", public, "--json")
    root = json.loads(done.out)["model_id"]
    assert done.code == 0 and "Traceback" not in done.err
    done = huref("prove", checkpoint, "--commitment", folder, "--out", bundle, "--key", key)
    assert done.code == 0 and "provable bits" in done.err and "self-verify" in done.err
    (words,) = [line.removeprefix("  in words  ") for line in done.out.splitlines() if "  in words  " in line]
    done = huref("verify", bundle, "--root", root, "--signer", public)
    assert (
        done.code == ExitCode.VERIFIED and f"  in words     {words}\n" in done.out and len(words.split()) == 6
    )
    assert huref("prove", "--commitment", folder, "--out", bundle, "--key", key).code == ExitCode.USAGE
    done = huref("prove", "--commitment", folder, "--out", bundle, "--force")
    assert done.code == ExitCode.USAGE and "must be signed by its owner" in done.err
    done = huref("prove", "--commitment", folder, "--out", bundle, "--key", key, "--force", "--json")
    left = json.loads(done.out)
    assert left["positions_left"] >= 0 == left["challenges_left"], "the public fingerprint is the one answer"
    done = huref("prove", "--commitment", folder, "--out", tmp_path / "third.huref", "--key", key)
    assert done.code == ExitCode.USAGE and "opening budget" in done.err
    restored = validate(json.loads(huref("restore", folder, "--json").out), "restored")
    assert restored["positions_declared_spent"] == restored["proofs_left"] == 0
    done = huref("audit", bundle, "--checkpoint", checkpoint, "--private", folder)
    assert done.code == ExitCode.VERIFIED and "nothing was signed" in done.err and "auditor" not in done.out
    done = huref("audit", bundle, "--checkpoint", checkpoint, "--private", folder, "--key", key)
    assert done.code == 0 and public in done.out
    assert public in huref("verify", bundle).out


@pytest.mark.parametrize("command", ["commit", "prove"])
def test_bad_checkpoints_leave_nothing(huref, tmp_path: Path, command: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "pytorch_model.bin").write_bytes(b"\x80\x04")
    done = huref(command, tmp_path / "model", "--out", tmp_path / "out")
    assert done.code == ExitCode.MALFORMED and "pickled" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_verify_help_loads_nothing_that_takes_long() -> None:
    """What costs more than the rest of the start together is loaded when a bundle is there to verify."""
    code = (
        "import atexit, sys; sys.argv = ['huref', 'verify', '--help']\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from huref.common.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "typer" in loaded
    assert not loaded & {"numpy", "numba", "torch", "py_ecc", "tokenizers", "safetensors", "cryptography"}
