"""`huref inspect`: replay a verification and show everything in it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from huref.common.errors import ExitCode
from huref.common.options import JsonOption
from huref.common.output import exit_on_error, note, result, result_json
from huref.common.rejection import CLAIMED
from huref.verifier.commands.verify import ignored_lines

if TYPE_CHECKING:
    from huref.verifier.report.inspection import Failure, Inspection
    from huref.verifier.report.transcripts import Message, ProofView


def register(app: typer.Typer) -> None:
    """Add `huref inspect` to the root command."""
    app.command("inspect")(inspect)


def inspect(
    bundle: Annotated[
        str, typer.Argument(help="Bundle: a folder, a zip of it, or the https address of a zip.")
    ],
    as_json: JsonOption = False,
    html: Annotated[Path | None, typer.Option(help="Also write a page for the browser here.")] = None,
) -> None:
    """Show what a bundle says and how it is checked, message by message. Exit codes as huref verify."""
    with exit_on_error(as_json=as_json):
        from huref.common.blas import one_blas_thread
        from huref.common.files.atomic import write_file
        from huref.common.memory import keep_freed_memory

        one_blas_thread()
        from huref.verifier.report.inspection import inspect as replay

        keep_freed_memory()
        found = replay(bundle)
        if html is not None:
            from huref.verifier.report.inspect_html import page

            write_file(html, page(found).encode())
            note(f"page written to {html}")
    if as_json:
        result_json(found.to_dict())
    else:
        result(*describe(found))
    if found.failure is not None:
        rejected = found.failure.kind == "Rejected"
        raise SystemExit(ExitCode.REJECTED if rejected else ExitCode.MALFORMED)


def describe(found: Inspection) -> list[str]:
    """The inspection in lines for people."""
    lines = [f"{found.word}  {found.bundle}"]
    if found.failure is not None:
        lines += _failure(found.failure)
    if found.verdict is not None:
        lines.append(f"  in words     {found.verdict.words}")
    lines += ignored_lines(found.ignored)
    parts = {
        "Statement, as the bundle says it" if found.failure is None else CLAIMED: found.words,
        "Geometry": _geometry(found.proof),
        "Layers": [
            f"{layer.name:<8} {layer.rows:>5} x {layer.cols:<6} shift {layer.shift:<3} clamp {layer.clamp[1]:<5} "
            f"{layer.formula}"
            for layer in found.layers
        ],
        "Messages and challenges": _transcript(found.proof.messages),
        "Soundness": _ledger(found.proof),
    }
    for heading, said in parts.items():
        if said:  # a bundle that cannot be read has none of them
            lines += [f"{heading}:", *(f"  {line}" for line in said)]
    lines += _opened(found.proof)
    for other in found.others:
        for heading, said in (
            ("Geometry", _geometry(other)),
            ("Messages and challenges", _transcript(other.messages)),
            ("Soundness", _ledger(other)),
        ):
            lines += [f"{heading} of {other.file}:", *(f"  {line}" for line in said)]
        lines += _opened(other)
    for heading, said in found.verdict.sections() if found.verdict else []:
        lines += [f"{heading}:", *(f"  - {line}" for line in said)]
    return lines


def _geometry(found: ProofView) -> list[str]:
    return [f"{name}: {text}" for name, text in found.geometry.items()]


def _ledger(found: ProofView) -> list[str]:
    """The soundness terms, the least first."""
    terms = () if found.security is None else found.security.terms
    return [f"{term.bits:7.1f} bits  {term.label}" for term in sorted(terms, key=lambda term: term.bits)]


def _opened(found: ProofView) -> list[str]:
    return [
        f"Opened at {name}: {len(positions)} positions, {positions[:8]} ..."
        for name, positions in found.positions.items()
    ]


def _failure(failure: Failure) -> list[str]:
    lines = [f"  {failure.meaning}"] if failure.meaning else []
    lines += ["First failing check:", f"  {failure.path or failure.kind}: {failure.message}"]
    lines += [f"  expected  {failure.expected}"] if failure.expected else []
    lines += [f"  got       {failure.got}"] if failure.got else []
    return lines + ([f"  hint: {failure.hint}"] if failure.hint else [])


def _transcript(messages: Sequence[Message]) -> list[str]:
    """One line per label within a step of the protocol, in order; rounds are counted, not repeated."""
    lines = []
    for step, items in groupby(messages, key=lambda message: message.label.rpartition(".")[0]):
        found: dict[tuple[str, str], list[int]] = {}
        for message in items:
            found.setdefault((message.kind, message.label), []).append(message.size)
        rounds = max(len(sizes) for sizes in found.values())
        if rounds > 1:
            lines.append(f"{step}: {rounds} rounds")
        for (kind, label), sizes in found.items():
            count = f"{len(sizes)} x " if len(sizes) > 1 else ""
            lines.append(f"{'->' if kind == 'absorb' else '<-'} {label:<28} {count}{sizes[0]} bytes")
    return lines
