"""The committed matrices hold randomness where zero knowledge needs it (protocol §4, §9)."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.common.params
import huref.prover.argument.prove
import huref.prover.commitment.weights
from huref.common.algebra.field import P
from tests.proof.programs import everything


@pytest.mark.parametrize("fast_from", [0, 1 << 27])
def test_the_committed_matrices_are_random_where_they_have_to_be(fast_from: int) -> None:
    """What `test_rank` takes for granted: random rows behind the data of W and A, masks on every row, R and R', pads,
    and no stream of random numbers used twice, salts included. At both rates.
    """
    with mock.patch.object(huref.common.params, "FAST_RATE_FROM", fast_from):
        case = everything()
        layout, geometry = case.setup().layout, case.setup().geometry
        seen, salts = [], []
        for module in (huref.prover.commitment.weights, huref.prover.argument.prove):
            original = module.commit

            def note(matrix: Any, domain: Any, salt: bytes, *rest: Any, original: Any = original) -> Any:
                seen.append(matrix)
                salts.append(salt)
                return original(matrix, domain, salt, *rest)

            with mock.patch.object(module, "commit", note):
                case.prove(commitment=case.commit())
    weights, proof, mask = seen
    assert len(set(salts)) == 3  # a salt shown in one tree must not be that of a hidden leaf in another
    own, stacked = geometry.proof, np.concatenate([part.astype(np.int64) for part in proof.segments])
    random = {
        "W": (weights.segments[-1], (geometry.weights.random, layout.w)),
        "A": (stacked[layout.rows :], (own.random, layout.w)),
        "g_A": (proof.beside, (own.k_prime, 5)),
        "g_W": (mask.segments[0], (geometry.weights.k_prime, 5)),
        "R, R'": (stacked[layout.mask_start : layout.rows], (10, layout.w)),
        "pads": (stacked[layout.pad_start : layout.mask_start].reshape(-1)[: 5 * layout.pads.total], None),
    }
    assert weights.rows == geometry.weights.k_prime and proof.rows == own.k_prime and len(mask.segments) == 1
    words = []
    for name, (values, shape) in random.items():
        assert shape is None or values.shape == shape, name
        assert abs(values.mean() / P - 0.5) < 6 / np.sqrt(12 * values.size), name
        words.append(values.reshape(-1)[: values.size // 4 * 4].astype("<u4").reshape(-1, 4))
    assert len(np.unique(np.concatenate(words), axis=0)) == sum(len(found) for found in words)
