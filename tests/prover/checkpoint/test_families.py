"""Every family: the extracted tensors reproduce the real `transformers` class's own block outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from huref.prover.checkpoint.families import open_model
from tests.support import tiny_models
from tests.support.reference_block import Array, Extras, block
from tests.support.same_model import assert_same, wrapped_shards

TOKENS = 7
SHARP = ("nomic_bert", "t5-gated", "modernbert", "cohere2", "olmo2", "albert")


def run_blocks(model: torch.nn.Module) -> tuple[list[Array], list[Array]]:
    """Inputs and outputs of every block on one random sequence."""
    blocks = next(
        (m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == tiny_models.LAYERS),
        [m for m in model.modules() if type(m).__name__ == "AlbertLayer"],  # one for all
    )
    inputs: list[Array] = []
    outputs: list[Array] = []

    def hook(module: object, args: tuple[object, ...], kwargs: dict[str, object], output: object) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        written = output[0] if isinstance(output, tuple) else output
        assert isinstance(hidden, torch.Tensor) and isinstance(written, torch.Tensor)
        inputs.append(hidden.detach().double().numpy().reshape(TOKENS, -1))
        outputs.append(written.detach().double().numpy().reshape(TOKENS, -1))

    handles = [module.register_forward_hook(hook, with_kwargs=True) for module in blocks]
    ids = torch.randint(3, tiny_models.VOCAB, (1, TOKENS), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        model(ids)
    for handle in handles:
        handle.remove()
    return inputs, outputs


def extras_of(tiny: tiny_models.TinyFamily, layer: int = 0) -> Extras:
    """What the reference forward has to know of a tiny model."""
    return Extras(
        tiny.activation,
        tiny.eps,
        tiny.scale,
        tiny.alibi,
        causal=not tiny.masked_lm,
        whole_norm=tiny.whole_norm,
        norm_after=tiny.norm_after,
        turn=tiny.turn,
        raw=layer in tiny.raw,
    )


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_block_outputs_are_reproduced(family: str, tmp_path: Path) -> None:
    tiny = tiny_models.spec(family)
    reference = tiny_models.random_model(family, biases=False)
    reference.save_pretrained(tmp_path)
    model, (inputs, outputs) = open_model(tmp_path), run_blocks(reference)
    assert_same(open_model(wrapped_shards(tmp_path, tmp_path / "wrapped")), model)
    layers = [model.layer(i) for i in range(model.shape.layers)]
    assert len(inputs) == model.shape.layers == tiny_models.LAYERS
    for i, layer in enumerate(layers):
        # for "post" models the last block's own closing gain is nobody's input: skip that block
        following = layers[i + 1].attn_stream_gain if i + 1 < len(layers) else None
        if model.shape.norm_position == "post" and following is None:
            continue
        got = block(inputs[i], layer, following, model.layer_shape(i), extras_of(tiny, i))
        np.testing.assert_allclose(got, outputs[i], rtol=0, atol=2e-5 * np.abs(outputs[i]).max())


@pytest.mark.parametrize(
    "family", ["llama", "falcon-40b", "gpt_neox", "bloom", "bert", "gemma3", "phi3", *SHARP]
)
def test_reference_notices_wrong_tensors(family: str, tmp_path: Path) -> None:
    """The comparison above is sharp: any tensor with two rows swapped is far outside its tolerance."""
    tiny = tiny_models.spec(family)
    reference = tiny_models.random_model(family, biases=False)
    reference.save_pretrained(tmp_path)
    model, (inputs, outputs) = open_model(tmp_path), run_blocks(reference)
    extras = extras_of(tiny)
    layer, following = model.layer(0), model.layer(1).attn_stream_gain
    for name in ("q", "k", "v", "o", "up", "gate", "down"):
        rows = getattr(layer, name)
        if rows is None:
            continue
        swapped = rows.copy()
        swapped[[0, 1]] = rows[[1, 0]]
        wrong = block(inputs[0], replace(layer, **{name: swapped}), following, model.shape, extras)
        assert np.abs(wrong - outputs[0]).max() > 2e-3 * np.abs(outputs[0]).max(), name
