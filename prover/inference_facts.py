"""The facts of a model's inference program, found when it is committed; a model without one is committed without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.profiles import Profile
from huref.circuits.inference.facts import Facts
from huref.common.errors import ProverError, Unsupported
from huref.prover.checkpoint.families import Model
from huref.prover.progress import Progress
from huref.prover.run.inference.units import Calibration, plan
from huref.prover.vocabulary.tokens import is_tokenizer

NO_PROGRAM = "no proofs of inference"


def plan_inference(
    model: Model, profile: Profile, tokens: Path | None, wanted: bool | None, progress: Progress
) -> Calibration | None:
    """What is needed to find facts later; None where there is no inference program to be.

    `tokens` is what `--tokens` names; `wanted`: None takes a program where one is known, and says why where not.

    Raises:
        Unsupported: a program is wanted, but none is known. Malformed: the config or the tokenizer cannot be read.
    """
    if wanted is False or (wanted is None and not profile.whole):
        return None
    try:
        return plan(model, profile, tokens if tokens is not None and is_tokenizer(tokens) else None)
    except Unsupported as error:
        if wanted:
            raise
        progress.note(f"{NO_PROGRAM}: {error.message}")
        return None


def find_inference(
    calibration: Calibration | None,
    weights: Mapping[str, NDArray[np.int8]],
    wanted: bool | None,
    progress: Progress,
) -> Facts | None:
    """Calibrate the committed integers.

    Raises:
        ProverError: a program is wanted, but the model's values have no units.
    """
    if calibration is None:
        return None
    try:
        with progress.stage("calibrate") as step:
            return calibration.facts(weights, step)
    except ProverError as error:
        if wanted:
            raise
        progress.note(f"{NO_PROGRAM}: {error.message}")
        return None
