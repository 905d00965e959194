"""Which entries are nearest to a vector: one matrix product over all of a kind, then exact cosines of the best."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.profiles import get_profile
from huref.circuits.fingerprint.similarity import VectorSimilarity, compare_vectors
from huref.common.errors import Malformed
from huref.verifier.registry.entry import Entry, Kind, kind_of
from huref.verifier.registry.store import Row, Store, unit_vector


@dataclass(frozen=True)
class Hit:
    """An entry, its number and vector (512 integers), and how similar it is; verdicts as `FingerprintComparison`."""

    number: int
    entry: Entry
    v: list[int]
    similarity: VectorSimilarity

    @property
    def verdict(self) -> str | None:
        """ "same base", "unrelated", "unclear", or None where the profile does not tell."""
        return self.similarity.verdict if get_profile(self.entry.profile).canonical else None


class Index:
    """All vectors of a registry in memory; `refresh` reads what was added. Thread-safe.

    Entries are checked (`Entry.decode`) when they are shown, not when they are read: that would take seconds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: list[Row] = []
        self._said: list[dict[str, Any]] = []
        self._matrix: NDArray[np.float32] = np.zeros((0, 512), np.float32)
        self._kinds: dict[Kind, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def refresh(self, store: Store) -> int:
        """Read entries that are new; the number of all. Raises `Malformed`."""
        size = store.checkpoint().size
        with self._lock:
            start = len(self._rows)
            if size > start:
                rows, units = store.rows(start, size), store.units(start, size)
                kinds: dict[Kind, list[int]] = {}
                try:
                    said = self._said + [json.loads(row.body) for row in rows]
                    for number, one in enumerate(said):
                        kinds.setdefault(kind_of(one["profile"], one["k"], one["p"]), []).append(number)
                except (ValueError, KeyError, TypeError, RecursionError):
                    raise Malformed(f"{store.path}: not a registry (an entry that is none)") from None
                self._kinds = {kind: np.array(numbers) for kind, numbers in kinds.items()}
                self._matrix = np.concatenate([self._matrix, units])
                self._said, self._rows = said, self._rows + rows
            return len(self._rows)

    @property
    def kinds(self) -> dict[Kind, int]:
        """The kinds of vectors with their numbers of entries."""
        return {kind: len(numbers) for kind, numbers in self._kinds.items()}

    def entry(self, number: int) -> Entry:
        """An entry. Raises `Malformed`."""
        return Entry.decode(self._rows[number].body, f"entry {number}")

    def nearest(self, v: Sequence[int], kind: Kind, count: int = 5) -> list[Hit]:
        """The best entries of this kind, most similar first."""
        with self._lock:
            numbers, matrix = self._kinds.get(kind, np.zeros(0, np.int64)), self._matrix
        if not len(numbers):
            return []
        rows = matrix if len(numbers) == len(matrix) else matrix[numbers]
        cosines = rows @ unit_vector(v, kind[0])
        best = numbers[np.argsort(-cosines, kind="stable")[:count]].tolist()
        profile = get_profile(kind[0])
        vectors = {n: self._rows[n].vector() for n in best}
        found = [
            Hit(n, self.entry(n), other, compare_vectors(v, other, profile)) for n, other in vectors.items()
        ]
        return sorted(found, key=lambda hit: -hit.similarity.cosine)

    def named(self, text: str, count: int = 100) -> list[int]:
        """Numbers of entries whose name, model id, fingerprint or digest holds `text`, newest first."""
        wanted = text.strip().lower()
        fields = ("name", "model_id", "fingerprint", "digest")
        found = [
            number
            for number, said in enumerate(self._said)
            if any(wanted in said[field].lower() for field in fields)
        ]
        return found[::-1][:count]
