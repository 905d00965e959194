"""Tables of the inference program against 50-digit arithmetic, and where float64 would leave a doubt."""

from __future__ import annotations

from decimal import Decimal, localcontext

import mpmath
import numpy as np
import pytest

from huref.circuits.inference import tables
from huref.circuits.inference.limits import norm_scale, query_scale, stream_bits
from huref.circuits.program import functions


def nearest(value: mpmath.mpf) -> int:
    return int(mpmath.floor(value + mpmath.mpf(1) / 2))


@pytest.fixture(autouse=True)
def digits() -> None:
    mpmath.mp.dps = 50


def test_powers() -> None:
    table = functions.powers()
    assert len(table) == 256 + 17 * 256 and table[-1] == nearest(
        mpmath.mpf(2) ** (16 + mpmath.mpf(255) / 256)
    )
    for i in range(0, len(table), 53):
        z = functions.EXP_ZERO + i
        assert table[i] == nearest(mpmath.mpf(2) ** (16 + mpmath.mpf(z) / 256)), z
    assert table[17 * 256] == 1 << 16 and table[256] == 1  # 2^16 and the tie at one half, upwards


@pytest.mark.parametrize("hidden", [64, 576, 4096])
def test_inverse_roots(hidden: int) -> None:
    scale = norm_scale(hidden)
    table = functions.inverse_roots(hidden, scale)
    assert int(table[0]) << stream_bits(hidden) < 2013265921 // 2
    for m in range(1 << 12, 1 << 14, 997):
        assert table[m - (1 << 12)] == nearest(mpmath.sqrt(mpmath.mpf(hidden) / m) * mpmath.mpf(2) ** scale)


def test_reciprocals() -> None:
    totals = np.array([1 << 16, (1 << 17) - 1, 65530, 100003])
    assert functions.reciprocal(totals).tolist() == [nearest(mpmath.mpf(2) ** 31 / int(t)) for t in totals]


@pytest.mark.parametrize("unit", [9, 7])
def test_silu(unit: int) -> None:
    table = functions.activation("silu", unit, unit + 2, 16)
    for h in [*range(-(1 << 15), 1 << 15, 1777), -1, 0, 1, (1 << 15) - 1]:
        x = mpmath.mpf(h) / 2**unit
        assert table[h + (1 << 15)] == nearest(2 ** (unit + 2) * x / (1 + mpmath.exp(-x))), h


def test_score_caps() -> None:
    table, height = functions.score_caps(1 << 18, 50), 1 << 18
    limit = 256 * 50 / mpmath.log(2)
    for x in [*range(-height, height, 7919), -1, 0, 1, height - 1]:
        assert table[x + height] == nearest(limit * mpmath.tanh(x / limit)), x
    assert (np.diff(table) >= 0).all() and (table[1:] == -table[:0:-1]).all()


def test_no_capped_score_saturates_at_a_doubt() -> None:
    """Where all entries far from zero are alike, decimals would decide each of them."""
    for cap in range(1, 257):
        limit = 256 * cap / mpmath.log(2)
        assert abs(limit - mpmath.floor(limit) - mpmath.mpf(1) / 2) > 1e-4
    assert limit < (1 << 17) - (1 << 12)


@pytest.mark.parametrize("cap,unit", [(30, 9), (1, 0), (256, 40)])
def test_logit_caps(cap: int, unit: int) -> None:
    clamp, height = (1 << 15) - 1, 1 << 17
    table, limit = functions.logit_caps(height, clamp, cap, unit), mpmath.mpf(cap) * mpmath.mpf(2) ** unit
    for x in [*range(-height, height, 7919), -clamp - 1, -clamp, -1, 0, 1, clamp, clamp + 1, height - 1]:
        clipped = max(-clamp, min(clamp, x))
        assert table[x + height] == nearest(limit * mpmath.tanh(clipped / limit)), x
    assert (np.diff(table) >= 0).all()


@pytest.mark.parametrize("scale", [(0, 0), (64, 2)])
def test_turns(scale: tuple[int, int]) -> None:
    cosine, sine = tables.turns(3000, 32, 64, 100_000, scale)
    kappa = (
        mpmath.mpf(1) if scale == (0, 0) else mpmath.log(mpmath.e, 2) * 2 ** scale[1] / mpmath.sqrt(scale[0])
    )
    for t in (0, 1, 77, 2999):
        for i in (0, 1, 13, 31):
            angle = t * mpmath.mpf(100_000) ** (mpmath.mpf(-2 * i) / 64)
            assert cosine[t, i] == nearest(1024 * kappa * mpmath.cos(angle))
            assert sine[t, i] == nearest(1024 * kappa * mpmath.sin(angle))
    assert query_scale(64) == (64, 2)


def test_a_doubt_is_decided_by_decimals() -> None:
    truth = [Decimal("7.4" + 40 * "9"), Decimal("7.5"), Decimal("8.2")]
    found = functions.nearest(np.array([7.5, 7.5, 8.2]), lambda i: truth[i])
    assert found.tolist() == [7, 8, 8]


def test_circle() -> None:
    with localcontext() as context:
        context.prec = 60
        cosine, sine = tables._circle(Decimal("12345.678"))
    assert abs(mpmath.mpf(str(cosine)) - mpmath.cos(mpmath.mpf("12345.678"))) < mpmath.mpf(10) ** -40
    assert abs(mpmath.mpf(str(sine)) - mpmath.sin(mpmath.mpf("12345.678"))) < mpmath.mpf(10) ** -40
