"""Threads of matrix products are set before numpy comes, and where the user has not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from huref.common.blas import THREADS, one_blas_thread

SCRIPT = f"""
import os
from huref.common.blas import one_blas_thread
one_blas_thread()
print(os.environ[{THREADS!r}])
"""


@pytest.mark.parametrize("given,found", [(None, "1"), ("3", "3")])
def test_one_thread_unless_told_otherwise(given: str | None, found: str) -> None:
    env = {name: value for name, value in os.environ.items() if name != THREADS}
    if given:
        env[THREADS] = given
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == found


def test_nothing_changes_once_numpy_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(THREADS, raising=False)
    assert "numpy" in sys.modules
    one_blas_thread()
    assert THREADS not in os.environ


def test_verifying_commands_ask_for_it_before_numpy() -> None:
    """Neither the command line nor the modules of these commands import numpy themselves."""
    for name in ("verify", "inspect"):
        script = (
            f"import sys, huref.common.cli, huref.verifier.commands.{name}; print('numpy' in sys.modules)"
        )
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert run.stdout.strip() == "False", name
