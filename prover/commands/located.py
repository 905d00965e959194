"""Where a checkpoint that a command was given lies: here, or at an address, with a bar that counts the bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from huref.common.errors import UsageError
from huref.common.files.address import is_address
from huref.common.output import note
from huref.prover.commands.progress import on_terminal

CHECKPOINT = (
    "Checkpoint: a folder, a .safetensors or .gguf file, hf://OWNER/MODEL[@REVISION], or an https address."
)
_OUTSIDE = "choose a place outside the model's folder: --out DIR"
CheckpointArgument = Annotated[str, typer.Argument(help=CHECKPOINT)]


@contextmanager
def located(checkpoint: str) -> Iterator[Path]:
    """The path of a checkpoint; of one at an address only what is read comes here, and stays in a cache.

    Raises what `huref.prover.checkpoint.remote.mirror.mirrored` raises.
    """
    if not is_address(checkpoint):
        yield Path(checkpoint)
        return
    from huref.prover.checkpoint.remote.mirror import Traffic, mirrored

    traffic = Traffic()
    bar = _bar() if on_terminal() else None
    if bar is not None:
        traffic.seen = bar.update
    try:
        with mirrored(checkpoint, traffic) as place:
            yield place
    finally:
        if bar is not None:
            bar.close()
    note(f"network: {traffic.read / 1e6:.1f} MB read; the weights files have {traffic.total / 1e6:.1f} MB")


def check_outside(out: Path, checkpoint: Path, what: str) -> None:
    """A checkpoint's folder is read, never written to: its files are what others hash and publish.

    Raises:
        UsageError: `out`, where `what` goes, lies in it.
    """
    folder, target = checkpoint.resolve(), out.resolve()
    if (folder.is_dir() and target.is_relative_to(folder)) or (target / "config.json").exists():
        raise UsageError(f"{out}: {what} would be written into a checkpoint", hint=_OUTSIDE)


def _bar() -> Any:
    from tqdm import tqdm

    return tqdm(
        desc="network", unit="B", unit_scale=True, leave=False, bar_format="{desc}: {n_fmt}B, {rate_fmt}"
    )
