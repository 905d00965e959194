"""How many tokens and pools a profile takes of those that there are."""

from __future__ import annotations

import pytest

from huref.circuits.fingerprint.sizes import choose_sizes
from huref.common.errors import UsageError


@pytest.mark.parametrize(
    ("available", "wanted", "sizes"),
    [
        (49135, (4096, 256), (4096, 256)),
        (4096, (4096, 256), (4096, 256)),
        (4095, (4096, 256), (3584, 256)),
        (600, (4096, 256), (512, 256)),
        (511, (4096, 256), (256, 128)),
        (320, (4096, 256), (256, 128)),
        (200, (4096, 256), (128, 64)),
        (100, (4096, 256), (64, 32)),
        (64, (4096, 256), (64, 32)),
        (49135, (1000, 128), (768, 128)),
        (49135, (65536, 256), (48640, 256)),
    ],
)
def test_sizes(available: int, wanted: tuple[int, int], sizes: tuple[int, int]) -> None:
    K, P = choose_sizes(available, *wanted)
    assert sizes == (K, P)
    assert K % (2 * P) == 0 and min(available, wanted[0]) >= K


def test_sizes_refused() -> None:
    for available, K, P in ((63, 4096, 256), (4096, 63, 32), (4096, 4096, 100), (4096, 4096, 16)):
        with pytest.raises(UsageError):
            choose_sizes(available, K, P)
