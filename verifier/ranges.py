"""The range proof that other statements on a root rely on: verified once, then remembered (protocol §6.8).

What is remembered is an empty file named by version, model id and the proof's digest, in a folder of the user's cache
that nobody else can write. Without such a folder every proof is verified again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from huref.circuits.argument.proof import Setup
from huref.circuits.argument.security import SecurityReport, security_report
from huref.circuits.program.program import Weight
from huref.circuits.statement import PROTOCOL, prepare_range
from huref.common.argument.transcript import Recorder
from huref.common.errors import Rejected
from huref.common.files.commitment_file import CommitmentFile
from huref.verifier.argument.verify import verify_program

_TAG = "huref/verified-range/1"  # with another number nothing that was remembered counts


def verify_range(
    commitment: CommitmentFile,
    proof: bytes,
    min_security: int = 100,
    committed: Sequence[Weight] | None = None,
    recorder: Recorder | None = None,
) -> SecurityReport:
    """Check that every committed entry is a byte; returns the recomputed security report. `committed` are the
    tensors of the directory where that has been compiled before. With a `recorder` nothing that is remembered counts.

    Raises:
        Rejected: the proof does not hold, or is below `min_security`. Malformed: its bytes have the wrong form.
    """
    statement, setup = prepare_range(commitment, committed)
    if recorder is None and _recall(commitment.model_id, proof):
        return _checked(setup, min_security)
    report = verify_program(
        setup, statement.encode(), bytes.fromhex(commitment.root), proof, min_security, recorder
    )
    _remember(commitment.model_id, proof)
    return report


def _checked(setup: Setup, min_security: int) -> SecurityReport:
    report = security_report(setup.layout, setup.geometry, setup.knobs)
    if report.bits < min_security:
        raise Rejected("range.security", "the range proof is below the demanded level",
                       expected=min_security, got=round(report.bits, 2))  # fmt: skip
    return report


def _name(model_id: str, proof: bytes) -> str:
    parts = "\n".join([_TAG, PROTOCOL, model_id, hashlib.sha256(proof).hexdigest()])
    return hashlib.sha256(parts.encode()).hexdigest()


def _recall(model_id: str, proof: bytes) -> bool:
    folder = _folder()
    return folder is not None and (folder / _name(model_id, proof)).is_file()


def _remember(model_id: str, proof: bytes) -> None:
    folder = _folder()
    if folder is not None:
        with suppress(OSError):
            os.close(os.open(folder / _name(model_id, proof), os.O_CREAT | os.O_WRONLY, 0o600))


def _folder() -> Path | None:
    """The folder of what was verified, made when it is asked for; None unless it is the user's alone."""
    try:
        named = os.environ.get(
            "XDG_CACHE_HOME", ""
        )  # a relative one would be in whatever folder one stands in
        base = (Path(named) if os.path.isabs(named) else Path.home() / ".cache") / "huref"
        folder = base / "verified-ranges"
        for path in (base, folder):  # each by itself: parents would get the mode that umask gives
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            found = path.lstat()
            if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & 0o022):
                return None
    except (OSError, RuntimeError):
        return None
    return folder
