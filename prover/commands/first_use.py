"""Says on stderr that kernels are being compiled, when they are."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import Any

from huref.common.output import is_quiet

_SECONDS = {"load": 2, "quantize": 13, "commit": 7, "witness": 3, "prove": 39}
"""CPU time of compiling the kernels of a stage, together as measured in docs/kernels.md, on a busy machine."""
_KERNELS_OF = {"range": "prove", "calibrate": "quantize"}
"""Stages of a command that run another stage's kernels, or (calibrate) none, behind that stage."""


def announced(*stages: str) -> AbstractContextManager[Any]:
    """For a command of these stages: one line when its first kernel is compiled, and a second process to help."""
    from tqdm import tqdm

    from huref.prover.kernels import cache, first_use

    compiled = tuple(dict.fromkeys(_KERNELS_OF.get(stage, stage) for stage in stages))
    seconds = sum(_SECONDS[stage] for stage in compiled)  # an unknown stage fails here, on every run

    def say() -> None:
        often = (
            "once per installation"
            if cache.lasting()
            else "every time: no folder to keep them in can be written"
        )
        text = f"compiling kernels, {often} (up to about {seconds} s of CPU time)"
        if not is_quiet():
            tqdm.write(text, file=sys.stderr)  # leaves a progress bar whole

    return first_use.announced(compiled, say)
