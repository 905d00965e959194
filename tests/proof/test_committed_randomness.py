"""The committed matrices hold randomness where zero knowledge needs it (protocol §4, §9)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.common.params
import huref.prover.argument.opening
import huref.prover.argument.prove
import huref.prover.commitment.weights
from huref.common.algebra.field import P
from tests.proof.programs import everything, small_build


@pytest.mark.parametrize("fast_from", [0, 1 << 27])
def test_the_committed_matrices_are_random_where_they_have_to_be(fast_from: int) -> None:
    """What `test_rank` takes for granted: random rows behind the data of W, A and each level, R and R', the mask of the
    last level, pads, and no stream of random numbers used twice, salts included. At both rates.
    """
    with mock.patch.object(huref.common.params, "FAST_RATE_FROM", fast_from), small_build(levels=3):
        case = everything()
        layout, geometry = case.setup().layout, case.setup().geometry
        seen: list[Any] = []
        salts: list[bytes] = []
        with ExitStack() as stack:
            for module in (
                huref.prover.commitment.weights, huref.prover.argument.prove, huref.prover.argument.opening,
            ):  # fmt: skip

                def note(
                    matrix: Any, domain: Any, salt: bytes, *rest: Any, original: Any = module.commit
                ) -> Any:
                    seen.append(matrix)
                    salts.append(salt)
                    return original(matrix, domain, salt, *rest)

                stack.enter_context(mock.patch.object(module, "commit", note))
            case.prove(commitment=case.commit())
    weights, proof, *levels = seen
    assert len(levels) == 3
    assert len(set(salts)) == 5  # a salt shown in one tree must not be that of a hidden leaf in another
    own, stacked = geometry.proof, np.concatenate([part.astype(np.int64) for part in proof.segments])
    random = {
        "W": (weights.segments[-1], (geometry.weights.random, layout.w)),
        "A": (stacked[layout.rows :], (own.random, layout.w)),
        "R, R'": (stacked[layout.mask_start : layout.rows], (10, layout.w)),
        "pads": (stacked[layout.pad_start : layout.mask_start].reshape(-1)[: 5 * layout.pads.total], None),
        "g": (levels[-1].beside, (geometry.levels[-1].code.k_prime, 5)),
    }
    for number, (matrix, level) in enumerate(zip(levels, geometry.levels, strict=True), 2):
        added = matrix.segments[0][level.code.rows - 2 :]
        random[f"level {number}"] = added, (level.code.random + 2, 5 * level.w)
        assert matrix.rows == level.code.k_prime
    assert weights.rows == geometry.weights.k_prime and proof.rows == own.k_prime and proof.beside is None
    words = []
    for name, (values, shape) in random.items():
        assert shape is None or values.shape == shape, name
        assert abs(values.mean() / P - 0.5) < 6 / np.sqrt(12 * values.size), name
        words.append(values.reshape(-1)[: values.size // 4 * 4].astype("<u4").reshape(-1, 4))
    assert len(np.unique(np.concatenate(words), axis=0)) == sum(len(found) for found in words)
