"""`huref verify`: check a bundle, say plainly what that proves and what not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from huref.common.options import JsonOption
from huref.common.output import exit_on_error, note, result, result_json
from huref.common.text import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from huref.verifier.image import ImageVerdict
    from huref.verifier.inference import InferenceVerdict
    from huref.verifier.verdict import Verdict


_NAMED = 8
"""Foreign files that are named on the terminal."""


def register(app: typer.Typer) -> None:
    """Add `huref verify` to the root command."""
    app.command("verify")(verify)


def verify(
    bundle: Annotated[
        str, typer.Argument(help="Bundle: a folder, a zip of it, or the https address of a zip.")
    ],
    root: Annotated[
        str | None,
        typer.Option(
            metavar="ID|FILE", help="Model id it must be about: 64 hex digits or a commitment.json."
        ),
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="HEX|PATH",
            help="Fingerprint it must prove: 64 hex digits, a fingerprint.json, or a bundle.",
        ),
    ] = None,
    challenge: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="Challenge that its tables must be drawn from: 64 hex digits."),
    ] = None,
    min_security: Annotated[int, typer.Option(help="Fewest provable bits to accept.")] = 100,
    signer: Annotated[
        str | None,
        typer.Option(metavar="KEY|FILE", help="Public key that must have signed it, or its .pub file."),
    ] = None,
    auditor: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY|FILE", help="Auditor who must have signed it; may be given several times."),
    ] = None,
    require_image: Annotated[
        bool,
        typer.Option(
            "--require-image", help="Fail unless the picture is the one the embedded generator draws."
        ),
    ] = False,
    generator: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="Fail unless the generator of this digest draws the picture."),
    ] = None,
    max_gap: Annotated[
        float | None,
        typer.Option(
            min=0, help="Largest gap, in logits, that its proof of inference may leave to a better token."
        ),
    ] = None,
    min_argmax: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Least share of its claimed tokens proven to be the best, 0 to 1."),
    ] = None,
    min_probability: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Least mean probability (harmonic) of its claimed tokens that must be proven."
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Prompts that its proof of inference must answer, these alone and in this order: lines of JSON with "
            "prompt_ids, and answer_ids where the answer is known, as huref ask --out writes them.",
        ),
    ] = None,
    opening: Annotated[
        Path | None,
        typer.Option(
            "--open",
            metavar="FILE",
            help="File of the owner's that opens the hidden prompts of its proof of inference.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a bundle. Exit code 0: verified, 1: rejected, 3: malformed or unsupported, 4: unreadable."""
    with exit_on_error(as_json=as_json):
        from huref.common.blas import one_blas_thread
        from huref.common.memory import keep_freed_memory

        one_blas_thread()
        from huref.verifier.verification import verify as verify_bundle

        keep_freed_memory()
        verdict = verify_bundle(
            bundle,
            root,
            expect,
            min_security,
            challenge=challenge,
            signer=signer,
            auditors=auditor or (),
            require_image=require_image,
            generator=generator,
            max_gap=max_gap,
            min_argmax=min_argmax,
            min_probability=min_probability,
            prompts=prompts,
            opening=opening,
        )
    if as_json:
        result_json(verdict.to_dict())
        note(*(f"warning: {line}" for line in verdict.warnings()))
    else:
        result(*describe(bundle, verdict))


def describe(bundle: str | Path, verdict: Verdict) -> list[str]:
    """The verdict in lines for people."""
    lines = [
        f"VERIFIED  {bundle}",
        f"  fingerprint  {verdict.fingerprint}",
        f"  in words     {verdict.words}",
        f"  model id     {verdict.model_id}",
        f"  security     {verdict.security.bits:.1f} provable bits ({verdict.security.binding.label})",
        f"  picture      {picture_line(verdict.picture)}",
        f"  size, time   {verdict.size / 1e6:.2f} MB, {sum(verdict.seconds.values()):.2f} s",
    ]
    if verdict.inference is not None:
        lines.append(f"  inference    {answer_line(verdict.inference)}")
    lines += ignored_lines(verdict.ignored)
    for heading, said in verdict.sections():
        lines += [f"{heading}:", *(f"  - {line}" for line in said)]
    return lines + [f"WARNING: {line}" for line in verdict.warnings()]


def answer_line(found: InferenceVerdict) -> str:
    """One line on a proof of inference."""
    answers = f", in {len(found.answers)} answers" if len(found.answers) > 1 else ""
    return f"{found.all.line()}{answers}"


def ignored_lines(ignored: Sequence[str]) -> list[str]:
    """Foreign files beside the bundle's, one line for people; none if there are none."""
    if not ignored:
        return []
    more = f" and {len(ignored) - _NAMED} more" if len(ignored) > _NAMED else ""
    return [f"  ignored: {', '.join(quoted(name) for name in ignored[:_NAMED])}{more}"]


def picture_line(found: ImageVerdict) -> str:
    """One line, with the command that would help."""
    if found.status == "not checked":
        return f"{found.message}; {found.hint}"
    how = "byte for byte" if found.comparison == "exact" else "within a tolerance"
    return f"{found.status} ({how}{', by a foreign generator' if found.foreign else ''})"
