"""The parts of a split GGUF: NAME-00001-of-0000N.gguf and so on, the first with the metadata."""

from __future__ import annotations

import re
from pathlib import Path

from huref.common.errors import InputOutputError

_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")
_MOST = 10_000


def is_secondary(path: Path) -> bool:
    """Whether a file is named as a part other than the first, or as the image side of a multimodal model."""
    match = _PART.fullmatch(path.name)
    return "mmproj" in path.name or (match is not None and int(match[2]) != 1)


def part_names(name: str) -> list[str]:
    """The names of all parts of the split file that `name` is one of; of another file its own."""
    match = _PART.fullmatch(name)
    count = int(match[3]) if match else 0
    if match is None or not 0 < count < _MOST:
        return [name]
    return [f"{match[1]}-{number:05}-of-{count:05}.gguf" for number in range(1, count + 1)]


def parts_of(path: Path, count: int) -> list[Path]:
    """All parts of the split file that `path` is one of. Raises `InputOutputError` if one is not there."""
    match = _PART.fullmatch(path.name)
    if match is None or int(match[3]) != count or not 0 < count < _MOST:
        raise InputOutputError(
            f"{path}: one of {count} parts of a split GGUF, but not named NAME-00001-of-{count:05}.gguf",
            hint="give the parts their names back, or merge them with llama-gguf-split",
        )
    parts = [path.with_name(name) for name in part_names(path.name)]
    for part in parts:
        if not part.is_file():
            raise InputOutputError(
                f"{part}: this part of the split GGUF is missing", hint="download it again"
            )
    return parts
