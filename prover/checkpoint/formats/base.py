"""What every checkpoint reader offers: names, shapes, and float32 tensors read one at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huref.common.errors import HurefError, Malformed, UsageError
from huref.prover.kernels.integers.reading import Float32, Stored, transpose, widen
from huref.prover.kernels.mapped import release


class Checkpoint(ABC):
    """A model on disk, read lazily: only the tensors asked for are ever loaded.

    `naming` says whose tensor names and config keys are used: Hugging Face's ("hf") or GGUF's ("gguf").
    """

    naming: Literal["hf", "gguf"] = "hf"

    def __init__(self, path: Path, config: Mapping[str, Any], source_files: Iterable[Path]) -> None:
        self.path = path
        self.config: dict[str, Any] = dict(config)
        self.source_files: tuple[Path, ...] = tuple(source_files)
        self.tokenizer_file: Path | None = None

    def tokenizer_metadata(self) -> dict[str, Any]:
        """The `tokenizer.*` values stored inside the weights file (GGUF); empty for other formats."""
        return {}

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """All tensor names, sorted."""

    @abstractmethod
    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, outermost dimension first. Raises `Malformed` if there is none of that name."""

    @abstractmethod
    def _load(self, name: str, rows: NDArray[np.int64] | None) -> Stored:
        """Tensor `name`, or only its given rows; read-only if it is not the caller's alone."""

    def __contains__(self, name: str) -> bool:
        return name in self.names()

    def files_of(self, name: str) -> tuple[Path, ...]:
        """The source files that hold a tensor or its parts; formats with several files override it."""
        return self.source_files[:1]

    def read(self, name: str) -> Float32:
        """The whole tensor as a new float32 array.

        Raises `Malformed` (missing, NaN, infinity), `Unsupported` (dtype).
        """
        return self._finite(name, widen(self._load(name, None)))

    def read_transposed(self, name: str) -> Float32:
        """A matrix, transposed, as a new float32 array. Raises what `read` raises."""
        return self._finite(name, transpose(self._load(name, None)))

    def read_rows(self, name: str, ids: ArrayLike) -> Float32:
        """Rows `ids` (in that order, repeats allowed) as float32, (len(ids), ...); the rest is not read.

        Raises `UsageError` when an id is out of range, and what `read` raises.
        """
        rows = np.asarray(ids)
        if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
            raise UsageError(f"{name}: row ids must be a list of integers")
        count = self.shape(name)[0]
        if rows.size and not 0 <= int(rows.min()) <= int(rows.max()) < count:
            wrong = int(rows.min()) if int(rows.min()) < 0 else int(rows.max())
            raise UsageError(f"row {wrong} is outside {name}, which has {count} rows")
        return self._finite(name, widen(self._load(name, rows.astype(np.int64))))

    def maps(self) -> Iterable[NDArray[np.uint8]]:
        """The maps of files that tensors are read from; formats that have any override it."""
        return ()

    def release(self) -> None:
        """Give back the memory that pages read so far take."""
        for pages in self.maps():
            release(pages)

    def lost(self, name: str) -> bool:
        """Whether the checkpoint's index names this tensor, but it is not there."""
        return False

    def missing(self, name: str) -> HurefError:
        """The error for a tensor that is not there; formats that know why override it."""
        return Malformed(f"{self.path}: tensor {name} is missing")

    def _finite(self, name: str, found: tuple[Float32, bool]) -> Float32:
        tensor, finite = found
        if not finite:
            raise Malformed(f"{self.path}: tensor {name} holds NaN or infinity")
        return tensor
