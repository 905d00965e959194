"""The persistent private state of a commitment: its seed and its budget of opened positions (protocol §4).

Any z distinct opened positions of a code with z random rows are jointly uniform, and y' costs one more, so
over all proofs at most z - 1 distinct positions may be opened. The state is a directory (mode 0700):

    seed    32 secret bytes (0600): random rows and salts
    state   sealed (`huref.prover.commitment.seal`): the budget, the positions opened, and what is reserved

and a high-water mark outside it (`huref.prover.commitment.highwater`). A proof first reserves t positions durably,
which is a step of the seal and of the mark, then draws them, then settles: repeats are refunded. A crash or an abort
between the two forfeits the reservation, because the positions may have been shown to someone. Whatever is not the
state of the latest step, where it was written, is refused; `restore` adopts it and declares spent what may have been
spent. docs/private-state.md says what each measure is good for, and what none of them sees.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from huref.common.errors import Malformed, ProverError
from huref.prover.commitment.counts import Counts
from huref.prover.commitment.highwater import HighWater, Mark
from huref.prover.commitment.randomness import SEED_BYTES, SecretSeed
from huref.prover.commitment.seal import SealedFile, replace_file

Say = Callable[[str], object]
"""Takes one line for people: something was forfeited, or a safeguard is not in force."""


class OpeningBudget:
    """The private state of one commitment, locked while open. Use as a context manager or call `close`.

    `create` makes it, `load` opens it; both take the exclusive locks of the state and of the commitment's mark, and
    raise ProverError when another process (or another object of this one) holds one of them. `declared` counts the
    positions that `restore` has declared spent.
    """

    def __init__(self, file: SealedFile, counts: Counts, seed: SecretSeed, say: Say) -> None:
        self.seed = seed
        self.declared = 0
        self._file = file
        self._counts = counts
        self._say = say
        self._water: HighWater | None = None
        self._said_missing = False

    @classmethod
    def create(cls, directory: Path, random_rows: int, *, seed: SecretSeed | None = None) -> OpeningBudget:
        """A new state for a commitment with z = `random_rows` random rows: z - 1 positions may be opened.

        Nothing can be reserved before `bind` has said which commitment it is. ProverError if the directory already
        holds a state. `seed` is for tests and for re-creating a commitment; by default it is fresh.
        """
        if random_rows < 1:
            raise ValueError("a commitment needs at least one random row")
        file = SealedFile.open(directory, create=True)
        try:
            if file.content is not None or file.damage is not None or os.path.lexists(directory / "seed"):
                raise ProverError(f"{directory} already holds a private state")
            directory.chmod(0o700)
            secret, counts = seed or SecretSeed.fresh(), Counts(random_rows - 1)
            replace_file(directory / "seed", secret.value)
            file.advance(counts.to_dict(), 0)
        except BaseException:
            file.close()
            raise
        return cls(file, counts, secret, warnings.warn)

    @classmethod
    def load(cls, directory: Path, identity: str, say: Say = warnings.warn) -> OpeningBudget:
        """Open the state of the commitment `identity` (hex digits); a reservation left by a crash is forfeited first.

        Raises:
            ProverError: it is locked, or is not the latest state in its own place. Malformed: its files are damaged.
            OSError: they cannot be read.
        """
        budget = cls._open(directory, identity, say)
        try:
            if (reason := budget._doubt()) is not None:
                raise ProverError(
                    f"{directory} is a copy, or was put back: {reason}",
                    hint="declare what may have been opened elsewhere as spent: "
                    f"huref restore {directory.parent}, or use the original",
                )
            budget._say_about_mark()
            budget._mark()
            budget._say_cut_off(budget.abort())
        except BaseException:
            budget._release()
            raise
        return budget

    @classmethod
    def restore(
        cls, directory: Path, identity: str, *, everything: bool = False, say: Say = warnings.warn
    ) -> OpeningBudget:
        """Adopt a state that `load` refuses; what may have been opened elsewhere is declared spent.

        With an intact high-water mark that is at least as far as the state, that is what the mark says; otherwise, or
        with `everything`, all that remains. A state that `load` takes stays as it is, unless `everything` is said.
        """
        budget = cls._open(directory, identity, say)
        counts = budget._counts
        before = counts.remaining + counts.reserved
        try:
            if everything or budget._doubt() is not None:
                counts.forfeit_to(counts.capacity if everything else budget._most_spent())
                budget._adopt()
            else:
                budget._mark()
                budget._say_cut_off(budget.abort())
        except BaseException:
            budget._release()
            raise
        budget.declared = before - counts.remaining
        return budget

    @classmethod
    def _open(cls, directory: Path, identity: str, say: Say) -> OpeningBudget:
        file = SealedFile.open(directory)
        try:
            if file.damage is not None:
                raise file.damage
            for name in ("seed", "state"):
                found = (directory / name).lstat()
                if not stat.S_ISREG(found.st_mode):
                    raise ProverError(
                        f"{directory / name} is not a regular file", hint="put the file itself there"
                    )
                if found.st_mode & 0o077:
                    raise ProverError(
                        f"{directory / name} is readable by others",
                        hint="chmod 0600 the files, 0700 the directory",
                    )
            seed = (directory / "seed").read_bytes()
            if len(seed) != SEED_BYTES:
                raise Malformed(f"{directory / 'seed'} must have {SEED_BYTES} bytes")
            counts = Counts.from_dict(file.content or {})
            budget = cls(file, counts, SecretSeed(seed), say)
            budget._water = HighWater.open(identity)
        except BaseException:
            file.close()
            raise
        return budget

    def bind(self, identity: str, say: Say = warnings.warn) -> None:
        """Say which commitment a new state belongs to, and begin its mark.

        ProverError if the mark tells of proofs: the commitment was made again from an older seed.
        """
        self._water, self._say = HighWater.open(identity), say
        mark = self._water.mark
        if self._water.damage is not None or (mark is not None and mark.step > 0):
            raise ProverError(f"{self._water.directory} says that this commitment was already in use")
        self._mark()

    @property
    def remaining(self) -> int:
        """How many more distinct positions may be opened."""
        return self._counts.remaining

    @property
    def opened(self) -> frozenset[int]:
        """The positions opened so far."""
        return frozenset(self._counts.opened)

    @property
    def proofs(self) -> int:
        """The number of reservations ever made: the counter of the per-proof seed."""
        return self._counts.proofs

    def answers_left(self, most: int, queries: int) -> int:
        """How many new challenges may still be answered, of `most`, if a proof opens `queries` positions."""
        return max(0, most - self._counts.answers(queries))

    def reserve(self, count: int, challenge: str | None = None, most: int = 0) -> int:
        """Reserve `count` positions durably, before they are drawn. Returns the proof's counter.

        With a `challenge` (hex, or empty for none) it is remembered as answered; at most `most` different ones are.

        ProverError if fewer positions remain, or no further challenge may be answered (nothing is then changed), a
        reservation is already open, or the state was touched since it was loaded.
        """
        if count < 1:
            raise ValueError("reserve at least one position")
        if self._water is None:
            raise ProverError("the private state is closed, or belongs to no commitment yet")
        if self._counts.reserved:
            raise ProverError("a reservation is already open: settle or abort it first")
        if count > self.remaining:
            raise ProverError(
                f"the opening budget allows {self.remaining} more positions, this proof needs {count}",
                hint="commit again with more random rows: each proof spends its query count",
            )
        new = challenge is not None and challenge not in self._counts.answered
        if new and self.answers_left(most, count) == 0:
            raise ProverError(
                f"this commitment has answered as many challenges as it may, {most}: more would let their answers be "
                "foretold",
                hint="prove a challenge that was answered before, or commit again",
            )
        if (reason := self._file.examine()) is not None:
            raise ProverError(
                f"{self._file.directory} was changed while in use: {reason}",
                hint=f"see what touches it, then huref restore {self._file.directory.parent}",
            )
        self._counts.reserved = count
        self._counts.proofs += 1
        if challenge is not None:
            self._counts.answered.add(challenge)
        self._file.advance(self._counts.to_dict(), self._step + 1)
        self._mark()
        return self._counts.proofs

    def settle(self, positions: Sequence[int] | np.ndarray) -> None:
        """Record the positions that were opened under the reservation and refund repeats."""
        drawn = {int(position) for position in positions}
        if not self._counts.reserved or len(drawn) > self._counts.reserved or min(drawn, default=0) < 0:
            raise ProverError("the positions opened do not fit the reservation")
        self._counts.opened |= drawn
        self._counts.reserved = 0
        self._file.write(self._counts.to_dict())

    def abort(self) -> int:
        """Forfeit the open reservation, if any: its positions may have been seen. Returns how many those are."""
        lost = self._counts.reserved
        if lost:
            self._counts.forfeit_to(0)
            self._file.write(self._counts.to_dict())
        return lost

    def close(self) -> None:
        """Forfeit an unsettled reservation, say so, and release the locks."""
        if self._file.fault is not None:
            self._release()
            return
        try:
            lost = self.abort()
        finally:
            self._release()
        if lost:
            self._say(
                f"interrupted: {lost} positions are forfeited as if the proof had been shown; "
                f"{self.remaining // lost} proofs are left"
            )

    def __enter__(self) -> OpeningBudget:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _step(self) -> int:
        return self._file.seal.step if self._file.seal else 0

    def _release(self) -> None:
        if self._water is not None:
            self._water.close()
            self._water = None
        self._file.close()

    def _doubt(self) -> str | None:
        """Why this may not be the latest state, with what was found and expected; None if nothing speaks for it."""
        assert self._water is not None and self._file.seal is not None
        if self._file.fault is not None:
            return self._file.fault
        if self._water.damage is not None:
            return f"its high-water mark cannot be read ({self._water.damage})"
        mark = self._water.mark
        if mark is None or mark.step < self._step:
            return None
        if mark.step > self._step:
            return (
                f"state is at step {self._step}, expected {mark.step} by the mark in {self._water.directory}"
            )
        if mark.id != self._file.seal.id:
            return f"state has id {self._file.seal.id}, expected {mark.id} by the mark in {self._water.directory}"
        return None

    def _most_spent(self) -> int:
        """How many positions may have been spent, by this state or another copy."""
        assert self._water is not None and self._file.seal is not None
        mark = self._water.mark
        if mark is None or not self._water.intact or mark.step < self._step:
            return self._counts.capacity
        if mark.step == self._step and mark.id != self._file.seal.id:
            return self._counts.capacity
        return mark.spent

    def _adopt(self) -> None:
        """A step beyond all known ones. The mark comes first: a crash then leaves every copy refused."""
        assert self._water is not None
        mark = self._water.mark
        step, id = max(self._step, mark.step if mark else 0) + 1, os.urandom(16).hex()
        self._water.write(Mark(step, id, self._counts.spent))
        self._say_missing()
        self._file.advance(self._counts.to_dict(), step, id)

    def _mark(self) -> None:
        """Bring the mark to the state's step."""
        assert self._water is not None and self._file.seal is not None
        mark, seal = self._water.mark, self._file.seal
        if mark is None or not self._water.intact or (mark.step, mark.id) != (seal.step, seal.id):
            self._water.write(Mark(seal.step, seal.id, self._counts.spent))
            self._say_missing()

    def _say_missing(self) -> None:
        if self._water is not None and self._water.missing is not None and not self._said_missing:
            self._said_missing = True
            self._say(
                f"no high-water mark can be kept ({self._water.missing}): a snapshot of the folder that is "
                "put back will not be noticed; set XDG_STATE_HOME to a lasting, writable place"
            )

    def _say_about_mark(self) -> None:
        """A mark that is gone, behind or put back is made anew; the state counts."""
        assert self._water is not None
        mark, where = self._water.mark, self._water.directory
        if self._water.missing is not None:
            return
        if mark is None and self._step > 0:
            self._say(
                f"there was no high-water mark in {where}, the state is at step {self._step}; it is made anew"
            )
        elif mark is not None and (mark.step < self._step - 1 or not self._water.intact):
            self._say(
                f"the high-water mark in {where} was put back or moved; it is brought to step {self._step}"
            )

    def _say_cut_off(self, lost: int) -> None:
        if lost:
            self._say(f"an earlier proof was cut off: its {lost} positions are forfeited")
