"""What a device that runs out of memory is to the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from huref.common.errors import ProverError


@contextmanager
def memory_errors(device: str) -> Iterator[None]:
    """Too little memory on the torch device is one clear line. Raises ProverError."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise ProverError(f"the device {device!r} has too little memory", hint="use --device cpu") from None
