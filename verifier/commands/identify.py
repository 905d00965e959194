"""`huref identify`: which known model a checkpoint, a bundle or a fingerprint shares its base with."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from huref.common.errors import UsageError
from huref.common.options import JsonOption
from huref.common.output import exit_on_error, note, result, result_json
from huref.verifier.commands.registry import LogKeyOption

if TYPE_CHECKING:
    from huref.common.files.fingerprint_file import FingerprintFile
    from huref.verifier.registry.search import Hit, Index

SCHEMA = "huref-identified/1"
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
            file, kind = _fingerprint(model, registry, index)
            hits = index.nearest(file.v, kind_of(file.profile, file.k, file.p), count)
            size = store.checkpoint().size
    tokens = _token_digest(file)
    lines = [_line(hit, tokens) for hit in hits]
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


def _fingerprint(model: str, place: str, index: Index) -> tuple[FingerprintFile, str]:
    """The model's fingerprint, and what kind of thing it came from."""
    from huref.verifier.published import is_published, load_vector

    if is_published(model):
        found = load_vector(model)
        if found.file.challenge is not None:
            raise UsageError(f"{model} answers a challenge, and a registry holds public fingerprints")
        return found.file, found.kind
    if not len(index):
        raise UsageError(f"{place}: the registry is empty, so nothing says how to make a fingerprint")
    # made as the log's own entries say, not as a bundle that whoever serves the registry could have changed
    kind = max(index.kinds, key=lambda found: index.kinds[found])
    return importlib.import_module(_CHECKPOINTS).fingerprint_of(model, *kind), "checkpoint"


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
