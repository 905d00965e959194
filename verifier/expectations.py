"""What a caller expects of a bundle, read from how people write it: hex in any case, or a file that holds it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from huref.common.errors import Malformed, UsageError
from huref.common.files import bundle as form
from huref.common.files import commitment_file
from huref.common.files.capped import read_capped
from huref.common.files.commitment_file import CommitmentFile
from huref.common.text import parse_hex, shorten

_ELSEWHERE = "take it from where its owner published it, not from the bundle"


def parse_root(text: str, bundle: Path | None = None) -> str:
    """The model id that `--root` names: 64 hex digits, a commitment.json, or the folder of a commitment.

    Raises:
        UsageError: neither hex nor a file that is there, or one of `bundle`, which agrees with itself.
        Malformed: the file is not a commitment.json. InputOutputError: it cannot be read.
    """
    found = parse_hex(text, 64)
    if found is not None:
        return found
    path = Path(given("root", text))
    if os.path.isdir(path):
        path /= commitment_file.FILE_NAME
    if not os.path.lexists(path):
        digits = text.strip().lower().removeprefix("0x")
        counted = f" (it has {len(digits)})" if re.fullmatch("[0-9a-f]+", digits) else ""
        raise UsageError(
            f"root: {shorten(text)} is neither 64 hex digits{counted} nor a {commitment_file.FILE_NAME}",
            hint=_ELSEWHERE,
        )
    if bundle is not None:
        refuse_own("root", path, bundle)
    data = read_capped(path, commitment_file.MAX_BYTES)
    try:
        return CommitmentFile.decode(data, str(path)).model_id
    except Malformed as error:
        raise Malformed(
            f"root: not a {commitment_file.FILE_NAME}: {error.message}", hint=error.hint or _ELSEWHERE
        ) from None


def parse_digest(text: str, name: str) -> str:
    """64 hex digits that the option `name` gives. Raises `UsageError`."""
    found = parse_hex(text, 64)
    if found is None:
        raise UsageError(f"{name}: expected 64 hex digits, got {shorten(text)}")
    return found


def refuse_own(name: str, path: Path, bundle: Path) -> None:
    """Raise `UsageError` where `path` is the bundle, or what it says of itself, by whatever link."""
    for own in (bundle, bundle / form.COMMITMENT, bundle / form.FINGERPRINT):
        if os.path.exists(path) and os.path.exists(own) and os.path.samefile(path, own):
            raise UsageError(
                f"{name}: a file of the bundle itself, which agrees with itself", hint=_ELSEWHERE
            )


def given(name: str, text: str) -> str:
    """`text`, unless it is empty, as a variable that was never set makes it. Raises `UsageError`."""
    if not text.strip():
        raise UsageError(f"{name}: nothing is named")
    return text
