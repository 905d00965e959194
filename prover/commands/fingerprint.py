"""`huref fingerprint`: a checkpoint's fingerprint without a proof."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from huref.common.output import exit_on_error, result, result_json
from huref.prover.commands.commit import ChallengeOption, DeviceOption
from huref.prover.commands.located import CheckpointArgument, check_outside, located

if TYPE_CHECKING:
    from huref.circuits.fingerprint.profiles import Profile
    from huref.common.files.fingerprint_file import FingerprintFile
    from huref.prover.checkpoint.families import Model

PICTURE = "picture.png"

_STEPS = 13 + 20
"""Tensors and sites of a small program; the bar adapts when there are more."""


def register(app: typer.Typer) -> None:
    """Add `huref fingerprint` to the root command."""
    app.command("fingerprint")(fingerprint)


def fingerprint(
    checkpoint: CheckpointArgument,
    profile: Annotated[str, typer.Option(metavar="NAME", help="hardened or paper.")] = "hardened",
    challenge: ChallengeOption = None,
    tokens: Annotated[
        Path | None, typer.Option(help="Token ids (see huref tokens), a fingerprint.json, or a tokenizer.")
    ] = None,
    k: Annotated[int | None, typer.Option("--k", "-k", help="Number of rarest tokens (paper; 4096).")] = None,
    p: Annotated[int | None, typer.Option("--p", help="Number of token blocks (paper; 256).")] = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Folder for fingerprint.json and picture.png, outside the checkpoint; default: this one.",
        ),
    ] = Path("."),
    device: DeviceOption = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the fingerprint as one JSON object.")
    ] = False,
) -> None:
    """Compute a checkpoint's fingerprint (without a proof); write DIR/fingerprint.json and DIR/picture.png."""
    with exit_on_error(as_json=as_json):
        from huref.circuits.challenge import parse_challenge
        from huref.circuits.fingerprint.profiles import get_profile
        from huref.common.files.atomic import check_writable, write_file
        from huref.common.files.fingerprint_file import write_fingerprint
        from huref.common.image.generator import render
        from huref.common.image.png import png_bytes
        from huref.common.words import ALONE
        from huref.prover.checkpoint.families import open_model

        chosen = get_profile(profile)
        check_writable(out)
        with located(checkpoint) as place:
            check_outside(out, place, "fingerprint.json")
            given = parse_challenge(challenge)
            found = derive_file(open_model(place), chosen, tokens, k, p, challenge=given, device=device)
        file = write_fingerprint(out, found)
        write_file(out / PICTURE, png_bytes(render(found.v)))
        if as_json:
            result_json(found.model_dump())
            return
        closeness = "" if found.fidelity.v is None else f", cosine with floating point {found.fidelity.v:.5f}"
        result(f"{file}: {found.profile}, K={found.k}, P={found.p}{closeness}")
        result(f"{out / PICTURE}: {ALONE}, without a model id: {_words(found)}")


def _words(file: FingerprintFile) -> str:
    from huref.circuits.statement import fingerprint_name
    from huref.common.words import word_fingerprint

    return word_fingerprint(fingerprint_name(file, file), None)


def derive_file(
    model: Model,
    profile: Profile,
    tokens: Path | None,
    k: int | None,
    p: int | None,
    *,
    challenge: bytes = b"",
    device: str = "cpu",
) -> FingerprintFile:
    """A model's fingerprint with a bar on stderr; arguments and errors as `huref.prover.run.fingerprint.derive`."""
    from huref.prover.commands.first_use import announced
    from huref.prover.commands.progress import step_bar
    from huref.prover.devices.choose import choose
    from huref.prover.run.fingerprint import derive

    executor = choose(device).executor
    with announced("load", "quantize", "witness"), step_bar("fingerprint", _STEPS) as progress:
        derivation = derive(
            model, profile, tokens=tokens, k=k, p=p, challenge=challenge, device=executor, progress=progress
        )
    return derivation.to_file()
