"""`huref compare`: two models by their fingerprints, which the base install compares, or from their checkpoints."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from huref.common.errors import ExitCode, InputOutputError, UsageError
from huref.common.options import JsonOption
from huref.common.output import drawing, exit_on_error, note, result, result_json, shows_pictures
from huref.common.words import ALONE

if TYPE_CHECKING:
    from huref.verifier.compare import FingerprintComparison

SCHEMA = "huref-comparison/1"
_CHECKPOINT = {
    "kind": "checkpoint",
    "proven": False,
    "fingerprint": None,
    "model_id": None,
    "label": "a checkpoint, its fingerprint computed here",
}
_CHECKPOINTS = "huref.prover.commands.compare"
"""What makes fingerprints of checkpoints; found by name, since the verifier's side imports nothing of the prover's."""


def register(app: typer.Typer) -> None:
    """Add `huref compare` to the root command."""
    app.command("compare")(compare)


def compare(
    first: Annotated[
        str, typer.Argument(help="Bundle (verified first), fingerprint.json, or a checkpoint (hf:// too).")
    ],
    second: Annotated[str, typer.Argument(help="The same, for the other model.")],
    profile: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="hardened or paper; taken from a fingerprint if one is given."),
    ] = None,
    challenge: Annotated[
        str | None,
        typer.Option(
            metavar="HEX", help="The challenge that you drew after both models were committed, in hex."
        ),
    ] = None,
    beacon: Annotated[
        str | None, typer.Option(metavar="HEX", help="The beacon that went into the joint challenge, in hex.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="PNG to write: both pictures side by side, with the numbers.")
    ] = None,
    generator: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Name or digest of the generator that draws both; default: embedded."
        ),
    ] = None,
    layers: Annotated[
        Path | None,
        typer.Option(
            help="PNG to write for two checkpoints: how alike each layer of one is to each of the other."
        ),
    ] = None,
    show: Annotated[
        bool | None, typer.Option(help="Show both pictures in the terminal; by default if it is one.")
    ] = None,
    expect_same_base: Annotated[
        bool, typer.Option("--expect-same-base", help="Exit code 1 unless the verdict is: same base.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare two models: pictures, cosine of fingerprints, and for two checkpoints also ICS per term and PCS."""
    with exit_on_error(as_json=as_json):
        for out in (picture, layers):
            if out is not None:
                from huref.common.files.atomic import check_writable

                check_writable(out.parent)
        found, sides, more = _compare((first, second), profile, challenge, beacon)
        both = {
            "schema": SCHEMA,
            "first": sides[0],
            "second": sides[1],
            "words": found.words([side["model_id"] for side in sides]),
        }
        cautions = {"warnings": found.warnings([side["kind"] for side in sides])}
        report = {**both, **found.to_dict(), **cautions, **more}
        if expect_same_base and report["verdict"] is None:
            raise UsageError(_no_verdict(report))
        shown = not as_json and (shows_pictures() if show is None else show)
        if picture is not None or shown:
            _draw(found, report, (first, second), generator, picture, shown)
        if layers is not None:
            _draw_layers(report, layers)
        if as_json:
            result_json(report)
            note(*(f"warning: {line}" for line in report["warnings"]))
        else:
            _print_report(report)
    if expect_same_base and report["verdict"] != "same base":
        note(f"error: the verdict is {report['verdict']}, not same base")
        raise SystemExit(ExitCode.REJECTED)


def _compare(
    paths: Sequence[str], profile: str | None, challenge: str | None, beacon: str | None
) -> tuple[FingerprintComparison, list[dict[str, Any]], dict[str, Any]]:
    """The comparison, what either side is, and what only two checkpoints tell."""
    from huref.circuits.challenge import parse_beacon, parse_challenge
    from huref.common.files.address import is_checkpoint_address
    from huref.verifier.compare import compare_fingerprints
    from huref.verifier.published import is_published, load_vector

    expected, drawn = parse_challenge(challenge), parse_beacon(beacon)
    for path in paths:
        if not (is_published(path) or is_checkpoint_address(path) or os.path.exists(path)):
            raise InputOutputError(f"{path}: no such file or folder")
    published = [load_vector(path) if is_published(path) else None for path in paths]
    sides = [_CHECKPOINT if one is None else one.to_dict() for one in published]
    files = [None if one is None else one.file for one in published]
    more: dict[str, Any] = {}
    if None in files:
        checkpoints = importlib.import_module(_CHECKPOINTS)
        files, more = checkpoints.complete(paths, files, profile)
    first, second = (file for file in files if file is not None)
    ids: tuple[Any, Any] = (sides[0]["model_id"], sides[1]["model_id"])
    found = compare_fingerprints(first, second, profile, ids=ids, expected=expected, beacon=drawn)
    return found, sides, more


def _no_verdict(report: dict[str, Any]) -> str:
    """Why there is none."""
    if report["vector_terms"]:
        return report["warnings"][0] if report["warnings"] else "the vectors cannot be compared"
    return f"the {report['profile']} profile does not tell whether two models have the same base"


