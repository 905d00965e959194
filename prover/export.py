"""A commitment's integers as a checkpoint that any server loads: `huref export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from huref.common.errors import InputOutputError, UsageError
from huref.common.files.atomic import new_folder
from huref.common.files.commitment_file import FILE_NAME
from huref.prover.checkpoint.checkpoint import open_checkpoint
from huref.prover.checkpoint.formats.base import Checkpoint
from huref.prover.commitment.folder import PRIVATE
from huref.prover.commitment.recipe import Recipe
from huref.prover.devices.choose import choose
from huref.prover.owner import check_sources, open_commitment
from huref.prover.progress import Progress
from huref.prover.run.inference.companions import copy_companions, kept_config
from huref.prover.run.inference.export import SHARD_BYTES, write_checkpoint
from huref.prover.run.inference.settings import WINDOWED, Settings, layer_kinds


@dataclass(frozen=True)
class Exported:
    """A checkpoint that was written: the model id that it belongs to, and what was copied beside the weights."""

    path: Path
    model_id: str
    copied: tuple[str, ...]


def export(
    commitment: str | Path,
    out: str | Path,
    checkpoint: Checkpoint | str | Path | None = None,
    *,
    shard_bytes: int = SHARD_BYTES,
    device: str = "auto",
    progress: Progress | None = None,
) -> Exported:
    """Write the committed integers as a checkpoint `out`, with commitment.json, once they give the root.

    `checkpoint` is the committed one, for its tokenizer; without it the weights and a config are written, or what the
    recipe of the commitment names is taken. Nothing of the opening budget is spent.

    Raises:
        UsageError: `out` exists, or the commitment has no inference program. ProverError: another checkpoint, or the
            private part does not give the root. InputOutputError: `out` cannot be written.
    """
    folder, progress = Path(commitment), progress or Progress()
    with new_folder(Path(out)) as place:
        opened = open_commitment(folder, choose(device), checkpoint, progress)
        source = opened.source
        facts = source.inference
        if facts is None:
            raise UsageError(
                f"{folder} has no inference program, so nobody can prove what a server of it says",
                hint="commit again with --inference, which says what is missing",
            )
        recipe = Recipe.read(folder / PRIVATE)
        if checkpoint is None and recipe is not None:
            checkpoint = recipe.checkpoint
        elif checkpoint is not None:
            check_sources(opened.public, checkpoint, folder)
        read = checkpoint if isinstance(checkpoint, Checkpoint | None) else open_checkpoint(Path(checkpoint))
        settings = Settings.of(facts)
        with progress.stage("export") as step:
            try:
                kept = {} if read is None else kept_config(read)
                if read is not None and source.shape.family in WINDOWED:
                    kept |= {"layer_types": layer_kinds(read, source.shape)}
                write_checkpoint(
                    source.weights,
                    source.shape,
                    settings,
                    place,
                    kept,
                    scaled=[layer.scaled for layer in facts.layers],
                    shard_bytes=shard_bytes,
                    progress=step,
                )
                copied = [] if read is None else copy_companions(read, place)
                (place / FILE_NAME).write_bytes(opened.public.encode())
            except OSError as error:
                raise InputOutputError(f"{out}: {error.strerror or error}") from None
    return Exported(Path(out), opened.public.model_id, tuple(copied))
