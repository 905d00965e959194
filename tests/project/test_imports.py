"""Who may import whom: between the four packages, between their rooms, and nobody in a circle.

The light half (common, circuits, verifier) never needs torch, numba or another of the prover's libraries.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests import ROOT
from tests.conftest import Made

PACKAGES = ("common", "circuits", "verifier", "prover")
COMMON = {"common", "common/algebra", "common/argument", "common/files", "common/image"}
CIRCUITS = {
    "circuits",
    "circuits/argument",
    "circuits/fingerprint",
    "circuits/inference",
    "circuits/model",
    "circuits/program",
    "circuits/relations",
}
READING = {"prover/checkpoint", "prover/vocabulary"}
COMMITTING = {"prover/kernels", "prover/devices", "prover/commitment"}
LIBRARY = {"prover"} | READING | COMMITTING | {"prover/canonical", "prover/run", "prover/argument"}

ROOMS: dict[str, set[str]] = {
    "common": {"common/algebra", "common/argument"},  # the geometry of an opening (params): domains and trees
    "common/algebra": {"common"},
    "common/argument": {"common", "common/algebra"},
    "common/files": {"common"},
    "common/image": {"common"},
    "circuits/program": COMMON,
    "circuits/fingerprint": COMMON | {"circuits/program"},
    "circuits/model": COMMON | {"circuits/fingerprint"},
    "circuits/argument": COMMON | {"circuits/program"},
    "circuits/relations": COMMON | {"circuits/argument", "circuits/program"},
    "circuits/inference": COMMON
    | {"circuits/fingerprint", "circuits/model", "circuits/program", "circuits/relations"},
    "circuits": COMMON | CIRCUITS,
    "verifier/argument": COMMON | {"circuits/argument"},
    "verifier/relations": COMMON | {"circuits/argument", "circuits/relations", "verifier/argument"},
    "verifier": COMMON | CIRCUITS | {"verifier/argument", "verifier/relations"},
    "verifier/report": COMMON | CIRCUITS | {"verifier"},
    "verifier/publish": COMMON | CIRCUITS | {"verifier"},
    "verifier/registry": COMMON | CIRCUITS | {"verifier"},
    "verifier/commands": COMMON
    | {"circuits", "verifier", "verifier/report", "verifier/publish", "verifier/registry"},
    "prover/kernels": COMMON | {"circuits/argument", "circuits/fingerprint", "circuits/program"},
    "prover/devices": COMMON | {"prover/kernels"},
    "prover/checkpoint": COMMON | {"circuits/fingerprint", "prover/kernels"},
    "prover/vocabulary": COMMON | {"prover/checkpoint"},
    "prover/canonical": COMMON
    | {"circuits/fingerprint", "circuits/model", "prover/kernels", "prover/checkpoint"},
    "prover/commitment": COMMON | CIRCUITS | {"prover/kernels", "prover/devices", "prover/checkpoint"},
    "prover/run": COMMON | CIRCUITS | READING | COMMITTING | {"prover/canonical"},
    "prover/argument": COMMON | CIRCUITS | COMMITTING | {"verifier/argument"},
    "prover/relations": COMMON
    | {"circuits/argument", "circuits/program", "circuits/relations", "prover/argument"}
    | COMMITTING,
    "prover": COMMON | CIRCUITS | LIBRARY | {"prover/relations", "verifier"},
    "prover/inference": COMMON | CIRCUITS | LIBRARY | {"prover/relations", "verifier"},
    "prover/compare": COMMON | CIRCUITS | READING | {"prover/canonical", "prover/kernels"},
    "prover/demo": COMMON | CIRCUITS | LIBRARY | {"prover/inference", "verifier"},
    "prover/derivatives": COMMON | READING | {"prover/demo"},
    "prover/generator": COMMON,
    "prover/commands": COMMON
    | CIRCUITS
    | LIBRARY
    | {"prover/compare", "prover/demo", "prover/generator", "prover/inference"},
}
"""What each room may import besides itself."""

BACK: dict[tuple[str, str], str] = {
    ("verifier/__init__.py", "huref.verifier.report.inspection"): "the library's front door",
    ("prover/argument/prove.py", "huref.verifier.argument.channel"): "the prover replays its own messages",
    ("prover/argument/prove.py", "huref.verifier.argument.reduce"): "the same",
    ("prover/relations/prove.py", "huref.verifier.argument.channel"): "the same",
    ("prover/relations/prove.py", "huref.verifier.argument.reduce"): "the same",
    ("prover/relations/prove.py", "huref.verifier.relations.reduce"): "the same",
    ("prover/audit.py", "huref.verifier.verdict"): "an audit starts with a verification",
    ("prover/audit.py", "huref.verifier.verification"): "the same",
    ("prover/bundle.py", "huref.verifier.verification"): "the summary that the verifier will compare",
    ("prover/demo/forge.py", "huref.verifier.verification"): "the demo shows a verification",
    ("prover/demo/imitation.py", "huref.verifier.verdict"): "and what it says",
    ("prover/owner.py", "huref.verifier.verdict"): "the prover verifies its own bundle",
    ("prover/owner.py", "huref.verifier.verification"): "the same",
    ("prover/inference/prove.py", "huref.verifier.relations.verify"): "the prover verifies its own answer",
    ("prover/inference/prove.py", "huref.verifier.hidden_prompts"): "and opens its own prompts",
    ("prover/inference/prove.py", "huref.verifier.verdict"): "the same, in a bundle",
    ("prover/inference/prove.py", "huref.verifier.verification"): "the same",
    ("prover/ranges.py", "huref.verifier.argument.verify"): "the prover verifies its own range proof",
    (
        "prover/ranges.py",
        "huref.verifier.ranges",
    ): "one that it finds is verified before a bundle rests on it",
}
"""Imports that the rules do not give, and every import by which the prover reaches the verifier."""

TORCH = {"devices", "run", "derivatives", "generator", "commands"}
HEAVY = {
    "torch": {f"prover/{name}" for name in TORCH},
    "numba": {"prover/kernels"},
    "transformers": {"prover/derivatives"},
    "safetensors": {"prover/generator"},
    "gguf": {"prover/checkpoint"},
    "tokenizers": {"prover/vocabulary"},
    "wordfreq": {"prover/vocabulary"},
    "sentencepiece": {"prover/vocabulary"},
    "onnx": {"prover/checkpoint"},
    "distributed": {"prover/devices"},
    "huggingface_hub": {"prover/checkpoint"},
    "httpx2": {"prover/checkpoint"},
    "cryptography": {"verifier/publish"},
    "starlette": {"verifier/registry"},
    "uvicorn": {"verifier/commands"},
}
"""The rooms that know a heavy library."""

FILES = {str(path.relative_to(ROOT)): path for top in PACKAGES for path in sorted((ROOT / top).rglob("*.py"))}


def _file(module: str) -> str | None:
    """The file of a module of ours, None if there is none of this name."""
    place = module.removeprefix("huref.").replace(".", "/")
    for name in (f"{place}.py", f"{place}/__init__.py"):
        if name in FILES:
            return name
    return None


@cache
def imports(name: str, *, at_load: bool = False) -> frozenset[str]:
    """Modules that a file imports, by full name: anywhere, or only those it needs to be loaded."""
    found: set[str] = set()
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    for node in tree.body if at_load else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{name}: relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {module for module in inner if _file(module)}
            found |= modules if len(modules) == len(inner) else modules | {node.module}
    return frozenset(found)


def room(name: str) -> str:
    """The room of a file: its top folder, and the folder in it if there is one."""
    return "/".join(name.split("/")[:-1][:2])


def test_every_room_is_in_the_rules() -> None:
    assert {room(name) for name in FILES} == set(ROOMS)


@pytest.mark.parametrize("name", ROOMS)
def test_rooms_import_only_what_they_may(name: str) -> None:
    wrong = []
    for file in (file for file in FILES if room(file) == name):
        for module in imports(file):
            top = module.split(".")[0]
            assert top not in PACKAGES, f"{file} imports {module}: write huref.{module}"
            if top == "huref":
                target = _file(module)
                assert target, f"{file} imports {module}, which does not exist"
                crossing = (file.split("/")[0], target.split("/")[0]) == ("prover", "verifier")
                if (crossing or room(target) not in ROOMS[name] | {name}) and (file, module) not in BACK:
                    wrong.append(f"{file} imports {module}")
            if top in HEAVY and name not in HEAVY[top]:
                wrong.append(f"{file} imports {module}")
    assert not wrong, wrong


def test_every_exception_is_needed() -> None:
    stale = [place for place in BACK if place[1] not in imports(place[0])]
    assert not stale, stale


def test_no_module_waits_for_itself() -> None:
    graph = {}
    for name in FILES:
        targets = {_file(module) for module in imports(name, at_load=True) if module.startswith("huref.")}
        graph[name] = {target for target in targets if target and target != name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {error.args[1]}")


def test_twins_by_name() -> None:
    """Each part of the argument has its prover and its verifier under one name."""
    prover, verifier = (
        {path.stem for path in (ROOT / side / "argument").glob("*.py")} for side in ("prover", "verifier")
    )
    assert prover - verifier == {"prove", "witness", "lookup_leaves", "lookup_tree", "heads", "merged"}
    assert (ROOT / "circuits" / "argument" / "heads.py").exists()  # all of what a verifier needs of them
    assert verifier - prover == {"verify", "reduce"}


def test_every_file_has_a_room() -> None:
    at_the_top = [path.name for path in (ROOT / "prover").glob("*.py")]
    assert len(at_the_top) <= 8, at_the_top


_BLOCKED = """
import importlib, pkgutil, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r} or name.startswith("huref.prover"):
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
count = 0
for name in {packages!r}:
    package = importlib.import_module("huref." + name)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
        count += 1
