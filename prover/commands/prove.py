"""`huref prove`: from a checkpoint to a verified bundle."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from huref.common.options import JsonOption
from huref.common.output import exit_on_error, note, result, result_json
from huref.prover.commands.commit import (
    ChallengeOption,
    DeviceOption,
    ProfileOption,
    ProofsOption,
    SchedulerOption,
    SecurityOption,
    SizeOption,
    TokensOption,
)
from huref.prover.commands.located import CHECKPOINT, check_outside, located

_INTERRUPTED = (
    "no bundle was written; a commitment that was made for it is whole or not there, and if a proof had begun, the "
    "positions that it reserved stay spent"
)
_STAGES = ("load", "quantize", "calibrate", "commit", "range", "witness", "prove", "self-verify")


def register(app: typer.Typer) -> None:
    """Add `huref prove` to the root command."""
    app.command("prove")(prove)


def prove(
    out: Annotated[Path, typer.Option("--out", "-o", help="Bundle folder to make, NAME.huref.")],
    checkpoint: Annotated[
        str | None, typer.Argument(help=f"{CHECKPOINT} May be left out when a commitment is given.")
    ] = None,
    commitment: Annotated[
        Path | None,
        typer.Option(help="Folder made by huref commit; default: NAME.commitment, made if there is none."),
    ] = None,
    challenge: ChallengeOption = None,
    profile: ProfileOption = None,
    tokens: TokensOption = None,
    k: SizeOption = None,
    security: SecurityOption = None,
    proofs: ProofsOption = None,
    key: Annotated[Path | None, typer.Option(help="Sign with this key file (huref keygen).")] = None,
    generator: Annotated[
        str | None, typer.Option(metavar="NAME", help="Picture generator by name or digest.")
    ] = None,
    device: DeviceOption = "auto",
    scheduler: SchedulerOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an older bundle of this name.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Prove a checkpoint's fingerprint; the bundle is verified before it appears."""
    with exit_on_error(as_json=as_json, interrupted=_INTERRUPTED):
        from huref.circuits.challenge import parse_challenge
        from huref.common.files.keys import SecretKey
        from huref.common.memory import keep_freed_memory
        from huref.prover.commands.first_use import announced
        from huref.prover.commands.progress import ProgressBar
        from huref.prover.owner import Options
        from huref.prover.owner import prove as make

        keep_freed_memory()
        signer = None if key is None else SecretKey.load(key)
        somewhere = nullcontext(None) if checkpoint is None else located(checkpoint)
        with somewhere as place, announced(*_STAGES[:-1]), ProgressBar(_STAGES) as progress:
            if place is not None:
                check_outside(out, place, "the bundle, and a commitment with its secrets,")
            done = make(
                place,
                out,
                Options(profile, tokens, k, security, proofs),
                commitment=commitment,
                challenge=parse_challenge(challenge),
                key=signer,
                replace_existing=force,
                generator=generator,
                device=device,
                scheduler=scheduler,
                progress=progress,
            )
    verdict = done.verdict
    if as_json:
        summary = {**verdict.to_dict(), "schema": "huref-proved/1"}
        summary |= {"bundle": str(done.path), "commitment": str(done.commitment)}
        left = {"proofs_left": done.proofs_left, "positions_left": done.remaining}
        left |= {"challenges_left": done.challenges_left}
        result_json({**summary, "seconds": done.seconds, **left})
        return
    result(f"{done.path}: fingerprint {verdict.fingerprint}", f"  in words  {verdict.words}")
    times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in done.seconds.items())
    note(f"time: {times}")
    note(f"size: bundle {verdict.size / 1e6:.2f} MB, of it the proof {verdict.proof_size / 1e6:.2f} MB")
    note(f"security: {verdict.security.bits:.1f} provable bits (weakest: {verdict.security.binding.label})")
    more = f"{done.proofs_left} proofs left"
    if verdict.statement.e is not None:
        more += f", {done.challenges_left} more challenges can be answered"
    note(f"commitment: {done.commitment} (its private/ part is secret), {more}")
