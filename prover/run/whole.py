"""A whole model's integers, from the checkpoint to where they are committed, and the same ones again later."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from huref.circuits.model.tensors import STEP
from huref.common.errors import InputOutputError, ProverError
from huref.common.files.commitment_file import CommitmentFile
from huref.prover.canonical.steps import Rounded
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import Model, open_model
from huref.prover.checkpoint.formats.base import Checkpoint
from huref.prover.checkpoint.formats.partial import stated
from huref.prover.commitment.recipe import Remake
from huref.prover.commitment.stacked import StackedWeights

Step = Callable[[str], None]


def fill_whole(model: Model, space: StackedWeights, progress: Step | None = None) -> None:
    """Write every tensor and its steps into `space`, tensor after tensor; the checkpoint is read once.

    One is written while the next one is made: touching new memory takes as long as rounding what it is to hold.

    Raises:
        Malformed: a tensor is missing, or holds NaN or infinity; names it. Unsupported: the model has another layout.
    """

    def write(tensor: Rounded) -> None:
        space.fill(tensor.name, tensor.values)
        space.fill(tensor.name + STEP, tensor.steps[None])

    with ThreadPoolExecutor(1, thread_name_prefix="huref-fill") as writer:
        written: Future[None] | None = None
        for tensor in whole_model(model):
            if written is not None:
                written.result()
            written = writer.submit(write, tensor)
            model.checkpoint.release()
            if progress is not None:
                progress(tensor.name)
        if written is not None:
            written.result()


def remaker(given: Checkpoint | str | Path | None, progress: Step | None = None) -> Remake:
    """Makes the integers of a commitment again, from the `given` checkpoint or (None) the one that its recipe names."""

    def remake(public: CommitmentFile, recorded: Path, space: StackedWeights) -> None:
        place = recorded if given is None else given
        try:
            model = open_model(place)
        except InputOutputError as error:
            raise InputOutputError(
                f"the commitment keeps no integers, and its checkpoint cannot be read: {error.message}",
                hint="give the checkpoint's new place: huref range FOLDER --checkpoint PLACE, or "
                "huref prove PLACE --commitment FOLDER",
            ) from None
        name = model.checkpoint.path
        found = {path.name: _size(path) for path in model.source_files(model.layers)}
        if found != {file.name: file.size for file in public.sources}:
            raise ProverError(
                f"{name} has other files than the checkpoint that was committed",
                hint="restore it, or give the place of the committed one",
            )
        if model.shape.to_dict() != public.directory.shape:
            raise ProverError(f"{name} has another shape than the checkpoint that was committed")
        fill_whole(model, space, progress)

    return remake


def _size(path: Path) -> int:
    known = stated(path)
    return path.stat().st_size if known is None else known[0]
