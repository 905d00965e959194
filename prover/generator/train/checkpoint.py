"""What training writes: one resumable state file, and sheets of samples to look at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from huref.common.image.architecture import Architecture
from huref.prover.generator.model import Generator


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write `state` with torch.save to a temporary name, then rename."""
    temporary = path.with_suffix(".part")
    torch.save(state, temporary)
    os.replace(temporary, path)


def load_state(path: Path) -> dict[str, Any]:
    """Read a state written by `save_state` (tensors and plain values only)."""
    state: dict[str, Any] = torch.load(path, weights_only=True)
    return state


def load_generator(path: Path) -> Generator:
    """The averaged generator of a training state."""
    state = load_state(path)
    generator = Generator(Architecture(tuple(state["mapping"]), tuple(state["channels"])))
    generator.load_state_dict(state["average"])
    return generator.eval()


def save_sheet(path: Path, pictures: Tensor, columns: int) -> None:
    """Write (n, 3, size, size) pictures in [-1, 1] as one PNG grid; n is a multiple of `columns`."""
    pixels = (pictures.clamp(-1, 1) * 127.5 + 127.5).round().byte().numpy()
    count, _, height, width = pixels.shape
    grid = pixels.reshape(count // columns, columns, 3, height, width).transpose(0, 3, 1, 4, 2)
    sheet = np.ascontiguousarray(grid).reshape(count // columns * height, columns * width, 3)
    temporary = path.with_suffix(".part.png")
    Image.fromarray(sheet).save(temporary)
    os.replace(temporary, path)
