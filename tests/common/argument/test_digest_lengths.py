"""How long digests of a proof's own trees are: two bits for each of the level's, and no more than a hash has."""

from __future__ import annotations

import pytest

from huref.common.argument.merkle import DIGEST_BYTES
from huref.common.params import Knobs


@pytest.mark.parametrize(
    ("security", "size"), [(80, 21), (96, 25), (97, 26), (100, 26), (124, 32), (128, 32)]
)
def test_a_collision_costs_more_than_the_level(security: int, size: int) -> None:
    knobs = Knobs(security=security)
    assert knobs.digest_bytes == size
    assert knobs.digest_bytes == DIGEST_BYTES or 8 * knobs.digest_bytes // 2 >= security + 4
