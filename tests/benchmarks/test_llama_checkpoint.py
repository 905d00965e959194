"""The whole models that scale is measured with: real numbers everywhere, the same on disk as made on demand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.llama_checkpoint import SIZES, VirtualLlama, write
from huref.common.errors import Malformed
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.checkpoint import open_checkpoint
from huref.prover.checkpoint.families import open_model


def test_disk_and_virtual_hold_the_same(tmp_path: Path) -> None:
    write(SIZES["tiny"], tmp_path, seed=3)
    disk, virtual = open_checkpoint(tmp_path), VirtualLlama(SIZES["tiny"], seed=3)
    assert disk.names() == virtual.names()
    for name in disk.names():
        assert np.array_equal(disk.read(name), virtual.read(name))
    ids = [7, 0, 319, 7]
    name = "model.embed_tokens.weight"
    assert np.array_equal(virtual.read_rows(name, ids), disk.read(name)[ids])
    assert np.array_equal(virtual.read_transposed(name), disk.read(name).T)
    for ours, theirs in zip(whole_model(open_model(virtual)), whole_model(open_model(disk)), strict=True):
        assert ours.name == theirs.name and np.array_equal(ours.values, theirs.values)
        assert np.array_equal(ours.steps, theirs.steps)


def test_every_tensor_is_random_and_its_own() -> None:
    virtual = VirtualLlama(SIZES["tiny"])
    seen = set()
    for name in virtual.names():
        tensor = virtual.read(name)
        seen.add(tensor.tobytes())
        if tensor.ndim == 2:
            assert np.linalg.matrix_rank(tensor.astype(np.float64)) == min(tensor.shape)
            assert 0.01 < tensor.std() < 0.05 and abs(tensor.mean()) < 0.002
        else:
            assert 0.05 < tensor.std() < 0.2 and abs(tensor.mean() - 1) < 0.1
    assert len(seen) == len(virtual.names())
    other = VirtualLlama(SIZES["tiny"], seed=1)
    assert not any(np.array_equal(other.read(name), virtual.read(name)) for name in virtual.names())


def test_a_tensor_that_is_not_there() -> None:
    with pytest.raises(Malformed, match="lm_tail"):
        VirtualLlama(SIZES["tiny"]).read("lm_tail")
