"""The first use: it is said once, a warm-up covers it, code is kept where nobody else writes, helpers stay inside."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from huref.prover.commands.first_use import announced
from huref.prover.kernels import cache
from tests import ROOT
from tests.support import tiny_models
from tests.support.schemas import validate
from tests.support.warm_kernels import SAID, warm_up, warmed

LINE = "compiling kernels"
KERNELS = ROOT / "prover" / "kernels"

_SMALL = """
import sys
import numpy as np
from huref.prover.commands.first_use import announced
from huref.prover.kernels.first_use import counted
from huref.prover.kernels.integers import reading
with announced("load"), counted() as compiled:
    print(reading.widen(np.ones((2, 2), np.float32))[1], reading.widen(np.ones((2, 2), np.float32))[1])
print(compiled())
"""
"""One kernel without helpers."""


def run(code: str, *arguments: object, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "HUREF_THREADS": "1", **settings},
        cwd=ROOT, capture_output=True, text=True, timeout=600, check=True,
    )  # fmt: skip


def test_compiling_is_said_once_and_only_when_it_happens(tmp_path: Path) -> None:
    cold = run(_SMALL, NUMBA_CACHE_DIR=str(tmp_path))
    assert cold.stderr.count(LINE) == 1 and "once per installation" in cold.stderr
    assert cold.stdout.split() == ["True", "True", "1"]
    warm = run(_SMALL, NUMBA_CACHE_DIR=str(tmp_path))
    assert warm.stderr == "" and warm.stdout.split() == ["True", "True", "0"]


def test_every_stage_of_a_command_has_its_kernels() -> None:
    """An unknown one would be an internal error of the first command after an installation, and of no other."""
    from huref.prover.commands import commit, prove
    from huref.prover.commands import range as prove_range

    for stages in (commit._STAGES, prove._STAGES[:-1], prove_range._STAGES):
        with announced(*stages):
            pass
    with pytest.raises(KeyError):
        announced("load", "no such stage")


_NOWHERE = """
from pathlib import Path
from huref.prover.commands.first_use import announced
from huref.prover.kernels import cache
cache._bases = lambda: iter([Path({base!r})])
"""


def test_a_machine_without_a_folder_to_write_still_works(tmp_path: Path) -> None:
    """As a read-only installation and home: a private folder for this run, gone after it; or none at all."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    room = tmp_path / "tmp"
    room.mkdir()
    code = _NOWHERE.format(base=str(blocked)) + _SMALL + "print(cache.folder(), cache.lasting())"
    done = run(code, TMPDIR=str(room))
    assert "every time" in done.stderr
    *_, folder, lasting = done.stdout.split()
    assert Path(folder).parent.parent == room and lasting == "False"
    assert list(room.iterdir()) == []
    code = "import tempfile\ndef none(*a, **k): raise OSError\ntempfile.mkdtemp = none\n" + code
    done = run(code, TMPDIR=str(room))
    assert done.stdout.split()[-2:] == ["None", "False"] and done.stdout.split()[2] == "1"


def test_code_is_kept_in_a_folder_of_ours_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cache.private_folder(tmp_path / "a" / "b")
    assert made is not None and made.stat().st_mode & 0o777 == 0o700
    assert cache.private_folder(made) == made
    made.chmod(0o777)
    assert cache.private_folder(made) is None
    made.chmod(0o700)
    made.chmod(0o770)
    assert cache.private_folder(made) is None, "a group can write it"
    made.chmod(0o700)
    made.parent.chmod(0o777)
    assert cache.private_folder(made) is None, "others can put another folder in its place"
    made.parent.chmod(0o1777)
    assert cache.private_folder(made) == made
    (tmp_path / "link").symlink_to(made)
    assert cache.private_folder(tmp_path / "link") is None
    (tmp_path / "file").write_text("")
    assert cache.private_folder(tmp_path / "file") is None
    assert cache.private_folder(tmp_path / "file" / "below") is None
    monkeypatch.setattr(os, "geteuid", lambda: made.stat().st_uid + 1)
    assert cache.private_folder(made) is None


def test_the_folder_is_named_after_what_is_compiled(tmp_path: Path) -> None:
    sources = tmp_path / "kernels"
    shutil.copytree(KERNELS, sources, ignore=shutil.ignore_patterns("__pycache__"))
    names = {cache.digest((sources,))}
    assert cache.digest((sources,)) in names
    shutil.copytree(sources, tmp_path / "elsewhere")
    assert cache.digest((tmp_path / "elsewhere",)) not in names
    for change in sorted(sources.rglob("*.py")):
        change.write_text(change.read_text() + "\n")
        names.add(cache.digest((sources,)))
    assert len(names) == 1 + len(list(sources.rglob("*.py")))
    old = tmp_path / "huref-kernels-old"
    old.mkdir()
    current = tmp_path / "huref-kernels-new"
    current.mkdir()
    (tmp_path / "module.pyc").write_text("")
    cache._drop_others(current)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "elsewhere",
        "huref-kernels-new",
        "kernels",
        "module.pyc",
    ]


