"""The fast executors: the same `Trace`, bit for bit, as circuits/program/evaluate.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from huref.circuits.program.evaluate import RunSite, Trace, Weights, run_sites
from huref.circuits.program.program import Program
from huref.prover.run.executor_compiled import CompiledMachine


def execute(
    program: Program,
    weights: Weights,
    shifts: Mapping[str, int] | None = None,
    *,
    device: str = "cpu",
    progress: Callable[[str], None] | None = None,
) -> Trace:
    """Run `program`; arguments, result and errors as `huref.circuits.program.evaluate.run`.

    `device` is a `huref.prover.devices.interface.Device.executor`: `cpu` for the compiled kernels, `torch-cpu` for
    torch on CPU tensors, otherwise a torch device such as `cuda`, which is here.
    """
    return run_sites(program, weights, shifts, _machine(weights, device), progress)


def _machine(weights: Weights, device: str) -> RunSite:
    if device == "cpu":
        return CompiledMachine(weights).run
    from huref.prover.run.executor_torch import TorchMachine  # takes seconds

    return TorchMachine(weights, "cpu" if device == "torch-cpu" else device).run
