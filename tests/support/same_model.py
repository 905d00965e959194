"""Two checkpoints hold the same model: shape, embedding rows and all tensors, bit for bit."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save_file

from huref.prover.checkpoint.families import Model


def assert_same(got: Model, expected: Model) -> None:
    shape = got.shape
    if got.checkpoint.naming == "gguf" and not expected.shape.head:
        # a GGUF file without a head means one that is tied; what runs no program has no biases
        shape = replace(shape, head=False, biases=(), positions=0)
    assert shape == expected.shape
    ids = [5, 0, 319]
    np.testing.assert_array_equal(got.embedding_rows(ids), expected.embedding_rows(ids))
    for index in range(expected.shape.layers):
        a, b = got.layer(index), expected.layer(index)
        for item in fields(b):
            one, other = getattr(a, item.name), getattr(b, item.name)
            assert (one is None) == (other is None), item.name
            if one is not None:
                np.testing.assert_array_equal(one, other, err_msg=item.name)


def wrapped_shards(folder: Path, target: Path) -> Path:
    """The model of `folder` as a wrapper saves it: prefixed names, in two shards under an index."""
    target.mkdir()
    tensors = {
        f"module._orig_mod.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()
    }
    names, homes = sorted(tensors), {}
    for number in (0, 1):
        part = names[number::2]
        save_file({name: tensors[name] for name in part}, target / f"{number}.safetensors")
        homes |= dict.fromkeys(part, f"{number}.safetensors")
    (target / "model.safetensors.index.json").write_text(json.dumps({"weight_map": homes}))
    (target / "config.json").write_bytes((folder / "config.json").read_bytes())
    return target
