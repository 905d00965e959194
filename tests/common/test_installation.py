"""What each installation can do: every command without the packages of the extras, and what it says then."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from huref.common.cli import app, register
from huref.common.errors import UsageError
from huref.common.installation import EXTRAS, MissingPackage, missing_package
from tests import ROOT
from tests.conftest import Made
from tests.support.blocked import Done, run_without


def all_commands() -> set[tuple[str, ...]]:
    """Every command of the root, and of the groups under it."""
    root = typer.Typer()
    register(root)
    found = {(str(command.name),) for command in root.registered_commands}
    for group in root.registered_groups:
        commands = group.typer_instance.registered_commands if group.typer_instance else []
        for command in commands:
            name = command.name or command.callback.__name__  # type: ignore[union-attr]
            found.add((str(group.name), name))
    return found


def assert_names(done: Done, extra: str) -> None:
    assert done.code == 2, done
    assert done.out == ""
    (line,) = done.err.splitlines()
    assert line.startswith("error: ") and line.endswith(f": pip install 'huref[{extra}]'"), line


def assert_documented(extras: dict[tuple[str, ...], str]) -> None:
    """docs/install.md has every command in the row of the extra that it needs, the base's in the first."""
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `pip install '?huref(?:\[(\w+)\]')?` \| .* \| (.*) \|$", page, re.M))
    for name, extra in extras.items():
        listed = re.findall(r"`([^`]+)`", rows[extra])
        assert " ".join(name) in listed or name[0] in listed, (name, extra)
    named = {text for row in rows.values() for text in re.findall(r"`([a-z][a-z -]*)`", row)}
    known = {" ".join(name[:length]) for name in extras for length in (1, 2)}
    assert {text.split(" --")[0] for text in named} <= known | {"ed25519", "make docs"}, named - known


def test_the_base_install(tiny: Made, other: Made, tmp_path: Path) -> None:
    vector = tmp_path / "v.json"
    vector.write_text(json.dumps([int(x) for x in np.arange(512) - 256]))
    needs: dict[tuple[str, ...], tuple[tuple[object, ...], str]] = {
        ("tokens",): ((tiny.checkpoint,), "prover"),
        ("fingerprint",): ((tiny.checkpoint,), "prover"),
        ("commit",): ((tiny.checkpoint, "--out", "a.commitment"), "prover"),
        ("range",): ((tiny.commitment,), "prover"),
        ("prove",): ((tiny.checkpoint, "--out", "a.huref"), "prover"),
        ("prove-inference",): (
            ("--commitment", tiny.commitment, "--prompt-ids", "[1]", "--generate", 1, "--out", "b.huref"),
            "prover",
        ),
        ("export",): (("--commitment", tiny.commitment, "--out", "served"), "prover"),
        ("ask",): (("--tokenizer", tiny.checkpoint, "--seed", "0" * 64), "prover"),
        ("audit",): ((tiny.bundle, "--checkpoint", tiny.checkpoint, "--private", tiny.commitment), "prover"),
        ("demo",): ((), "prover"),
        ("generator", "import"): (("a", "--out", "b.gen", "--name", "b", "--licence", "none"), "train"),
        ("restore",): ((tiny.commitment,), "prover"),
        ("warmup",): ((), "prover"),
        ("registry", "serve"): (("r.sqlite",), "registry"),
    }
    works: dict[tuple[str, ...], tuple[tuple[object, ...], int]] = {
        ("verify",): ((tiny.bundle,), 0),
        ("inspect",): ((tiny.bundle, "--html", "page.html"), 0),
        ("compare",): ((tiny.bundle, other.bundle / "fingerprint.json", "--picture", "both.png"), 0),
        ("challenge",): ((tiny.bundle, other.commitment), 0),
        ("keygen",): (("--out", "a.key"), 0),
        ("pubkey",): (("AB" * 48,), 0),
        ("generator", "list"): ((), 0),
        ("generator", "draw"): ((vector, "--out", "v.png"), 0),
        ("generator", "install"): (("absent.gen",), 4),
        ("pack",): ((tiny.bundle, "--out", "p.zip"), 0),
        ("unpack",): (("p.zip", "--out", "u.huref"), 0),
        ("statement",): ((tiny.bundle, "--out", "s.json"), 0),
        ("card",): ((tiny.bundle, "--image", "c.png"), 0),
        ("stamp",): ((tiny.bundle, tiny.checkpoint / "model.safetensors", "--out", "stamped"), 0),
        ("registry", "create"): (("r.sqlite", "--key", "a.key"), 0),
        ("registry", "add"): (("r.sqlite", tiny.bundle, "--name", "a/b", "--key", "a.key"), 0),
        ("registry", "list"): (("r.sqlite",), 0),
        ("registry", "check"): (("http://127.0.0.1:9", tiny.bundle), 4),
        ("identify",): ((tiny.bundle / "fingerprint.json", "--registry", "r.sqlite"), 0),
    }
    assert set(needs) | set(works) == all_commands()
    extras = {name: extra for name, (_, extra) in needs.items()} | dict.fromkeys(works, "")
    assert_documented(extras)
    signing = [("keygen", "--out", "k", "--kind", "p256"), ("statement", tiny.bundle, "--key", "a.key")]
    mixed = [("compare", *pair) for pair in ((tiny.checkpoint, other.bundle), (tiny.checkpoint,) * 2)]
    helped = [(*name, "--help") for name in (*needs, *works)]
    commands = (
        [(*name, *rest) for name, (rest, _) in (*needs.items(), *works.items())] + mixed + signing + helped
    )
    found = run_without(EXTRAS, commands, tmp_path)
    for (_, extra), done in zip(needs.values(), found, strict=False):
        assert_names(done, extra)
    for (name, (_, code)), done in zip(works.items(), found[len(needs) :], strict=False):
        assert done.code == code, (name, done)
    for done in found[len(needs) + len(works) :][:2]:
        assert_names(done, "prover")
    for done in found[len(needs) + len(works) + 2 :][:2]:
        assert_names(done, "sign")
    for name, done in zip(helped, found[-len(helped) :], strict=True):
        assert done.code == 0 and "Usage: " in done.out, (name, done)
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {
        "v.json", "page.html", "both.png", "a.key", "a.key.pub", "v.png", "p.zip", "u.huref", "s.json", "c.png",
        "stamped", "r.sqlite", "r.sqlite-wal", "r.sqlite-shm", "r.sqlite.bundles",
    }  # fmt: skip


