"""The codes' geometry at both rates, computed a second time (protocol §1, §4.3), and where the rate changes."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from unittest import mock

import numpy as np
import pytest

import huref.common.params
from huref.circuits.argument.proof import weights_geometry
from huref.circuits.program.program import Output, Program, Weight
from huref.common.argument.merkle import DIGEST_BYTES, SALT_BYTES
from huref.common.errors import Malformed, Rejected
from huref.common.params import (
    CodeGeometry,
    Knobs,
    choose_rate,
    choose_width,
    opening_geometry,
    weight_geometry,
)
from tests.proof.programs import chain

MOST = {(100, 4): 118, (128, 4): 160, (100, 2): 193, (128, 2): 261}
NO_OUTPUT = Output((), (), (), 1)


def check_code(code: CodeGeometry, rows: int, random: int, align: int, rate_inv: int, bits: int) -> None:
    """k' is the least multiple of `align`, the domain the least for the rate, t the least for the domain."""
    k = code.k_prime
    assert k % align == 0 and rows + random <= k < rows + random + align
    assert (code.rows, code.random) == (rows, k - rows)
    assert code.domain.n == min(c << a for c in (5, 6, 7, 8) for a in range(28) if c << a >= k * rate_inv)
    escape = Fraction(code.domain.n + k, 2 * code.domain.n)
    assert escape**code.queries <= Fraction(1, 1 << bits) < escape ** (code.queries - 1)


LATER_WIDTHS = (4, 8, 16, 32, 64)
LATER = {(100, 4): 118, (100, 8): 97, (100, 16): 88, (128, 4): 160, (128, 8): 131, (128, 16): 119}


