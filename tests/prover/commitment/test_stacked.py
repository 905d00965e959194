"""The stack of quantized weights: its views are the tensors, and nothing is copied when it is committed."""

from __future__ import annotations

import numpy as np

from huref.circuits.argument.placed import place_weights
from huref.prover.commitment.stacked import StackedWeights, stack_weights
from tests.proof.programs import everything


def test_views_are_what_stacking_copies_make() -> None:
    case = everything()
    for w in (4, 5, 32):
        placed, rows = place_weights(case.program.committed, w)
        space = StackedWeights.empty(case.program, w)
        space.data[:] = 0
        for name, tensor in case.weights.items():
            space[name][:] = tensor
        assert set(space) == set(case.weights) and len(space) == len(case.weights)
        assert stack_weights(placed, rows, space, w) is space.data
        assert np.array_equal(stack_weights(placed, rows, case.weights, w), space.data)
