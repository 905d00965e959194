"""A model's integers are written beside their making, and what goes wrong there is said."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from huref.circuits.model.tensors import STEP
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import Model, open_model
from huref.prover.commitment.stacked import StackedWeights
from huref.prover.run.whole import fill_whole
from tests.support import tiny_models


class Space:
    """Takes tensors as `StackedWeights` does; fails at one of them."""

    def __init__(self, failing: str = "") -> None:
        self.found: dict[str, np.ndarray[Any, Any]] = {}
        self.failing, self.threads = failing, set[int]()

    def fill(self, name: str, values: np.ndarray[Any, Any]) -> None:
        """Keep a tensor."""
        self.threads.add(threading.get_ident())
        if name == self.failing:
            raise OSError("no space left")
        self.found[name] = values.copy()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return open_model(tiny_models.build("llama", tmp_path_factory.mktemp("filled"), 0))


def filled(model: Model, space: Space) -> list[str]:
    names: list[str] = []
    fill_whole(model, cast(StackedWeights, space), names.append)
    return names


def test_everything_is_written_before_it_returns(model: Model) -> None:
    space, tensors = Space(), list(whole_model(model))
    assert filled(model, space) == [tensor.name for tensor in tensors]
    assert len(space.found) == 2 * len(tensors) and threading.get_ident() not in space.threads
    for tensor in tensors:
        assert np.array_equal(space.found[tensor.name], tensor.values)
        assert np.array_equal(space.found[tensor.name + STEP], tensor.steps[None])


@pytest.mark.parametrize("which", [0, 3, -1])
def test_what_cannot_be_written_is_an_error(model: Model, which: int) -> None:
    """The last one too, behind which nothing is made."""
    name = [tensor.name for tensor in whole_model(model)][which]
    with pytest.raises(OSError, match="no space left"):
        filled(model, Space(failing=name))


def test_what_cannot_be_made_is_an_error(tmp_path: Path, model: Model) -> None:
    broken = open_model(tiny_models.build("llama", tmp_path / "model", 0))

    def missing(layer: int) -> Any:
        raise ValueError(f"layer {layer}")

    object.__setattr__(broken, "layer_reader", missing)
    with pytest.raises(ValueError, match="layer 0"):
        filled(broken, Space())