def cheapest(length: int, widths: tuple[int, ...], security: int) -> tuple[int, list[tuple[int, int]]]:
    """The plan of §4.3 with its cost, from all plans of up to three levels, one by one."""
    lg, best = lambda n: (n - 1).bit_length(), None
    for count in (1, 2, 3):
        for later in product((4, 8, 16, 32, 64), repeat=count - 1):
            for first, rates in product(widths, product((4, 8, 16), repeat=count)):
                plan, cost, rest = list(zip((first, *later), rates, strict=True)), 0, length
                for (w, rate), align in zip(plan, (*later, 1), strict=True):
                    t = LATER[security, rate]
                    rows = -(-(-(-rest // w) + 2 + t + 1) // align) * align
                    n = rate * rows
                    cost += t * (20 * w + 16 + 32 * max(0, lg(n) - lg(t))) + 40 * (lg(w) + 1) + 32
                    cost += n * (5 * w + 64) // 4096
                    rest = rows
                cost += 20 * (rest + t)
                if best is None or (cost, count, plan) < best:
                    best = cost, count, plan
    assert best
    return best[0], best[2]


@pytest.mark.parametrize(("security", "rate_inv"), MOST)
@pytest.mark.parametrize("proofs", [1, 16, 1024])
def test_geometry_at_both_rates(security: int, rate_inv: int, proofs: int) -> None:
    """Levels are the cheapest of all plans; random rows outlast every query that a code's rate can ask for."""
    knobs, most, bits = Knobs(security=security, proofs=proofs), MOST[security, rate_inv], security - 20
    rng = np.random.default_rng(security + rate_inv + proofs)
    for rows in (1, 8 * 100 - 1, *(int(x) for x in rng.integers(1, 1 << 21, 20))):
        weights = weight_geometry(rows, 64, rate_inv, knobs)
        vector = 2 * (rows + proofs * most + 1)
        assert weights.w2 == cheapest(vector, LATER_WIDTHS, security)[1][0][0]
        assert weights.rate_inv == rate_inv
        check_code(weights.code, rows, proofs * most + 1, weights.w2, rate_inv, bits)
        assert proofs * weights.code.queries < weights.code.random
        for own in (weights.w2 * 50 - most - 1, int(rng.integers(1, 1 << 20))):
            geometry = opening_geometry(weights, own, knobs)
            check_code(geometry.proof, own, most + 1, weights.w2, rate_inv, bits)
            assert geometry.proof.queries < geometry.proof.random
            _, plan = cheapest(geometry.length, (weights.w2,), security)
            assert len(plan) == len(geometry.levels)
            length = geometry.length
            for i, ((w, rate), level) in enumerate(zip(plan, geometry.levels, strict=True)):
                align = 1 if i + 1 == len(plan) else plan[i + 1][0]
                check_code(level.code, length // w + 2, LATER[security, rate] + 1, align, rate, bits)
                assert length % w == 0 and level.w == w and level.code.queries < level.code.random
                assert level.code.width == 5 * w + 5 * (i + 1 == len(plan))
                length = level.code.k_prime


def test_estimates_count_what_trees_write() -> None:
    assert (huref.common.params.SALT_BYTES, huref.common.params.DIGEST_BYTES) == (SALT_BYTES, DIGEST_BYTES)


def test_the_width_counts_the_queries_of_the_rate() -> None:
    """Shapes like those of a model with 13 billion parameters, where the two rates ask for different widths."""
    tensors = [(4096, 5120), *[(5120, 5120)] * 8, *[(13824, 5120)] * 6]
    found = {}
    for (security, rate_inv), most in MOST.items():

        def cost(w: int, security: int = security, rate_inv: int = rate_inv, most: int = most) -> int:
            """§4.3."""
            rows = most + sum(rows * -(-cols // w) for rows, cols in tensors)
            path = 32 * max(0, (rows * rate_inv - 1).bit_length() - (most - 1).bit_length())
            leaves = 2 * most * (4 * w + 16 + path) + 2 * rows * rate_inv * (w + 64) // 4096
            return leaves + cheapest(2 * rows, LATER_WIDTHS, security)[0]

        sizes = {w: cost(w) for w in (1024, 512, 256, 128, 64, 32)}
        best = min(w for w, size in sizes.items() if size == min(sizes.values()))
        found[rate_inv] = choose_width(tensors, rate_inv, Knobs(security=security))
        assert found[rate_inv] == best
    assert len(set(found.values())) > 1


def test_the_rate_changes_at_two_to_the_27_weights() -> None:
    """Counted over all tensors, entries and not rows; a knob for a higher rate is left alone."""
    for missing, rate_inv in ((0, 2), (1, 4)):
        tensors = Weight("a", 1 << 14, 1 << 12, 8), Weight("b", (1 << 26) - missing, 1, 8)
        program = Program(tensors, (), NO_OUTPUT)
        found = weights_geometry(program.committed, Knobs())
        assert found.rate_inv == rate_inv == choose_rate((1 << 27) - missing, Knobs())
        assert 1 / (2 * rate_inv) < found.code.domain.rate <= 1 / rate_inv
    assert choose_rate(1 << 40, Knobs(rate_inv=1)) == 1


def test_a_proof_is_bound_to_its_side_of_the_threshold() -> None:
    """A model with exactly so many weights is encoded at 1/2, and neither side takes the other's proof."""
    case = chain(d=8, k=16, p=16, f=4)
    size = sum(weight.rows * weight.cols for weight in case.program.weights)
    proofs = {}
    for limit in (size, size + 1):
        with mock.patch.object(huref.common.params, "FAST_RATE_FROM", limit):
            case.commitments.clear()
            setup, root = case.setup(), case.commit().root
            proofs[limit] = setup, root, case.prove(setup)
            case.verify(proofs[limit][2], setup, root)
    (fast, fast_root, of_fast), (slow, slow_root, of_slow) = proofs[size], proofs[size + 1]
    assert fast.geometry.weights.domain.rate > 1 / 4 >= slow.geometry.weights.domain.rate
    assert fast.digest != slow.digest
    for proof, setup, root in ((of_fast, slow, fast_root), (of_slow, fast, slow_root)):
        with pytest.raises((Rejected, Malformed)):
            case.verify(proof, setup, root)
