"""The terms that docs/checkpoints.md proposes for a state-space block, on a tiny Mamba of the real class.

Nothing of the package reads such a model yet: the terms are computed here from its parameters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from huref.common.errors import Unsupported
from huref.prover.checkpoint.families import open_model

HIDDEN, INNER, STATE, RANK, VOCAB = 32, 48, 8, 6, 160
Array = NDArray[np.float64]


@torch.no_grad()
def random_mamba() -> Any:
    config = transformers.MambaConfig(
        vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=INNER, state_size=STATE, time_step_rank=RANK,
        num_hidden_layers=2, bos_token_id=1, eos_token_id=2, pad_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    model = transformers.MambaForCausalLM(config).double().eval()
    draw = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
        if name.endswith(("norm.weight", "norm_f.weight")):
            parameter.copy_(1 + 0.3 * values.clamp(-2, 2))
        elif "A_log" not in name and "embed" not in name and parameter.ndim > 1:
            parameter.copy_(1.2 * values / parameter.shape[-1] ** 0.5)
    return model


@torch.no_grad()
def terms(model: Any) -> dict[str, Array]:
    x = model.backbone.embeddings.weight[3:83].numpy()
    found = {}
    for number, layer in enumerate(model.backbone.layers):
        m = layer.mixer
        read = (m.in_proj.weight * layer.norm.weight).numpy()
        inner = read[:INNER] * m.conv1d.weight.norm(dim=(1, 2)).numpy()[:, None]
        gate, out = read[INNER:], m.out_proj.weight.numpy().T
        into, back = m.x_proj.weight[RANK : RANK + STATE].numpy(), m.x_proj.weight[RANK + STATE :].numpy()
        found[f"{number}.through"] = (x @ inner.T) @ (out @ x.T)
        found[f"{number}.gate"] = (x @ gate.T) @ (out @ x.T)
        found[f"{number}.state"] = (x @ (into @ inner).T) @ (back @ inner @ x.T)
    return found


@torch.no_grad()
def disguise(model: Any) -> None:
    draw = torch.Generator().manual_seed(1)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    turn = torch.linalg.qr(randn(HIDDEN, HIDDEN))[0]
    backbone = model.backbone
    backbone.embeddings.weight.copy_(backbone.embeddings.weight @ turn)
    model.lm_head.weight.copy_(model.lm_head.weight * backbone.norm_f.weight @ turn)
    backbone.norm_f.weight.fill_(1.0)
    for layer in backbone.layers:
        m = layer.mixer
        m.in_proj.weight.copy_(m.in_proj.weight * layer.norm.weight @ turn)
        layer.norm.weight.fill_(1.0)
        m.out_proj.weight.copy_(turn.T @ m.out_proj.weight)
        factor = torch.exp(randn(INNER))  # from the input of a channel to its convolution
        m.in_proj.weight[:INNER].mul_(factor[:, None])
        m.conv1d.weight.div_(factor[:, None, None])
        rank = torch.eye(RANK).double() + 0.3 * randn(RANK, RANK)
        m.x_proj.weight[:RANK].copy_(rank @ m.x_proj.weight[:RANK])
        m.dt_proj.weight.copy_(m.dt_proj.weight @ torch.linalg.inv(rank))
        scale, states = torch.exp(randn(STATE, 1)), torch.randperm(STATE, generator=draw)
        for part, by in ((slice(RANK, RANK + STATE), scale), (slice(RANK + STATE, None), 1 / scale)):
            m.x_proj.weight[part] = (m.x_proj.weight[part] * by)[states]
        m.A_log.copy_(m.A_log[:, states])
        order = torch.randperm(INNER, generator=draw)
        m.in_proj.weight.copy_(m.in_proj.weight.view(2, INNER, HIDDEN)[:, order].reshape(2 * INNER, HIDDEN))
        for rows in (m.conv1d.weight, m.conv1d.bias, m.dt_proj.weight, m.dt_proj.bias, m.A_log, m.D):
            rows.copy_(rows[order])
        for columns in (m.x_proj.weight, m.out_proj.weight):
            columns.copy_(columns[:, order])


def cosine(a: Array, b: Array) -> float:
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


@torch.no_grad()
def test_proposed_terms_of_a_state_space_block() -> None:
    model, ids = random_mamba(), torch.arange(5, 17)[None]
    before, plain = terms(model), model(ids).logits
    disguise(model)
    assert (model(ids).logits - plain).abs().max() < 1e-4 * plain.abs().max()
    after = terms(model)
    for kind, term in before.items():
        assert cosine(term, after[kind]) > 1 - 1e-9, kind
        assert max(abs(cosine(term, other)) for key, other in after.items() if key != kind) < 0.9, kind


def test_such_a_model_is_refused_today(tmp_path: Any) -> None:
    random_mamba().save_pretrained(tmp_path)
    with pytest.raises(Unsupported, match="mamba models are not read: its layers are state-space blocks"):
        open_model(tmp_path)
