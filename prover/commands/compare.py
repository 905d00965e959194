"""The checkpoint side of `huref compare` (verifier/commands/compare.py calls it by name): what fingerprints lack."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from huref.circuits.fingerprint.profiles import Profile, get_profile
from huref.common.files.fingerprint_file import FingerprintFile
from huref.prover.checkpoint.families import Model, open_model
from huref.prover.commands.fingerprint import derive_file
from huref.prover.commands.first_use import announced
from huref.prover.commands.located import located
from huref.prover.commands.progress import step_bar
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
        more = {} if len(models) < 2 else _similarity((models[0], first), (models[1], second), chosen)
    return (first, second), more


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