def _draw(
    found: FingerprintComparison,
    report: dict[str, Any],
    paths: Sequence[str],
    generator: str | None,
    out: Path | None,
    shown: bool,
) -> None:
    """Draw both vectors with one generator, whatever pictures their bundles hold."""
    from huref.common.files.atomic import write_file
    from huref.common.image.generator import render
    from huref.common.image.png import png_bytes
    from huref.common.image.registry import by_name, embedded
    from huref.verifier.report.picture import captioned, in_terminal

    chosen = by_name(generator) if generator else embedded()
    pictures = [render(file.v, chosen) for file in (found.first, found.second)]
    names = [_name(path, report[side]) for path, side in zip(paths, ("first", "second"), strict=True)]
    words = [said if model_id else f"{said}\n({ALONE})" for model_id, said in _words(report)]
    foreign = []
    if chosen.digest != embedded().digest:
        foreign = [f"drawn by the foreign generator {chosen.weights.name}"]
    if out is not None:
        write_file(out, png_bytes(captioned(pictures, names, [*_summary(report), *foreign], words)))
    if shown:
        drawing(in_terminal(pictures, names, foreign, words))


def _draw_layers(report: dict[str, Any], out: Path) -> None:
    """The matrix of cosines, a square a pair, the first model's layers from top to bottom."""
    from huref.common.files.atomic import write_file
    from huref.common.image.png import png_bytes
    from huref.verifier.report.picture import matrix_picture

    if not report.get("layers"):
        raise UsageError("--layers needs two checkpoints that share tokens")
    write_file(out, png_bytes(matrix_picture(report["layers"]["matrix"])))


def _print_layers(found: dict[str, Any]) -> None:
    """Best match of every layer, both ways; runs of layers that follow one another take one line."""
    result(f"layers, in the clear on {found['tokens']} shared tokens (best match, cosine):")
    for side, other in (("first", "second"), ("second", "first")):
        result(f"  {side} -> {other}")
        for start, stop, target, low in _runs(found["matches"][side]):
            span = f"{start}" if start == stop else f"{start}-{stop}"
            to = "no counterpart" if target is None else f"{target}"
            if target is not None and stop > start:
                to = f"{target}-{target + stop - start}"
            result(f"    {span:<9} {to:<15} {low:+.3f}")
    strata = " ".join(f"{x:+.2f}" for x in found["strata"])
    result(f"  embeddings, from common to rare tokens: {strata}")


def _runs(matches: list[dict[str, Any]]) -> list[tuple[int, int, int | None, float]]:
    """(first, last, layer that the first matches or None, smallest cosine) of every run."""
    found: list[tuple[int, int, int | None, float]] = []
    for n, match in enumerate(matches):
        target = match["layer"] if match["matched"] else None
        if found:
            start, _, begin, low = found[-1]
            follows = target is None if begin is None else target == begin + n - start
            if follows:
                found[-1] = (start, n, begin, min(low, match["cosine"]))
                continue
        found.append((n, n, target, match["cosine"]))
    return found


def _name(path: str, side: dict[str, Any]) -> tuple[str, str]:
    """What its file is called, and the mark that goes with it."""
    return Path(path).resolve().name, " (unproven)" if side["kind"] == "fingerprint" else ""


def _summary(report: dict[str, Any]) -> list[str]:
    """Cosine and verdict, and what tables they are under."""
    verdict = f"  ({report['verdict']})" if report["verdict"] else ""
    tables = {
        "public": "public, so no evidence: vectors can be made up",
        "joint challenge": "drawn from the joint challenge of both model ids",
        "your challenge": "drawn from the challenge that you named",
        "unknown challenge": "drawn from a challenge that you did not name",
        "different challenges": "others on either side, so the cosine says nothing",
    }[report["case"]]
    if report["evidence"]:
        tables += ": evidence of a model on either side"
    return [
        f"cosine of the fingerprints  {report['cosine']:+.4f}{verdict}",
        f"tables                      {tables}",
    ]


def _words(report: dict[str, Any]) -> list[tuple[str | None, str]]:
    """Model id and words of both sides."""
    ids = (report[side]["model_id"] for side in ("first", "second"))
    return list(zip(ids, report["words"], strict=True))


def _print_report(report: dict[str, Any]) -> None:
    for side in ("first", "second"):
        result(f"{side:<6}  {report[side]['label']}")
    result(
        *_summary(report),
        *(f"{'words' if model_id else ALONE:<28}{said}" for model_id, said in _words(report)),
    )
    if not report["verdict"]:
        note(f"hint: {_no_verdict(report)}")
    for name, value in report["vector_terms"].items():
        result(f"  {name:<20} {value:+.4f}")
    if "ics" in report:
        ics = report["ics"]
        result("ICS of the terms            " + ("too few shared tokens" if ics is None else f"{ics:+.4f}"))
        for name, value in report["ics_terms"].items():
            result(f"  {name:<20} {value:+.4f}")
        if report.get("layers"):
            _print_layers(report["layers"])
        pcs = report["pcs"]
        result("PCS of the parameters       " + ("shapes differ" if pcs is None else f"{pcs:+.4f}"))
    result(*(f"WARNING: {line}" for line in report["warnings"]))