HELPERS = {"helper", "bare_helper"}


def test_bare_helpers_hand_no_array_on() -> None:
    """They count no references: an array that they made or returned would be freed while it is read."""
    found = 0
    for path in KERNELS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef) or not any(
                isinstance(mark, ast.Name) and mark.id == "bare_helper" for mark in node.decorator_list
            ):
                continue
            found += 1
            given = {arg.arg for arg in node.args.args}
            for part in ast.walk(node):
                if isinstance(part, ast.Return) and part.value is not None:
                    values = part.value.elts if isinstance(part.value, ast.Tuple) else [part.value]
                    names = {value.id for value in values if isinstance(value, ast.Name)}
                    assert not names & given, f"{path}: {node.name} returns what it was given"
                if isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute):
                    assert part.func.attr not in MAKING, f"{path}: {node.name} makes an array"
    assert found > 30


MAKING = {"empty", "zeros", "ones", "full", "array", "empty_like", "zeros_like", "copy", "astype", "reshape"}


def test_only_kernels_are_called_from_python() -> None:
    """A helper has no wrapper for Python's objects: calling it would crash the interpreter."""
    helpers, kernels = set(), set()
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in KERNELS.rglob("*.py")}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                marks = {mark.id for mark in node.decorator_list if isinstance(mark, ast.Name)}
                helpers |= {(id(tree), node.name)} if marks & HELPERS else set()
                kernels |= {node.name} if "kernel" in marks else set()
    names = {name for _, name in helpers}
    assert len(names) > 40 and len(kernels) > 40
    for path, tree in trees.items():
        own = {name for where, name in helpers if where == id(tree)}
        brought = {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
        } & names
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef):
                continue
            if {mark.id for mark in node.decorator_list if isinstance(mark, ast.Name)} & {*HELPERS, "kernel"}:
                continue
            called = {
                call.func.id for call in ast.walk(node)
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
            }  # fmt: skip
            assert not called & (own | brought), f"{path}: {node.name} calls {called & (own | brought)}"
    for path in (file for top in ("prover", "benchmarks") for file in (ROOT / top).rglob("*.py")):
        if KERNELS in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("huref.prover.kernels"):
                found = {alias.name for alias in node.names} & (names - kernels)
                assert not found, f"{path} imports {found}"


_PARENT = """
import sys, time
from huref.prover.kernels import first_use
worker = first_use.Worker(("load",) * 400)
print(worker._process.pid, flush=True)
time.sleep(600)
"""


def test_the_worker_ends_with_its_parent(tmp_path: Path) -> None:
    """Killed without a chance to say so."""
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "HUREF_THREADS": "2"},
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 60
    while _runs(pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


_WARM = """
import sys
from pathlib import Path
from huref.prover.kernels.first_use import counted
from huref.prover.audit import audit
from huref.prover.inference.prove import Question, prove_inference
from huref.prover.owner import Options, prove
checkpoint, out = sys.argv[1], Path(sys.argv[2])
with counted() as compiled:
    done = prove(checkpoint, out, Options(inference=True), device="cpu")
    questions = [Question([1, 2, 3], 3, 2), Question([5, 4], 1)]
    answered = prove_inference(done.commitment, out.with_name("b.huref"), questions, fingerprint=out, device="cpu")
    audit(answered.path, checkpoint, done.commitment)
print(compiled())
"""


@pytest.mark.slow
def test_after_a_warm_up_nothing_is_left_to_compile(tmp_path: Path) -> None:
    """Of proofs of answers and audits neither; outliers of the inference program are in the tiny model's too."""
    kept = tmp_path / "cache"
    shutil.copytree(warmed(), kept)
    first, again = (kept / SAID).read_text(), warm_up(kept)
    assert validate(json.loads(first), "warmup")["compiled"] > 0
    assert validate(json.loads(again), "warmup")["compiled"] == 0 and str(kept) in again
    checkpoint = tiny_models.build("llama", tmp_path / "model", 0)
    assert run(_WARM, checkpoint, tmp_path / "a.huref", NUMBA_CACHE_DIR=str(kept)).stdout == "0\n"
