"""The high-water mark of a commitment, kept outside its folder (docs/private-state.md).

It says how far the private state has come: its step, the step's random id, and the positions spent by then. It lies
in $XDG_STATE_HOME (default ~/.local/state) under huref/commitments/IDENTITY, sealed like the private state itself, so
that a mark which was put back with the rest of HOME is told from one that was not. Its lock is held as long as the
state's: two copies of one commitment cannot be in use at once.
"""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from huref.common.errors import InputOutputError, Malformed
from huref.prover.commitment.seal import MAX_STEP, SealedFile

_IDENTITY = re.compile(r"[0-9a-f]{1,128}")


@dataclass(frozen=True)
class Mark:
    """The private state's latest known step, the step's id, and how many positions were spent or reserved in it."""

    step: int
    id: str
    spent: int


class HighWater:
    """The mark of one commitment, locked until `close`.

    `mark` is None where there is none; `intact` if it was neither put back nor moved. `damage` says that there is one
    that is not well-formed, `missing` that none can be kept here; both in words.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.mark: Mark | None = None
        self.intact = False
        self.damage: str | None = None
        self.missing: str | None = None
        self._file: SealedFile | None = None

    @classmethod
    def open(cls, identity: str) -> HighWater:
        """The mark of the commitment `identity` (hex digits).

        Raises:
            ProverError: another process holds it. InputOutputError: there is one that cannot be read or written.
        """
        if not _IDENTITY.fullmatch(identity):
            raise ValueError(f"a commitment's identity is hexadecimal, not {identity!r}")
        home = state_home()
        opened = cls((home or Path()) / "huref" / "commitments" / identity)
        if home is None:
            opened.missing = "there is no home folder"
            return opened
        try:
            opened._file = SealedFile.open(opened.directory, create=True)
            opened._read(opened._file)
        except OSError as error:
            opened.close()
            reason = f"{error.filename or opened.directory}: {error.strerror or error}"
            if os.path.lexists(opened.directory / "state"):
                raise InputOutputError(
                    reason, hint="the high-water mark that is there must be writable"
                ) from None
            opened._file, opened.missing = None, reason
        except BaseException:
            opened.close()
            raise
        return opened

    def write(self, mark: Mark) -> None:
        """Replace the mark, durably. If it cannot be kept, `missing` says why and the old one stays."""
        if self._file is None:
            return
        step = self._file.seal.step + 1 if self._file.seal else 0
        try:
            self._file.advance(asdict(mark), step)
        except OSError as error:
            self.missing = f"{error.filename or self.directory}: {error.strerror or error}"
            return
        self.mark, self.intact, self.damage, self.missing = mark, True, None, None

    def close(self) -> None:
        """Release the lock."""
        if self._file is not None:
            self._file.close()

    def _read(self, file: SealedFile) -> None:
        if file.damage is not None:
            self.damage = file.damage.message
        elif file.content is not None:
            try:
                self.mark = _decode(file.content)
            except Malformed as error:
                self.damage = f"{self.directory}: {error.message}"
            self.intact = file.fault is None and self.mark is not None


def state_home() -> Path | None:
    """$XDG_STATE_HOME, or ~/.local/state where that is unset or relative; None without a home folder."""
    named = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(named):
        return Path(named)
    home = os.path.expanduser("~")
    return Path(home) / ".local" / "state" if os.path.isabs(home) else None


def _decode(content: dict[str, object]) -> Mark:
    if set(content) != {"step", "id", "spent"}:
        raise Malformed("the mark has other fields")
    step, id, spent = content["step"], content["id"], content["spent"]
    if type(step) is not int or type(spent) is not int or not isinstance(id, str) or step < 0 or spent < 0:
        raise Malformed("the mark's fields have other types")
    if step >= MAX_STEP:
        raise Malformed("the mark's step is out of range")
    return Mark(step, id, spent)
