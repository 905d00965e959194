"""Which entries are nearest to a vector: one matrix product over all of a kind, then exact cosines of the best."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.profiles import get_profile
from huref.circuits.fingerprint.similarity import VectorSimilarity, compare_vectors
from huref.verifier.registry.entry import Entry
from huref.verifier.registry.store import Store, unit_vector

Kind = tuple[str, str, int, int]


@dataclass(frozen=True)
class Hit:
    """An entry, its number, and how similar its vector is. `verdict` as in `FingerprintComparison`."""

    number: int
    entry: Entry
    similarity: VectorSimilarity

    @property
    def verdict(self) -> str | None:
        """ "same base", "unrelated", "unclear", or None where the profile does not tell."""
        return self.similarity.verdict if get_profile(self.entry.profile).canonical else None


class Index:
    """All vectors of a registry in memory; `refresh` reads what was added. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.entries: list[Entry] = []
        self._vectors: list[list[int]] = []
        self._matrix: NDArray[np.float32] = np.zeros((0, 512), np.float32)
        self._kinds: dict[Kind, NDArray[np.int64]] = {}

    def refresh(self, store: Store) -> int:
        """Read entries that are new; the number of all."""
        size = store.checkpoint().size
        with self._lock:
            start = len(self.entries)
            if size > start:
                items = list(store.items(start, size))
                matrix = np.concatenate([self._matrix, store.units(start, size)])
                entries = self.entries + [item.entry for item in items]
                kinds: dict[Kind, list[int]] = {}
                for number, entry in enumerate(entries):
                    kinds.setdefault(entry.kind, []).append(number)
                self._kinds = {kind: np.array(numbers) for kind, numbers in kinds.items()}
                self._vectors = self._vectors + [item.v for item in items]
                self._matrix, self.entries = matrix, entries
            return len(self.entries)

    @property
    def kinds(self) -> dict[Kind, int]:
        """The kinds of vectors with their numbers of entries."""
        return {kind: len(numbers) for kind, numbers in self._kinds.items()}

    def nearest(self, v: Sequence[int], kind: Kind, count: int = 5) -> list[Hit]:
        """The best entries of this kind, most similar first."""
        with self._lock:
            numbers, matrix = self._kinds.get(kind, np.zeros(0, np.int64)), self._matrix
        if not len(numbers):
            return []
        rows = matrix if len(numbers) == len(matrix) else matrix[numbers]
        cosines = rows @ unit_vector(v, kind[1])
        best = np.argsort(-cosines, kind="stable")[:count]
        found = [
            (int(number), compare_vectors(v, self._vectors[number], kind[1])) for number in numbers[best]
        ]
        hits = [Hit(number, self.entries[number], similarity) for number, similarity in found]
        return sorted(hits, key=lambda hit: -hit.similarity.cosine)

    def named(self, text: str, count: int = 100) -> list[int]:
        """Numbers of entries whose name, model id, fingerprint or digest holds `text`, newest first."""
        wanted = text.strip().lower()
        fields = ("name", "model_id", "fingerprint", "digest")
        found = [
            number
            for number, entry in enumerate(self.entries)
            if any(wanted in getattr(entry, field).lower() for field in fields)
        ]
        return found[::-1][:count]
