"""The contact sheet of docs/picture.md: bases with their derivatives in rows, then strangers.

Each of the first rows is one base and vectors at cosine 0.99, 0.97, 0.95, 0.8 and 0.5 from it; the last two rows are
strangers. With `--real`, a row of fingerprints of models comes first.

    python -m benchmarks.contact_sheet docs/img/contact-sheet.png [--real A/fingerprint.json ...]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.distinguishability import draw, vectors_at
from huref.common.files.fingerprint_file import read_fingerprint
from huref.common.image.generator import render
from huref.common.image.registry import embedded
from huref.common.image.show import grid

COSINES = (0.99, 0.97, 0.95, 0.8, 0.5)
_SIDE = 176


def sheet(seed: int, rows: int, real: list[Path]) -> np.ndarray:
    """Pictures of `_SIDE` pixels, six in a row."""
    rng = np.random.default_rng(seed)
    pictures = [render(read_fingerprint(path).v) for path in real]
    pictures += [np.full_like(pictures[0], 255)] * (-len(real) % 6) if real else []
    for _ in range(rows):
        pictures += [draw(v, embedded()) for v in vectors_at(COSINES, rng)]
    pictures += [draw(rng.standard_normal(512), embedded()) for _ in range(12)]
    small = [
        np.asarray(Image.fromarray(p).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)) for p in pictures
    ]
    return grid(small, columns=6)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--real", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    Image.fromarray(sheet(options.seed, options.rows, options.real)).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
