"""The checkpoint side of `huref compare` (verifier/commands/compare.py calls it by name): what fingerprints lack."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.profiles import Profile, get_profile
from huref.common.errors import UsageError
from huref.common.files.fingerprint_file import FingerprintFile
from huref.common.output import note
from huref.prover.checkpoint.families import Model, open_model
from huref.prover.commands.fingerprint import derive_file
from huref.prover.commands.first_use import announced
from huref.prover.commands.located import located
from huref.prover.commands.progress import step_bar
from huref.prover.compare.layers import MATCH, Side, compare_layers
from huref.prover.compare.shared_tokens import shared_tokens
from huref.prover.compare.similarity import invariant_similarity, parameter_similarity


def complete(
    paths: Sequence[str],
    files: Sequence[FingerprintFile | None],
    profile: str | None,
) -> tuple[tuple[FingerprintFile, FingerprintFile], dict[str, Any]]:
    """Both fingerprints, made from the checkpoint where there is none yet, and ICS and PCS of two checkpoints.

    A checkpoint's fingerprint is made as the other side's was, unless `profile` says otherwise.
    """
    pattern = next((file for file in files if file is not None), None)
    chosen = get_profile(profile or (pattern.profile if pattern else "hardened"))
    sizes = (pattern.k, pattern.p) if pattern and not chosen.whole else (None, None)
    challenge = bytes.fromhex((pattern.challenge if pattern else None) or "")
    with ExitStack() as stack:
        places = [
            stack.enter_context(located(path))
            for path, file in zip(paths, files, strict=True)
            if file is None
        ]
        models = [open_model(place) for place in places]
        derived = iter([derive_file(model, chosen, None, *sizes, challenge=challenge) for model in models])
        first, second = (file or next(derived) for file in files)
        if len(models) < 2:
            return (first, second), {}
        try:
            shared = shared_tokens(models[0], models[1])
        except UsageError as error:
            note(f"note: layers are not compared: {error.message}")
            shared = None
        rows = [np.array(file.token_ids, dtype=np.int64) for file in (first, second)]
        if chosen.whole:
            rows = [side.ids for side in shared[:2]] if shared else []
        more = _similarity(models, rows, chosen)
        return (first, second), {**more, "layers": None if shared is None else _layers(models, *shared)}


def fingerprint_of(path: str, profile: str, k: int, p: int) -> FingerprintFile:
    """The public fingerprint of a checkpoint in a profile, with `k` tokens in `p` pools where it pins neither."""
    chosen = get_profile(profile)
    with located(path) as place:
        return derive_file(open_model(place), chosen, None, *((None, None) if chosen.whole else (k, p)))


def _layers(models: Sequence[Model], one: Side, other: Side, tokens: list[bytes]) -> dict[str, Any]:
    """Which layer of one model is which of the other, on tokens that both have."""
    first, second = models
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
    models: Sequence[Model], rows: Sequence[NDArray[np.int64]], profile: Profile
) -> dict[str, Any]:
    """ICS on these rows, nothing where there are none, and PCS."""
    pcs = parameter_similarity(models[0], models[1])
    if not rows:
        return {"ics": None, "ics_terms": {}, "pcs": pcs}
    sides = list(zip(models, rows, strict=True))
    with announced("load", "quantize"), step_bar("ICS", 6) as progress:
        terms = invariant_similarity(sides[0], sides[1], profile, progress)
    return {"ics": terms.overall, "ics_terms": terms.terms, "pcs": pcs}
