"""Every test of this package runs in the small build; see `tests.proof.programs`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proof.programs import Case, chain, everything, small_build, wide


@pytest.fixture(autouse=True, scope="package")
def _small() -> Iterator[None]:
    with small_build():
        yield


@pytest.fixture(scope="package")
def tall(_small: None) -> Case:
    """The chain with rows below the calibration rows."""
    return chain(p=32, k=40)


@pytest.fixture(scope="package")
def joined(_small: None) -> Case:
    """The program on a whole commitment, with sums that are cut."""
    return wide(split=7)


@pytest.fixture(scope="package")
def full(_small: None) -> Case:
    """Every node type of a commitment of its own."""
    return everything()
