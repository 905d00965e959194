"""One sink for what people and programs read: results on stdout, everything else on stderr.

Lines are escaped here (`huref.common.text`), whatever they hold: a caller cannot forget it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from huref.common.errors import ExitCode, HurefError, InputOutputError, Rejected
from huref.common.installation import missing_package
from huref.common.rejection import meaning, rejection_lines
from huref.common.text import MAX_LINE, escape, shorten

_WHOLE_OR_NOTHING = "files appear under their names only when whole, so none was left half-written"
ERROR_SCHEMA = "huref-error/1"


def result(*lines: str) -> None:
    """Print result lines on stdout; a newline inside a line is shown escaped.

    InputOutputError if they cannot be written: a result is never lost in silence.
    """
    _print_result("".join(escape(line) + "\n" for line in lines))


def drawing(text: str) -> None:
    """Print a picture of our own making (colours and all) on stdout, as it is. Raises as `result`."""
    _print_result(text + "\n")


def result_json(value: Any) -> None:
    """Print exactly one JSON object on stdout; everything but printable ASCII is escaped. Raises as `result`."""
    _print_result(json.dumps(value, sort_keys=True).replace("\x7f", "\\u007f") + "\n")


def note(*lines: str) -> None:
    """Print progress, warnings and hints on stderr, escaped like results; where nobody reads they are dropped.

    `--quiet` leaves warnings and errors, which begin with these words.
    """
    shown = [line for line in lines if not _LEVEL.quiet or line.lower().startswith(_ALWAYS)]
    try:
        _print(sys.stderr, "".join(escape(line) + "\n" for line in shown))
        if sys.stderr is not None:
            sys.stderr.flush()
    except (OSError, ValueError):
        _discard(sys.stderr)


def shows_pictures() -> bool:
    """Whether stdout is a terminal that is to have pictures."""
    return sys.stdout is not None and sys.stdout.isatty() and not os.environ.get("NO_COLOR")


class _Level:
    """How much is said on stderr; the root command sets it."""

    quiet = False
    verbose = False


_LEVEL = _Level()
_ALWAYS = ("warning:", "error:", "internal error:", "interrupted")


def set_level(*, quiet: bool = False, verbose: bool = False) -> None:
    """Say less on stderr, or more."""
    _LEVEL.quiet, _LEVEL.verbose = quiet, verbose


def is_quiet() -> bool:
    """Whether only warnings and errors are wanted on stderr."""
    return _LEVEL.quiet


def is_verbose() -> bool:
    """Whether somebody looks for what went wrong, or where time goes."""
    return _LEVEL.verbose


def _print_result(text: str) -> None:
    try:
        if sys.stdout is None:  # the descriptor was closed before we started
            raise ValueError("it is closed")
        _print(sys.stdout, text)
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        _discard(sys.stdout)
        reason = getattr(error, "strerror", None) or error
        raise InputOutputError(f"the result cannot be written to standard output: {reason}") from None


def finish() -> bool:
    """Write what is still buffered, at the end of a command; False if standard output does not take it."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        _discard(sys.stdout)
        return False
    return True


def _discard(stream: TextIO | None) -> None:
    """Let a stream that cannot be written lead nowhere: the interpreter tries again when it ends, with an exit code
    of its own.
    """
    with suppress(OSError, ValueError, AttributeError):
        number = stream.fileno()  # type: ignore[union-attr]
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), number)


def _print(stream: TextIO | None, text: str) -> None:
    """Characters that the stream's encoding lacks are escaped too."""
    if stream is not None:
        encoding = getattr(stream, "encoding", None) or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


@contextmanager
def exit_on_error(
    *,
    as_json: bool = False,
    torch_extra: str = "gpu",
    interrupted: str | Callable[[], str] = _WHOLE_OR_NOTHING,
) -> Iterator[None]:
    """Turn a `HurefError` (or an OS error) into one clear line, a hint and the right exit code.

    A package that is missing is such an error too; `torch_extra` names the extra that brings torch for this command.
    `interrupted` says what Ctrl-C leaves behind; a function where that depends on how far the command came.
    """
    try:
        yield
    except ImportError as error:
        missing = missing_package(error, torch_extra)
        if missing is None:
            raise  # a module of huref's itself is missing: a bug, not an installation
        _report(missing, as_json)
        raise SystemExit(ExitCode.USAGE) from None
    except HurefError as error:
        _report(error, as_json)
        raise SystemExit(error.exit_code) from None
    except OSError as error:
        lost = error.filename or ("file" if finish() else "standard output")
        _report(InputOutputError(f"{lost}: {error.strerror or error}"), as_json)
        raise SystemExit(ExitCode.IO) from None
    except MemoryError:
        _report(
            InputOutputError("memory ran out", hint="docs/memory.md says what a model of some size takes"),
            as_json,
        )
        raise SystemExit(ExitCode.IO) from None
    except KeyboardInterrupt:
        note(f"interrupted: {interrupted if isinstance(interrupted, str) else interrupted()}")
        raise SystemExit(ExitCode.INTERRUPTED) from None


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
