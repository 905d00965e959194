"""The error family. Everything huref raises on purpose is a `HurefError`; each kind has one exit code.

`Malformed` and `Unsupported` speak about the form of an input, `Rejected` about a well-formed proof
that does not hold, `ProverError` about a prover that cannot go on (layout habit 6).
"""

from __future__ import annotations


class ExitCode:
    """Process exit codes of every `huref` command (layout habit 15)."""

    VERIFIED = 0
    REJECTED = 1
    USAGE = 2
    MALFORMED = 3
    IO = 4
    INTERNAL = 70
    INTERRUPTED = 130


class HurefError(Exception):
    """Base of all deliberate errors: one line `message`, and an optional `hint` for people."""

    exit_code = ExitCode.INTERNAL

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(HurefError):
    """The command or call was wrong: bad option, K larger than the vocabulary, and the like."""

    exit_code = ExitCode.USAGE


class Malformed(HurefError):
    """Bytes that are not a well-formed file of their kind."""

    exit_code = ExitCode.MALFORMED


class Damaged(Malformed):
    """A file that is not all there: cut off, missing beside the others, a placeholder for the real one."""


class Unsupported(HurefError):
    """Well-formed, but of a kind or version this build does not handle."""

    exit_code = ExitCode.MALFORMED


class InputOutputError(HurefError):
    """A file that cannot be read or written."""

    exit_code = ExitCode.IO


class ProverError(HurefError):
    """The prover cannot make an honest proof of this input (overflow, exhausted opening budget, ...)."""

    exit_code = ExitCode.USAGE


class Rejected(HurefError):
    """A check of the verifier failed at `path` (dotted), for `reason`, with what was expected and what was got."""

    exit_code = ExitCode.REJECTED

    def __init__(self, path: str, message: str, *, expected: object = None, got: object = None) -> None:
        detail = "" if expected is None and got is None else f" (expected {expected}, got {got})"
        super().__init__(f"{path}: {message}{detail}")
        self.path = path
        self.reason = message
        self.expected = expected
        self.got = got
