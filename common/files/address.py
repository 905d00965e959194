"""Which texts are addresses, without loading what fetches them."""

from __future__ import annotations

import re

WEIGHTS = (".safetensors", ".gguf", ".onnx")
"""Endings of the names of weights files."""


def is_address(text: str) -> bool:
    """Whether this is an address rather than a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def is_checkpoint_address(text: str) -> bool:
    """Whether this can only be the address of a checkpoint: one of a model hub, or that of a weights file."""
    return text.startswith("hf://") or (is_address(text) and text.partition("?")[0].lower().endswith(WEIGHTS))
