"""`huref keygen` and `huref pubkey`, in an installation without the owner's libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from huref.common.errors import ExitCode
from tests import ROOT
from tests.verifier.test_schemas import validate

_BASE = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "numba", "safetensors", "gguf", "tokenizers", "py_arkworks_bls12381"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
sys.argv = ["huref", *sys.argv[1:]]
from huref.common.cli import main
main()
"""


def _huref(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _BASE, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_keys_in_the_base_install(tmp_path: Path) -> None:
    key = tmp_path / "auditor.key"
    made = _huref("keygen", "--out", key)
    assert made.returncode == ExitCode.VERIFIED, made.stderr
    public = made.stdout.strip()
    assert len(bytes.fromhex(public)) == 48
    assert (tmp_path / "auditor.key.pub").read_text().strip() == public
    for form in (key, f"{key}.pub", "0x" + public.upper()):
        assert _huref("pubkey", form).stdout == public + "\n"
    done = _huref("pubkey", key, "--json")
    assert validate(json.loads(done.stdout), "pubkey")["public_key"] == public
    done = _huref("keygen", "--out", tmp_path / "b.key", "--json")
    assert validate(json.loads(done.stdout), "pubkey")["public_file"] == str(tmp_path / "b.key.pub")
    done = _huref("keygen", "--out", key, "--json")
    assert done.returncode == ExitCode.USAGE and json.loads(done.stdout)["error"] == "UsageError"
    done = _huref("pubkey", "nobody")
    assert done.returncode == ExitCode.USAGE and "96 hex digits" in done.stderr
