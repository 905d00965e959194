"""`huref fingerprint` and `huref compare`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from huref.common.errors import InputOutputError, UsageError
from huref.common.output import exit_on_error, note, result, result_json
from huref.prover.commands.commit import DeviceOption

if TYPE_CHECKING:
    from huref.circuits.fingerprint.profiles import Profile
    from huref.common.files.fingerprint_file import FingerprintFile
    from huref.prover.checkpoint.families import Model

PICTURE = "picture.png"

_STEPS = 13 + 20
"""Tensors and sites of a program without convolutions; the bar adapts when there are more."""


def register(app: typer.Typer) -> None:
    """Add the two commands to the root command."""
    app.command("fingerprint")(fingerprint)
    app.command("compare")(compare)


@contextmanager
def _progress_bar(title: str, steps: int) -> Iterator[Callable[[str], None]]:
    """A tqdm bar on stderr; the yielded function advances it and shows what was done."""
    from tqdm import tqdm

    with tqdm(total=steps, desc=title, unit="step", leave=False) as bar:

        def advance(name: str) -> None:
            if bar.n >= (bar.total or 0):
                bar.total = bar.n + 1
            bar.set_postfix_str(name, refresh=False)
            bar.update()

        yield advance


def fingerprint(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder or GGUF file.")],
    profile: Annotated[str, typer.Option(help="hardened or paper.")] = "hardened",
    encoder: Annotated[str | None, typer.Option(help="sketch, cnn (hardened) or meanpool (paper).")] = None,
    tokens: Annotated[
        Path | None, typer.Option(help="Token ids, one a line, most frequent first (see huref tokens).")
    ] = None,
    k: Annotated[int | None, typer.Option("--k", help="Number of rarest tokens (4096).")] = None,
    p: Annotated[int | None, typer.Option("--p", help="Number of token blocks (256).")] = None,
    out: Annotated[Path, typer.Option(help="Folder for fingerprint.json and picture.png.")] = Path("."),
    device: DeviceOption = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the fingerprint as one JSON object.")
    ] = False,
) -> None:
    """Compute a checkpoint's fingerprint (without a proof); write DIR/fingerprint.json and DIR/picture.png."""
    from huref.circuits.fingerprint.profiles import get_profile
    from huref.common.files.atomic import write_file
    from huref.common.files.fingerprint_file import write_fingerprint
    from huref.common.image.generator import render
    from huref.common.image.png import png_bytes
    from huref.prover.checkpoint.families import open_model

    with exit_on_error(as_json=as_json):
        chosen = get_profile(profile)
        found = _derive(open_model(checkpoint), chosen, encoder, tokens, k, p, device)
        file = write_fingerprint(out, found)
        write_file(out / PICTURE, png_bytes(render(found.v)))
        if as_json:
            result_json(found.model_dump())
            return
        closeness = "" if found.fidelity.v is None else f", cosine with floating point {found.fidelity.v:.5f}"
        result(f"{file}: {found.profile}, {found.encoder}, K={found.k}, P={found.p}{closeness}")
        result(f"{out / PICTURE}: {_words(found)}")


def _words(file: FingerprintFile) -> str:
    from huref.circuits.statement import fingerprint_id
    from huref.common.words import word_fingerprint

    return word_fingerprint(fingerprint_id(file.profile, file.encoder, file.k, file.v))


def _derive(
    model: Model,
    profile: Profile,
    encoder: str | None,
    tokens: Path | None,
    k: int | None,
    p: int | None,
    device: str = "cpu",
) -> FingerprintFile:
    from huref.prover.devices.choose import choose
    from huref.prover.run.fingerprint import derive

    executor = choose(device).executor
    with _progress_bar("fingerprint", _STEPS) as progress:
        derivation = derive(
            model, profile, encoder, tokens=tokens, k=k, p=p, device=executor, progress=progress
        )
    return derivation.to_file()


