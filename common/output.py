"""One sink for what people and programs read: results on stdout, everything else on stderr.

Lines are escaped here (`huref.common.text`), whatever they hold: a caller cannot forget it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from huref.common.errors import ExitCode, HurefError, InputOutputError, Rejected, UsageError
from huref.common.rejection import meaning, rejection_lines
from huref.common.text import MAX_LINE, escape, shorten

ERROR_SCHEMA = "huref-error/1"
_OWN = ("common", "circuits", "prover", "verifier")


def result(*lines: str) -> None:
    """Print result lines on stdout; a newline inside a line is shown escaped."""
    _print(sys.stdout, "".join(escape(line) + "\n" for line in lines))


def drawing(text: str) -> None:
    """Print a picture of our own making (colours and all) on stdout, as it is."""
    _print(sys.stdout, text + "\n")


def result_json(value: Any) -> None:
    """Print exactly one JSON object on stdout; everything but printable ASCII is escaped."""
    _print(sys.stdout, json.dumps(value, sort_keys=True).replace("\x7f", "\\u007f") + "\n")


def note(*lines: str) -> None:
    """Print progress, warnings and hints on stderr, escaped like results."""
    _print(sys.stderr, "".join(escape(line) + "\n" for line in lines))


def _print(stream: TextIO, text: str) -> None:
    """Characters that the stream's encoding lacks are escaped too."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


@contextmanager
def exit_on_error(*, as_json: bool = False) -> Iterator[None]:
    """Turn a `HurefError` (or an OS error) into one clear line, a hint and the right exit code."""
    try:
        yield
    except HurefError as error:
        _report(error, as_json)
        raise SystemExit(error.exit_code) from None
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in _OWN:
            raise  # a module of huref's itself is missing: a bug, not an installation
        hint = "install everything a model's owner needs: pip install 'huref[prover]'"
        _report(UsageError(f"this command needs the package {error.name}", hint=hint), as_json)
        raise SystemExit(ExitCode.USAGE) from None
    except OSError as error:
        _report(InputOutputError(f"{error.filename or 'file'}: {error.strerror or error}"), as_json)
        raise SystemExit(ExitCode.IO) from None


def error_json(error: HurefError) -> dict[str, Any]:
    """What a program reads when a command fails (docs/schemas/error.json); `verified` is always false."""
    found: dict[str, Any] = {
        "schema": ERROR_SCHEMA,
        "verified": False,
        "error": type(error).__name__,
        "message": shorten(error.message, MAX_LINE),
        "hint": error.hint,
    }
    return {**found, **_check_json(error)}


def _check_json(error: HurefError) -> dict[str, str | None]:
    """The failed check, where it was one: what that means, its path, what it expected and what it got."""
    if not isinstance(error, Rejected):
        return dict.fromkeys(("meaning", "path", "expected", "got"))
    values = (None if x is None else shorten(x) for x in (error.expected, error.got))
    return {
        "meaning": meaning(error.path),
        "path": error.path,
        **dict(zip(("expected", "got"), values, strict=True)),
    }


def _report(error: HurefError, as_json: bool) -> None:
    if as_json:
        result_json(error_json(error))
    elif isinstance(error, Rejected):
        result(*rejection_lines(error.path, error.reason, error.expected, error.got))
    note(f"error: {error.message}")
    if error.hint:
        note(f"hint: {error.hint}")
