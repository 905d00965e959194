"""The checkpoint side of `huref compare` (verifier/commands/compare.py calls it by name): what fingerprints lack."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from huref.circuits.fingerprint.profiles import Profile, get_profile
from huref.common.errors import UsageError
from huref.common.files.fingerprint_file import FingerprintFile
from huref.common.output import note
from huref.prover.checkpoint.families import Model, open_model
from huref.prover.commands.fingerprint import derive_file
from huref.prover.commands.first_use import announced
from huref.prover.commands.located import located
from huref.prover.commands.progress import step_bar
from huref.prover.compare.layers import MATCH, compare_layers
from huref.prover.compare.shared_tokens import shared_tokens
from huref.prover.compare.similarity import invariant_similarity, parameter_similarity


def complete(
    paths: Sequence[str],
    files: Sequence[FingerprintFile | None],
    profile: str | None,
    encoder: str | None,
) -> tuple[tuple[FingerprintFile, FingerprintFile], dict[str, Any]]:
    """Both fingerprints, made from the checkpoint where there is none yet, and ICS and PCS of two checkpoints.

    A checkpoint's fingerprint is made as the other side's was, unless `profile` or `encoder` says otherwise.
    """
    pattern = next((file for file in files if file is not None), None)
    chosen = get_profile(profile or (pattern.profile if pattern else "hardened"))
    encoder = encoder or (pattern.encoder if pattern else None)
    sizes = (pattern.k, pattern.p) if pattern else (None, None)
    with ExitStack() as stack:
        places = [
            stack.enter_context(located(path))
            for path, file in zip(paths, files, strict=True)
            if file is None
        ]
        models = [open_model(place) for place in places]
        derived = iter([derive_file(model, chosen, encoder, None, *sizes) for model in models])
        first, second = (file or next(derived) for file in files)
        if len(models) < 2:
            return (first, second), {}
        more = _similarity((models[0], first), (models[1], second), chosen)
        return (first, second), {**more, "layers": _layers(*models)}


def _layers(first: Model, second: Model) -> dict[str, Any] | None:
    """Which layer of one model is which of the other, on tokens that both have; None where they share too few."""
    try:
        one, other, tokens = shared_tokens(first, second)
    except UsageError as error:
        note(f"note: layers are not compared: {error.message}")
        return None
    with announced("load"), step_bar("layers", first.layers + second.layers) as progress:
        found = compare_layers(one, other, tokens, progress)
    best = {"first": found.matches(), "second": found.backwards()}
    return {
        "tokens": len(tokens),
        "strata": [round(x, 4) for x in found.strata],
        "matches": {
            side: [{"layer": n, "cosine": round(c, 4), "matched": c >= MATCH} for n, c in rows]
            for side, rows in best.items()
        },
        "matrix": [[round(x, 4) for x in row] for row in found.matrix.tolist()],
    }


def _similarity(
    first: tuple[Model, FingerprintFile], second: tuple[Model, FingerprintFile], profile: Profile
) -> dict[str, Any]:
    sides = [(model, np.array(file.token_ids, dtype=np.int64)) for model, file in (first, second)]
    with announced("load", "quantize"), step_bar("ICS", 6) as progress:
        terms = invariant_similarity(sides[0], sides[1], profile, progress)
    return {
        "ics": terms.overall,
        "ics_terms": terms.terms,
        "pcs": parameter_similarity(first[0], second[0]),
    }
