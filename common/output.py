"""One sink for what people and programs read: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from huref.common.errors import ExitCode, HurefError

_OWN = ("common", "circuits", "prover", "verifier")


def result(text: str) -> None:
    """Print a result line on stdout."""
    sys.stdout.write(text + "\n")


def result_json(value: Any) -> None:
    """Print exactly one JSON object on stdout."""
    sys.stdout.write(json.dumps(value, sort_keys=True) + "\n")


def note(text: str) -> None:
    """Print progress, warnings and hints on stderr."""
    sys.stderr.write(text + "\n")


@contextmanager
def exit_on_error(*, as_json: bool = False) -> Iterator[None]:
    """Turn a `HurefError` (or an OS error) into one clear line, a hint and the right exit code."""
    try:
        yield
    except HurefError as error:
        _report(type(error).__name__, error.message, error.hint, as_json)
        raise SystemExit(error.exit_code) from None
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in _OWN:
            raise  # a module of huref's itself is missing: a bug, not an installation
        hint = "install everything a model's owner needs: pip install 'huref[prover]'"
        _report("UsageError", f"this command needs the package {error.name}", hint, as_json)
        raise SystemExit(ExitCode.USAGE) from None
    except OSError as error:
        _report("InputOutputError", f"{error.filename or 'file'}: {error.strerror or error}", None, as_json)
        raise SystemExit(ExitCode.IO) from None


def _report(kind: str, message: str, hint: str | None, as_json: bool) -> None:
    if as_json:
        result_json({"error": kind, "message": message, "hint": hint})
    note(f"error: {message}")
    if hint:
        note(f"hint: {hint}")
