"""`huref card`: the model card's section about a bundle, and a picture for links to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from huref.common.errors import UsageError
from huref.common.output import exit_on_error, note, result

if TYPE_CHECKING:
    from huref.common.files.bundle import Bundle
    from huref.verifier.publish.card import Base, Relation


def register(app: typer.Typer) -> None:
    """Add `huref card` to the root command."""
    app.command("card")(card)


def card(
    bundle: Annotated[
        str, typer.Argument(help="Bundle: a folder, a zip of it, or the https address of a zip.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Markdown file to write; default: standard output.")
    ] = None,
    published_as: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What readers will give huref verify; default: the bundle's name."),
    ] = None,
    picture: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Where the card finds fingerprint.png; default: in the bundle."),
    ] = None,
    base_model: Annotated[
        str | None, typer.Option(metavar="OWNER/MODEL", help="Base model to name, with --base as evidence.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="PATH", help="The base model's bundle or fingerprint.json.")
    ] = None,
    relation: Annotated[
        str, typer.Option(metavar="NAME", help="finetune, quantized, merge or adapter.")
    ] = "finetune",
    image: Annotated[Path | None, typer.Option(help="Also write a 1200 x 630 PNG for links here.")] = None,
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Title on that picture; default: the bundle's name.")
    ] = None,
) -> None:
    """Verify a bundle and write a model card's section: evidence in YAML, picture, how to check, what is not proven."""
    with exit_on_error():
        from huref.common.files.atomic import write_file
        from huref.common.files.bundle import PICTURE, read_bundle
        from huref.common.image.png import png_bytes, png_pixels
        from huref.verifier.publish.card import check_base, section, share_image
        from huref.verifier.verification import verify

        if (base_model is None) != (base is None):
            raise UsageError("--base-model and --base go together")
        known = check_base(base_model, relation)
        read = read_bundle(bundle)
        verdict = verify(read)
        if verdict.picture.status != "matches":
            raise UsageError(
                f"the picture cannot be shown: {verdict.picture.message}", hint=verdict.picture.hint
            )
        name = published_as or Path(bundle.rstrip("/")).name
        evidence = None if base_model is None or base is None else _base(read, base_model, base, known)
        text = section(verdict, name, picture or f"{name}/{PICTURE}", evidence)
        if image is not None:
            drawn = share_image(png_pixels(read.files[PICTURE]), title or name, verdict)
            write_file(image, png_bytes(drawn))
            note(f"picture for links written to {image}")
        if out is None:
            result(*text.splitlines())
        else:
            write_file(out, text.encode())
            note(f"section written to {out}")


def _base(read: Bundle, name: str, base: str, relation: Relation) -> Base:
    from huref.common.files.fingerprint_file import FILE_NAME, parse_fingerprint
    from huref.verifier.compare import compare_fingerprints
    from huref.verifier.publish.card import Base
    from huref.verifier.published import load_vector

    own = parse_fingerprint(read.files[FILE_NAME], FILE_NAME)
    other = load_vector(base)
    found = compare_fingerprints(own, other.file)
    return Base(name, relation, found, other.verdict is not None)
