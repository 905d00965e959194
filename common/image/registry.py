"""Installed generators: the embedded one, and those in the user's data folder.

A generator is named by the sha256 of its weight file; the embedded renderer, which has none, by the sha256 of its
pinned tables. The user folder is `huref/generators` under
`$XDG_DATA_HOME` (default `~/.local/share`); a file there is called `<digest>.gen`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from huref.common.errors import Malformed, Unsupported
from huref.common.image.creature.draw import Creatures
from huref.common.image.faces import FaceNetworks, is_faces, load_faces
from huref.common.image.weights import GeneratorWeights
from huref.common.image.weights_io import digest, load_weights

SUFFIX = ".gen"
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Installed:
    """A generator at hand: its `digest` (64 hexadecimal digits) and what it draws with.

    The embedded renderer and integer weights draw the same bytes everywhere; face networks do not (`exact` is false).
    """

    digest: str
    weights: Creatures | GeneratorWeights | FaceNetworks

    @property
    def exact(self) -> bool:
        """Whether pictures can be compared byte by byte."""
        return not isinstance(self.weights, FaceNetworks)


def user_folder() -> Path:
    """Where generators are installed for the user; need not exist."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "huref" / "generators"


@lru_cache(maxsize=1)
def embedded() -> Installed:
    """The generator that ships with huref."""
    creatures = Creatures()
    return Installed(creatures.digest, creatures)


def find(wanted: str) -> Installed | None:
    """The installed generator of this digest, or None; raises Malformed when its file was altered."""
    if not _DIGEST.match(wanted):
        raise Malformed("generator digest: not 64 lowercase hexadecimal digits")
    if embedded().digest == wanted:
        return embedded()
    path = user_folder() / (wanted + SUFFIX)
    return _read(path, wanted) if path.is_file() else None


def by_name(name: str) -> Installed:
    """The generator called `name`, or whose digest starts with it (8 digits or more).

    Raises Unsupported when none or several are installed.
    """
    found = [one for one in installed() if one.weights.name == name or _is_prefix(name, one.digest)]
    if len(found) != 1:
        how_many = "no" if not found else "more than one"
        raise Unsupported(
            f"{how_many} generator {name!r} is installed", hint="list them: huref generator list"
        )
    return found[0]


def installed() -> list[Installed]:
    """All generators at hand, the embedded one first."""
    folder = user_folder()
    names = sorted(path.stem for path in folder.glob("*" + SUFFIX)) if folder.is_dir() else []
    return [embedded()] + [_read(folder / (name + SUFFIX), name) for name in names if _DIGEST.match(name)]


def add(data: bytes) -> Installed:
    """Check a weight file and install it in the user's folder."""
    one = _load(data, digest(data))
    folder = user_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (one.digest + SUFFIX)
    temporary = path.with_suffix(f".{os.getpid()}.part")
    temporary.write_bytes(data)
    os.replace(temporary, path)
    return one


def _is_prefix(name: str, full: str) -> bool:
    return len(name) >= 8 and full.startswith(name)


def _read(path: Path, expected: str) -> Installed:
    data = path.read_bytes()
    if digest(data) != expected:
        raise Malformed(f"{path}: not the generator its name says", hint="delete it and install it again")
    return _load(data, expected)


def _load(data: bytes, name: str) -> Installed:
    return Installed(name, load_faces(data, name) if is_faces(data) else load_weights(data))
