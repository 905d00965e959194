"""What is kept instead of the integers (`huref commit --keep recipe`): where the checkpoint lies that gives them again.

private/recipe.json holds the path and a digest of the stacked integers, so that a checkpoint which was changed is told
from the committed one before anything is proven. Which folders have one follows from the file alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huref.common.errors import Malformed, ProverError
from huref.common.files.atomic import write_file
from huref.common.files.canonical import parse_json
from huref.common.files.commitment_file import CommitmentFile
from huref.prover.commitment.stacked import StackedWeights
from huref.prover.commitment.weights_file import named

_FILE_NAME = "recipe.json"
_FORMAT = "huref-recipe/1"

Remake = Callable[[CommitmentFile, Path, StackedWeights], None]
"""Fills the space with the integers of a commitment from the checkpoint at this path.

Raises ProverError if it is another one, InputOutputError if it is gone.
"""


@dataclass(frozen=True)
class Recipe:
    """`checkpoint` gave stacked integers of this `digest` (`leaf_cache.digest_of`)."""

    checkpoint: Path
    digest: bytes

    def write(self, private: Path) -> None:
        """Write it durably, for the owner alone."""
        content = {"format": _FORMAT, "checkpoint": str(self.checkpoint), "digest": self.digest.hex()}
        write_file(private / _FILE_NAME, json.dumps(content).encode(), mode=0o600)

    @classmethod
    def read(cls, private: Path) -> Recipe | None:
        """The recipe; None where the integers themselves are kept. Raises `Malformed`, `InputOutputError`."""
        path = private / _FILE_NAME
        if not path.exists():
            return None
        with named(path):
            content = parse_json(path.read_bytes(), str(path))
        try:
            if content.pop("format") != _FORMAT:
                raise ValueError
            return cls(Path(content.pop("checkpoint")), bytes.fromhex(content.pop("digest")))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise Malformed(f"{path}: not a recipe") from None

    def check(self, digest: bytes, folder: Path) -> None:
        """ProverError unless the integers that were made again are the committed ones."""
        if digest != self.digest:
            raise ProverError(
                f"{self.checkpoint} gives other integers than {folder} commits to",
                hint="restore the checkpoint, or use the version of huref that committed",
            )
