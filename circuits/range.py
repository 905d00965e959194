"""The statement that all committed entries are bytes: a program without sites (protocol §6.8).

It is about the root alone, so it is proven once per model id; every other statement on the root relies on it.
"""

from __future__ import annotations

from collections.abc import Sequence

from huref.circuits.argument.proof import PublicInputs
from huref.circuits.program.program import NO_OUTPUT, Program, Weight

NOTHING = PublicInputs({}, {}, ())
"""The public inputs of a range proof: there are none."""


def range_program(committed: Sequence[Weight]) -> Program:
    """Looks up every entry of the commitment, padding included, and computes nothing."""
    return Program((), (), NO_OUTPUT, stack=tuple(committed))
