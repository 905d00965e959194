"""Who may import whom: common ← circuits ← {prover, verifier}, and the light half never needs torch or numba."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Made

ROOT = Path(__file__).parents[1]
PACKAGES = ("common", "circuits", "verifier", "prover")
ALLOWED = {
    "common": {"common"},
    "circuits": {"common", "circuits"},
    "verifier": {"common", "circuits", "verifier"},
    "prover": {"common", "circuits", "prover"},
}
EXCEPTIONS = {
    ("prover/core.py", "verifier.channel"): "the prover replays the reduction on its own messages",
    ("prover/core.py", "verifier.reduce"): "the same",
    ("prover/owner.py", "verifier.verdict"): "the prover verifies its own bundle",
    ("prover/owner.py", "verifier.verification"): "the same",
    ("prover/bundle.py", "verifier.verification"): "the summary that the verifier will compare",
    ("prover/audit.py", "verifier.verdict"): "an audit starts with a verification",
    ("prover/audit.py", "verifier.verification"): "the same",
    ("prover/demo.py", "verifier.verification"): "the demo shows a verification",
}
HEAVY = (
    "torch",
    "numba",
    "transformers",
    "safetensors",
    "gguf",
    "tokenizers",
    "wordfreq",
    "onnx",
    "distributed",
)


def imports(path: Path) -> set[str]:
    """Modules that a file imports anywhere, by full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_they_may(package: str) -> None:
    wrong = []
    for path in (file for file in FILES if file.relative_to(ROOT).parts[0] == package):
        name = str(path.relative_to(ROOT))
        for module in imports(path):
            top = module.split(".")[0]
            if top in PACKAGES and top not in ALLOWED[package] and (name, module) not in EXCEPTIONS:
                wrong.append(f"{name} imports {module}")
            if top in HEAVY and package != "prover":
                wrong.append(f"{name} imports {module}")
    assert not wrong, wrong


def test_every_exception_is_needed() -> None:
    stale = [place for place in EXCEPTIONS if place[1] not in imports(ROOT / place[0])]
    assert not stale, stale


_BLOCKED = """
import importlib, pkgutil, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
count = 0
for package in {packages!r}:
    for module in pkgutil.walk_packages([package], package + "."):
        importlib.import_module(module.name)
        count += 1
print(count)
"""


def test_the_light_half_imports_without_the_heavy_one() -> None:
    code = _BLOCKED.format(blocked=(*HEAVY, "prover"), packages=("common", "circuits", "verifier"))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == sum(
        path.name != "__init__.py" for path in FILES if "prover" not in path.parts
    ) + sum(
        path.name == "__init__.py" and path.parent.parent != ROOT
        for path in FILES
        if "prover" not in path.parts
    )


_OWNER = """
import sys
from pathlib import Path
from prover.owner import Options, commit, prove
checkpoint, folder, options = sys.argv[1], Path(sys.argv[2]), Options(k=64)
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
        "from common.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numpy', 'rich', 'torch', 'numba', 'py_ecc'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr.strip().splitlines()[-1] == "[]", done.stderr
    assert "--min-security" in done.stdout
