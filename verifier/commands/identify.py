"""`huref identify`: which known model a checkpoint, a bundle or a fingerprint shares its base with."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from huref.common.errors import UsageError
from huref.common.options import JsonOption
from huref.common.output import drawing, exit_on_error, note, result, result_json, shows_pictures
from huref.verifier.commands.registry import LogKeyOption

if TYPE_CHECKING:
    from huref.common.files.fingerprint_file import FingerprintFile
    from huref.verifier.registry.search import Hit, Index

SCHEMA = "huref-identified/1"
_DRAWN = 3
"""Entries whose pictures are shown."""
_CHECKPOINTS = "huref.prover.commands.compare"
"""What makes fingerprints of checkpoints; found by name, since the verifier's side imports nothing of the prover's."""


def register(app: typer.Typer) -> None:
    """Add `huref identify` to the root command."""
    app.command("identify")(identify)


def identify(
    model: Annotated[
        str, typer.Argument(help="Bundle (verified first), fingerprint.json, or a checkpoint (hf:// too).")
    ],
    registry: Annotated[str, typer.Option(metavar="FILE|URL", help="The registry to look in.")],
    log_key: LogKeyOption = None,
    count: Annotated[
        int, typer.Option("-n", "--count", min=1, max=100, help="How many entries to show.")
    ] = 5,
    picture: Annotated[
        Path | None, typer.Option(help="PNG to write: the model's picture beside those of the nearest three.")
    ] = None,
    show: Annotated[
        bool | None,
        typer.Option(
            "--show/--no-show",
            help="Show these pictures in the terminal; by default if it is one.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the most similar entries of a registry. Exit code 0, whether or not one has the same base."""
    with exit_on_error(as_json=as_json):
        from huref.verifier.commands.registries import opened
        from huref.verifier.registry.entry import kind_of
        from huref.verifier.registry.search import Index

        index = Index()
        with opened(registry, log_key) as store:
            index.refresh(store)
            file, kind, model_id = _fingerprint(model, registry, index)
            hits = index.nearest(file.v, kind_of(file.profile, file.k, file.p), count)
            size = store.checkpoint().size
    tokens = _token_digest(file)
    lines = [_line(hit, tokens) for hit in hits]
    shown = not as_json and (shows_pictures() if show is None else show)
    if hits and (picture is not None or shown):
        with exit_on_error(as_json=as_json):
            _draw(model, file, model_id, hits[:_DRAWN], picture, shown)
    if as_json:
        result_json({"schema": SCHEMA, "model": model, "kind": kind, "entries": size, "nearest": lines})
        return
    if not hits:
        result(f"none of the {size} entries is of this kind: {file.profile}, K = {file.k}, P = {file.p}")
    for line in lines:
        result(
            f"{line['cosine']:+.4f}  {line['verdict'] or 'no verdict':<10}  {line['name']}  model id {line['model_id']}"
        )
    if file.e is None and any(not line["same_tokens"] for line in lines):
        note("warning: some were read at other token ids, where one model can have unrelated vectors")


def _draw(
    model: str,
    file: FingerprintFile,
    model_id: str | None,
    hits: Sequence[Hit],
    out: Path | None,
    shown: bool,
) -> None:
    """The embedded generator's pictures of the model and of entries; names are the registry's word."""
    from huref.circuits.statement import fingerprint_name
    from huref.common.files.atomic import write_file
    from huref.common.image.generator import render
    from huref.common.image.png import png_bytes
    from huref.common.words import ALONE, word_fingerprint
    from huref.verifier.report.picture import captioned, in_terminal

    pictures = [render(v) for v in (file.v, *(hit.v for hit in hits))]
    words = word_fingerprint(fingerprint_name(file, file), model_id)
    words += "" if model_id else f"\n({ALONE})"
    names = [Path(model).name, *(hit.entry.name for hit in hits)]
    said = [word_fingerprint(hit.entry.fingerprint, hit.entry.model_id) for hit in hits]
    found = [f"{hit.similarity.cosine:+.4f} {hit.verdict or 'no verdict'}" for hit in hits]
    under = [words, *(f"{six}\n{line}" for six, line in zip(said, found, strict=True))]
    if out is not None:
        write_file(out, png_bytes(captioned(pictures, names, [], under)))
    if shown:
        drawing(in_terminal(pictures, names, [], under))


def _fingerprint(model: str, place: str, index: Index) -> tuple[FingerprintFile, str, str | None]:
    """The model's fingerprint, what kind of thing it came from, and its model id if it is a bundle."""
    from huref.verifier.published import is_published, load_vector

    if is_published(model):
        found = load_vector(model)
        if found.file.challenge is not None:
            raise UsageError(f"{model} answers a challenge, and a registry holds public fingerprints")
        return found.file, found.kind, None if found.verdict is None else found.verdict.model_id
    if not len(index):
        raise UsageError(f"{place}: the registry is empty, so nothing says how to make a fingerprint")
    # made as the log's own entries say, not as a bundle that whoever serves the registry could have changed
    kind = max(index.kinds, key=lambda found: index.kinds[found])
    return importlib.import_module(_CHECKPOINTS).fingerprint_of(model, *kind), "checkpoint", None


def _token_digest(file: FingerprintFile) -> str:
    import hashlib

    from huref.common.files.canonical import canonical_json

    return hashlib.sha256(canonical_json(file.token_ids)).hexdigest()


def _line(hit: Hit, tokens: str) -> dict[str, Any]:
    return {
        "number": hit.number,
        "name": hit.entry.name,
        "model_id": hit.entry.model_id,
        "fingerprint": hit.entry.fingerprint,
        "digest": hit.entry.digest,
        "cosine": hit.similarity.cosine,
        "verdict": hit.verdict,
        "same_tokens": hit.entry.token_ids == tokens,
    }
