"""Encoders under every class that saves them: with a head, without, with a decoder beside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from huref.prover.checkpoint.families import open_model

_BERT = {
    "vocab_size": 384,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 88,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
_T5 = {
    "vocab_size": 384,
    "d_model": 64,
    "d_kv": 24,
    "d_ff": 88,
    "num_layers": 2,
    "num_heads": 4,
    "pad_token_id": 0,
}
BERTS = {
    "bert": ("BertModel", "BertForMaskedLM", "BertForSequenceClassification", "BertForQuestionAnswering"),
    "roberta": ("RobertaModel", "RobertaForMaskedLM", "RobertaForTokenClassification"),
    "xlm-roberta": ("XLMRobertaModel", "XLMRobertaForMaskedLM"),
    "camembert": ("CamembertModel", "CamembertForMaskedLM"),
}
T5S = {
    "t5": ("T5EncoderModel", "T5ForConditionalGeneration", "T5Model"),
    "mt5": ("MT5EncoderModel", "MT5ForConditionalGeneration"),
    "umt5": ("UMT5EncoderModel", "UMT5ForConditionalGeneration"),
}


def saved(name: str, model_type: str, sizes: dict[str, Any], folder: Path) -> Any:
    config = transformers.AutoConfig.for_model(model_type, **sizes)
    real = getattr(transformers, name)(config)
    real.save_pretrained(folder)
    return real


def same(got: np.ndarray | None, expected: torch.Tensor) -> None:
    np.testing.assert_array_equal(got, expected.detach())


@pytest.mark.parametrize(
    ("model_type", "name"), [(kind, name) for kind, names in BERTS.items() for name in names]
)
def test_berts(model_type: str, name: str, tmp_path: Path) -> None:
    real = saved(name, model_type, _BERT, tmp_path)
    base, model = getattr(real, real.base_model_prefix, real), open_model(tmp_path)
    layer, own = model.layer(1), base.encoder.layer[1]
    same(layer.q, own.attention.self.query.weight)
    same(layer.v, own.attention.self.value.weight)
    same(layer.o, own.attention.output.dense.weight.T)
    same(layer.up, own.intermediate.dense.weight)
    same(layer.down, own.output.dense.weight.T)
    same(model.embedding_rows([7, 300]), base.embeddings.word_embeddings.weight[[7, 300]])
    assert model.shape.family == "bert" and model.shape.layers == 2


@pytest.mark.parametrize(
    ("model_type", "name"), [(kind, name) for kind, names in T5S.items() for name in names]
)
@pytest.mark.parametrize("gated", [False, True])
def test_t5s(model_type: str, name: str, gated: bool, tmp_path: Path) -> None:
    sizes = {**_T5, "feed_forward_proj": "gated-gelu" if gated else "relu"}
    real = saved(name, model_type, sizes, tmp_path)
    model = open_model(tmp_path)
    layer, own = model.layer(1), real.encoder.block[1].layer
    same(layer.q, own[0].SelfAttention.q.weight)
    same(layer.o, own[0].SelfAttention.o.weight.T)
    dense = own[1].DenseReluDense
    same(layer.up, dense.wi_1.weight if gated else dense.wi.weight)
    same(layer.down, dense.wo.weight.T)
    same(model.embedding_rows([7, 300]), real.get_input_embeddings().weight[[7, 300]])
    assert model.shape.family == "t5" and model.shape.gated is gated and model.shape.heads == 4
