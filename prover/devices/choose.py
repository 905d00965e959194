"""The device that `--device` names."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from huref.common.errors import UsageError
from huref.prover.devices.compiled import COMPILED
from huref.prover.devices.interface import Device


def choose(name: str) -> Device:
    """`auto`: CUDA if there is torch and it finds a GPU, else as `cpu`. `cpu`: the compiled kernels. `torch-cpu`:
    tensors on the CPU, slow, to test what a GPU would run. Otherwise a torch device such as `cuda` or `cuda:1`.

    Raises:
        UsageError: there is no such device here. ImportError: it needs torch, which is not installed.
    """
    if name == "cpu" or (name == "auto" and not _has_driver()):
        return COMPILED
    try:
        import torch
    except (ImportError, OSError):  # OSError: its libraries cannot be loaded
        if name == "auto":
            return COMPILED
        raise

    from huref.prover.devices.tensors import CPU_WORKING_SET, TensorDevice

    if name == "torch-cpu":
        return TensorDevice("cpu", working_set=CPU_WORKING_SET)
    if name == "auto":
        if not torch.cuda.is_available():
            return COMPILED
        name = "cuda"
    try:
        torch.ones(2, dtype=torch.float64, device=name).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError):
        raise UsageError(f"no device {name!r} here", hint="use --device cpu") from None
    return TensorDevice(name)


def _has_driver() -> bool:
    """Whether there can be a GPU at all, as far as one can tell without importing torch, which takes seconds."""
    if sys.platform != "linux" or Path("/dev/kfd").exists():  # the latter is AMD's
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
