"""`huref commit`: a hiding commitment to the weights that a fingerprint reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from huref.common.errors import UsageError
from huref.common.files.address import is_address
from huref.common.options import JsonOption
from huref.common.output import exit_on_error, note, result, result_json
from huref.prover.commands.located import CheckpointArgument, check_outside, located

ProfileOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="hardened (default: the whole model under one root) or paper (two layers, raw)."
    ),
]
TokensOption = Annotated[
    Path | None, typer.Option(help="Token ids (see huref tokens), a fingerprint.json, or a tokenizer.")
]
SizeOption = Annotated[int | None, typer.Option("--k", "-k", help="Number of rarest tokens (paper; 4096).")]
SecurityOption = Annotated[int | None, typer.Option(help="Provable security in bits: 100 (default) or 128.")]
ProofsOption = Annotated[
    int | None,
    typer.Option(help="How many proofs this commitment must outlive (256); more cost a little size."),
]
OwnerOption = Annotated[
    str | None,
    typer.Option(
        metavar="KEY|FILE",
        help="Public key, or its file, that must sign every bundle; without it nobody may sign one.",
    ),
]
KeepOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="weights (default): keep the integers; recipe: make a whole model's again from the checkpoint, which must "
        "stay as it is.",
    ),
]
ChallengeOption = Annotated[
    str | None,
    typer.Option(
        metavar="HEX",
        help="Draw the tables from these 64 hex digits (huref challenge), as evidence for a comparison.",
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="auto (a GPU if there is one), cpu, cuda, cuda:N; torch-cpu tests the GPU's code.",
    ),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Encode and hash on a dask cluster, dask://HOST:PORT or tls://HOST:PORT. Its machines see the weights "
        "and their random rows in the clear, and on dask:// so does the network; the result is the same.",
    ),
]

InferenceOption = Annotated[
    bool | None,
    typer.Option(
        "--inference/--no-inference",
        help="Prepare proofs of inference (default: where the model's layout is known); fail, or do not.",
        show_default=False,
    ),
]

_STAGES = ("load", "quantize", "calibrate", "commit", "range")


def register(app: typer.Typer) -> None:
    """Add `huref commit` to the root command."""
    app.command("commit")(commit)


def _left(folder: Path) -> str:
    """What Ctrl-C leaves: the range proof comes when the commitment is whole."""
    from huref.common.files.bundle import COMMITMENT

    if not (folder / COMMITMENT).exists():
        return "no commitment was written, and its secret seed is gone"
    return (
        f"{folder} is a whole commitment, but for its range proof, which huref range and the first huref prove make; "
        "if that proof had begun, the positions that it reserved stay spent"
    )


def commit(
    checkpoint: CheckpointArgument,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to make; its private/ part must stay secret.")
    ],
    profile: ProfileOption = None,
    tokens: TokensOption = None,
    k: SizeOption = None,
    security: SecurityOption = None,
    proofs: ProofsOption = None,
    owner: OwnerOption = None,
    keep: KeepOption = None,
    inference: InferenceOption = None,
    device: DeviceOption = "auto",
    scheduler: SchedulerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Quantize a checkpoint, commit to it, and prove that all committed entries are in range."""
    with exit_on_error(as_json=as_json, interrupted=lambda: _left(out)):
        from huref.common.files.keys import read_public_key
        from huref.common.memory import keep_freed_memory
        from huref.prover.commands.first_use import announced
        from huref.prover.commands.progress import ProgressBar
        from huref.prover.owner import Options
        from huref.prover.owner import commit as make

        if keep == "recipe" and is_address(checkpoint):
            raise UsageError(
                "a recipe names a checkpoint on this machine", hint="download it, or keep the weights"
            )
        keep_freed_memory()
        named = None if owner is None else read_public_key(owner)
        with located(checkpoint) as place, announced(*_STAGES), ProgressBar(_STAGES) as progress:
            check_outside(out, place, "the commitment, with its secrets,")
            options = Options(profile, tokens, k, security, proofs, named, keep, inference)
            opened = make(place, out, options, device=device, scheduler=scheduler, progress=progress)
    public, said = opened.public, opened.public.directory
    if as_json:
        summary = {"model_id": public.model_id, "folder": str(out), "inference": said.inference is not None}
        result_json({"schema": "huref-committed/1", **summary, "seconds": progress.seconds})
        return
    result(f"model id {public.model_id}")
    entries = sum(tensor.rows * tensor.cols for tensor in said.tensors)
    note(
        f"{entries / 1e6:.1f} M weights in {len(said.tensors)} tensors, good for at least {said.proofs} proofs"
    )
    note(f"publish {out / 'commitment.json'}; keep {out / 'private'} secret and do not copy it")