def compare(
    first: Annotated[Path, typer.Argument(help="Checkpoint, fingerprint.json, or a folder with one.")],
    second: Annotated[Path, typer.Argument(help="The same, for the other model.")],
    profile: Annotated[
        str | None, typer.Option(help="hardened or paper; taken from a fingerprint if one is given.")
    ] = None,
    encoder: Annotated[str | None, typer.Option(help="sketch, cnn or meanpool.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="PNG to write: both pictures side by side, with the numbers.")
    ] = None,
    generator: Annotated[
        str | None, typer.Option(help="Name or digest of the generator that draws both; default: embedded.")
    ] = None,
    show: Annotated[
        bool | None, typer.Option(help="Show both pictures in the terminal; by default if it is one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two models: pictures, cosine of fingerprints, and for two checkpoints also ICS per term and PCS."""
    with exit_on_error(as_json=as_json):
        report, vectors = _compare(first, second, profile, encoder)
        shown = not as_json and (sys.stdout.isatty() if show is None else show)
        if picture is not None or shown:
            _draw(report, vectors, (first, second), generator, picture, shown)
        if as_json:
            result_json(report)
        else:
            _print_report(report)


def _draw(
    report: dict[str, Any],
    vectors: Sequence[list[int]],
    paths: Sequence[Path],
    generator: str | None,
    out: Path | None,
    shown: bool,
) -> None:
    """Draw both vectors with one generator, whatever pictures their bundles hold."""
    from huref.common.image.generator import render
    from huref.common.image.png import png_bytes
    from huref.common.image.registry import by_name, embedded
    from huref.prover.compare.picture import captioned, in_terminal

    chosen = by_name(generator) if generator else embedded()
    pictures = [render(v, chosen) for v in vectors]
    names = [path.resolve().name for path in paths]
    lines = _summary(report)
    if out is not None:
        temporary = out.with_name(out.name + ".part")
        temporary.write_bytes(png_bytes(captioned(pictures, names, lines, report["words"])))
        temporary.replace(out)
    if shown:
        result(in_terminal(pictures, names, [], report["words"]))


def _compare(
    first: Path, second: Path, profile: str | None, encoder: str | None
) -> tuple[dict[str, Any], tuple[list[int], list[int]]]:
    """The report, and both vectors."""
    from huref.circuits.fingerprint.profiles import get_profile
    from huref.common.files.fingerprint_file import read_fingerprint
    from huref.prover.checkpoint.families import open_model
    from huref.prover.compare.similarity import compare_vectors

    paths = (first, second)
    for path in paths:
        if not path.exists():
            raise InputOutputError(f"{path}: no such file or folder")
    files = [read_fingerprint(path) if _is_fingerprint(path) else None for path in paths]
    given = [file for file in files if file is not None]
    pattern = given[0] if given else None
    if profile is None:
        profile = pattern.profile if pattern else "hardened"
    chosen = get_profile(profile)
    encoder = encoder or (pattern.encoder if pattern else None)
    sizes = (pattern.k, pattern.p) if pattern else (None, None)
    models = [open_model(path) for path, file in zip(paths, files, strict=True) if file is None]
    derived = iter([_derive(model, chosen, encoder, None, *sizes) for model in models])
    a, b = (file or next(derived) for file in files)
    for key in ("profile", "encoder", "k", "p"):
        if getattr(a, key) != getattr(b, key):
            raise UsageError(
                f"the two fingerprints differ in {key}: {getattr(a, key)} and {getattr(b, key)}",
                hint="make both with the same --profile, --encoder, --k and --p",
            )
    if a.profile != chosen.name or (encoder is not None and a.encoder != encoder):
        raise UsageError(f"the fingerprints are {a.profile}, {a.encoder}, not what was asked for")
    vector = compare_vectors(a.v, b.v, a.encoder)
    report: dict[str, Any] = {
        "profile": a.profile,
        "encoder": a.encoder,
        "cosine": vector.cosine,
        "false_match_probability": vector.false_match,
        "vector_terms": vector.terms,
        "verdict": vector.verdict if chosen.canonical else None,
        "words": [_words(a), _words(b)],
        "same_tokens": a.token_ids == b.token_ids,
        "token_sources": [a.token_source, b.token_source],
    }
    if len(models) == 2:
        report.update(_checkpoint_similarity((models[0], a), (models[1], b), chosen))
    return report, (a.v, b.v)


def _is_fingerprint(path: Path) -> bool:
    from huref.common.files.fingerprint_file import FILE_NAME

    if path.is_dir():
        return (path / FILE_NAME).is_file() and not (path / "config.json").exists()
    return path.suffix == ".json"


def _checkpoint_similarity(
    first: tuple[Model, FingerprintFile], second: tuple[Model, FingerprintFile], profile: Profile
) -> dict[str, Any]:
    import numpy as np

    from huref.prover.compare.similarity import invariant_similarity, parameter_similarity

    sides = [(model, np.array(file.token_ids, dtype=np.int64)) for model, file in (first, second)]
    with _progress_bar("ICS", 6) as progress:
        terms = invariant_similarity(sides[0], sides[1], profile, progress)
    return {
        "ics": terms.overall,
        "ics_terms": terms.terms,
        "pcs": parameter_similarity(first[0], second[0]),
    }


def _summary(report: dict[str, Any]) -> list[str]:
    """Cosine and verdict, and the chance of a false match where it is known."""
    verdict = f"  ({report['verdict']})" if report["verdict"] else ""
    lines = [f"cosine of the fingerprints  {report['cosine']:+.4f}{verdict}"]
    if verdict:
        lines.append(f"chance for unrelated models {report['false_match_probability']:.2e}")
    return lines


def _print_report(report: dict[str, Any]) -> None:
    for line in (*_summary(report), *(f"words                       {said}" for said in report["words"])):
        result(line)
    if not report["verdict"]:
        note("hint: the paper profile does not separate unrelated models well; read the hardened one")
    for name, value in report["vector_terms"].items():
        result(f"  {name:<20} {value:+.4f}")
    if "ics" in report:
        result(f"ICS of the terms            {report['ics']:+.4f}")
        for name, value in report["ics_terms"].items():
            result(f"  {name:<20} {value:+.4f}")
        pcs = report["pcs"]
        result("PCS of the parameters       " + ("shapes differ" if pcs is None else f"{pcs:+.4f}"))
    if not report["same_tokens"]:
        note("hint: the two models read different token ids, as models with different tokenizers do")
