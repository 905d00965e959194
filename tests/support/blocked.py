"""Runs `huref` commands in a process where some packages are not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import ROOT

_RUN = """
import contextlib, io, json, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

BLOCKED, commands = map(json.loads, sys.argv[1:])
sys.meta_path.insert(0, Block())
import typer
from huref.common import cli

done = []
for arguments in commands:
    cli.app = typer.Typer(name="huref", no_args_is_help=True, rich_markup_mode=None)
    cli.app.callback()(cli.root)
    sys.argv = ["huref", *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
            code = 0
        except SystemExit as exit_:
            code = exit_.code or 0
    done.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(done))
"""


@dataclass(frozen=True)
class Done:
    """Exit code and output of one command."""

    code: int
    out: str
    err: str


def run_without(packages: Iterable[str], commands: Sequence[Sequence[object]], folder: Path) -> list[Done]:
    """Run each command line (without `huref`) in `folder`, where importing `packages` fails as if not installed."""
    arguments = [json.dumps(sorted(packages)), json.dumps([list(map(str, command)) for command in commands])]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + _RUN, *arguments],
        cwd=folder, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [Done(*found) for found in json.loads(done.stdout)]