def test_prover_without_the_other_extras(tiny: Made, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07")
    needs = {
        ("fingerprint", tiny.checkpoint, "--device", "cuda", "--out", "f"): "gpu",
        ("fingerprint", tiny.checkpoint, "--device", "torch-cpu", "--out", "f"): "gpu",
        ("commit", tiny.checkpoint, "--out", "c", "--scheduler", "dask://127.0.0.1:9"): "cluster",
        ("fingerprint", "model.onnx", "--out", "f"): "onnx",
        ("generator", "import", "a", "--out", "b.gen", "--name", "b", "--licence", "none"): "train",
    }
    torchless = ("torch", "onnx", "distributed", "dask", "huggingface_hub", "py_arkworks_bls12381")
    plain = ("fingerprint", tiny.checkpoint, "--out", "f")
    found = run_without(torchless, [*needs, plain], tmp_path)
    for extra, done in zip(needs.values(), found, strict=False):
        assert_names(done, extra)
    assert found[-1].code == 0, found[-1]
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "f"}


_LIBRARY = """
import sys
sys.modules["numba"] = None
from huref.common.errors import UsageError
try:
    from huref.prover import prove
except UsageError as error:
    assert isinstance(error, ImportError)
    print(error.message)
"""


def test_the_library_says_it_too() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LIBRARY], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "this needs the package numba: pip install 'huref[prover]'\n", done.stderr


def test_a_gpu_without_torch_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from huref.prover.devices import choose

    monkeypatch.setattr(choose, "_has_driver", lambda: True)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert choose.choose("auto") is choose.COMPILED
    with pytest.raises(ImportError):
        choose.choose("cuda")


def test_what_an_import_error_means() -> None:
    torch = ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")
    assert str(missing_package(torch, "train")).endswith("pip install 'huref[train]'")
    broken = missing_package(ImportError("Numba needs NumPy 2.4 or less.\nGot 3.0"))
    assert broken is not None and broken.message == (
        "the package numba cannot be loaded (Numba needs NumPy 2.4 or less.): pip install 'huref[prover]'"
    )
    base = missing_package(ModuleNotFoundError("No module named 'pydantic'", name="pydantic"))
    assert base is not None and base.message.endswith("pip install --upgrade huref")
    assert missing_package(ModuleNotFoundError("no", name="huref.prover.gone")) is None
    again = MissingPackage("x", "onnx")
    assert missing_package(again) is again and isinstance(again, UsageError)


def test_every_extra_is_declared() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = {name: extras[extra] for name, extra in EXTRAS.items() if name not in ("llvmlite", "dask")}
    for package, requirements in needed.items():
        named = [line.split(">")[0].split("=")[0].replace("-", "_") for line in requirements]
        assert package in named, f"{package} is not in its extra"
    assert any(line.startswith("torch") for line in extras["train"])
    assert not any("torch" in line for line in (*project["dependencies"], *extras["prover"]))


def test_version() -> None:
    from importlib.metadata import version

    for command in (["-m", "huref", "--version"], ["-m", "huref", "verify", "--help"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"huref {version('huref')}\n" or done.stdout.startswith("Usage: ")
    assert app.info.name == "huref"
