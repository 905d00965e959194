"""Which positions of the weights' code a proof of ours opens, as its verification sees them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class OpenedPositions:
    """A transcript's recorder that keeps the drawn positions of the weights in `found`, sorted."""

    def __init__(self) -> None:
        self.found: NDArray[np.int64] = np.zeros(0, np.int64)

    def __call__(self, kind: str, label: str, data: bytes) -> None:
        if (kind, label) == ("challenge", "opening.weights"):
            self.found = np.frombuffer(data, "<i8")
