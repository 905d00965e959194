"""One sink for what people and programs read: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from huref.common.errors import ExitCode, HurefError, InputOutputError
from huref.common.installation import missing_package


def result(text: str) -> None:
    """Print a result line on stdout. InputOutputError if it cannot be written: a result is never lost in silence."""
    _print_result(text + "\n")


def result_json(value: Any) -> None:
    """Print exactly one JSON object on stdout. Raises as `result`."""
    _print_result(json.dumps(value, sort_keys=True) + "\n")


def note(text: str) -> None:
    """Print progress, warnings and hints on stderr; where nobody can read them they are dropped."""
    with suppress(OSError, ValueError):
        _print(sys.stderr, text + "\n")


def _print_result(text: str) -> None:
    try:
        if sys.stdout is None:  # the descriptor was closed before we started
            raise ValueError("it is closed")
        _print(sys.stdout, text)
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputOutputError(f"the result cannot be written to standard output: {reason}") from None


def _print(stream: TextIO | None, text: str) -> None:
    """Characters that the stream's encoding lacks are escaped."""
    if stream is not None:
        encoding = getattr(stream, "encoding", None) or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


@contextmanager
def exit_on_error(*, as_json: bool = False, torch_extra: str = "gpu") -> Iterator[None]:
    """Turn a `HurefError` (or an OS error) into one clear line, a hint and the right exit code.

    A package that is missing is such an error too; `torch_extra` names the extra that brings torch for this command.
    """
    try:
        yield
    except ImportError as error:
        missing = missing_package(error, torch_extra)
        if missing is None:
            raise  # a module of huref's itself is missing: a bug, not an installation
        _report("UsageError", missing.message, missing.hint, as_json)
        raise SystemExit(ExitCode.USAGE) from None
    except HurefError as error:
        _report(type(error).__name__, error.message, error.hint, as_json)
        raise SystemExit(error.exit_code) from None
    except OSError as error:
        _report("InputOutputError", f"{error.filename or 'file'}: {error.strerror or error}", None, as_json)
        raise SystemExit(ExitCode.IO) from None


def _report(kind: str, message: str, hint: str | None, as_json: bool) -> None:
    if as_json:
        result_json({"error": kind, "message": message, "hint": hint})
    note(f"error: {message}")
    if hint:
        note(f"hint: {hint}")