print(count)
"""


def test_the_light_half_imports_without_the_heavy_one() -> None:
    light = [name for name in FILES if not name.startswith("prover/")]
    code = _BLOCKED.format(blocked=tuple(HEAVY), packages=PACKAGES[:3])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(light) - 3  # the packages themselves are not walked


_OWNER = """
import sys
from pathlib import Path
from huref.prover.owner import Options, commit, prove
checkpoint, folder, options = sys.argv[1], Path(sys.argv[2]), Options()
commit(checkpoint, folder / "a.commitment", options, device="cpu")
prove(None, folder / "a.huref", device="cpu")
prove(checkpoint, folder / "b.huref", options, device="cpu")
print("torch" in sys.modules)
"""


def test_an_owner_needs_no_torch_on_the_cpu(tiny: Made, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _OWNER, tiny.checkpoint, tmp_path],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"


def test_verify_starts_without_numpy_rich_or_torch() -> None:
    code = (
        "import sys; sys.argv = ['huref', 'verify', '--help']\n"
        "from huref.common.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numpy', 'rich', 'torch', 'numba', 'py_ecc'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr.strip().splitlines()[-1] == "[]", done.stderr
    assert "--min-security" in done.stdout


def test_a_model_without_an_inference_program_is_verified_without_loading_them() -> None:
    """Nor what fetches from addresses: together they are a third of what is loaded."""
    bundle = ROOT / "tests" / "vectors" / "bundles" / "paper.huref"
    code = (
        "import sys\nfrom pathlib import Path\nfrom huref.verifier import verify\n"
        "assert verify(Path(sys.argv[1])).inference is None\nprint(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, bundle], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    unwanted = {
        "huref.circuits.inference.compile",
        "huref.circuits.relations.products",
        "urllib.request",
        "ssl",
    }
    assert "huref.circuits.inference_statement" in loaded and not loaded & unwanted
