"""Layers of two checkpoints: stacks, dropped and inserted layers are found by their contents, strangers are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from huref.common.errors import UsageError
from huref.prover.checkpoint.families import open_model
from huref.prover.compare.layers import MATCH, LayerComparison, Side, compare_layers
from huref.prover.derivatives.invariances import attack
from huref.prover.derivatives.padding import add_layers
from huref.prover.derivatives.store import keep_layers, load_model, save_model
from tests.support import tiny_experts
from tests.support.rewrites import disguise
from tests.support.tiny_models import build

TOKENS = [b" token %d" % i for i in range(300)]


def sides(*folders: Path) -> list[Side]:
    return [Side(open_model(folder), np.arange(300)) for folder in folders]


def layers(first: Path, second: Path) -> LayerComparison:
    return compare_layers(*sides(first, second), TOKENS)


def matched(found: list[tuple[int, float]]) -> list[int | None]:
    return [layer if cosine >= MATCH else None for layer, cosine in found]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("llama", tmp_path_factory.mktemp("layers") / "llama", num_hidden_layers=5)


def test_a_stack_of_overlapping_halves(llama: Path, tmp_path: Path) -> None:
    order = [0, 1, 2, 3, 1, 2, 3, 4]
    model = attack(keep_layers(load_model(llama), order), ("permute_hidden", "permute_neurons"), 3)
    found = layers(llama, save_model(model, tmp_path / "stack"))
    assert matched(found.backwards()) == order
    assert [order[layer] for layer, _ in found.matches()] == [0, 1, 2, 3, 4]  # 1, 2 and 3 are there twice
    assert min(cosine for _, cosine in found.backwards()) > 0.99 and min(found.strata) > 0.99


def test_layers_dropped_and_inserted(llama: Path, tmp_path: Path) -> None:
    model = add_layers(keep_layers(load_model(llama), [0, 2, 4]), 1, [1])
    found = layers(llama, save_model(model, tmp_path / "other"))
    assert matched(found.matches()) == [0, None, 2, None, 3]
    assert matched(found.backwards()) == [0, None, 2, 4]


def test_strangers(llama: Path, tmp_path: Path) -> None:
    found = layers(llama, build("llama", tmp_path / "other", 1))
    assert set(matched(found.matches())) == {None} and np.abs(found.matrix).max() < 0.2
    assert max(found.strata) < 0.5


def test_every_token_needs_a_row_in_both(llama: Path) -> None:
    one, other = sides(llama, llama)
    with pytest.raises(UsageError, match="one row"):
        compare_layers(one, Side(other.model, other.ids[1:]), TOKENS)
    with pytest.raises(UsageError, match="at least 256"):
        compare_layers(Side(one.model, one.ids[:9]), Side(one.model, one.ids[:9]), TOKENS[:9])


@pytest.mark.parametrize("name", ["jamba", "nemotron_h"])
def test_layers_that_lack_a_term(name: str, tmp_path: Path) -> None:
    """A layer is compared by the terms that both have; layers with nothing in common, or without terms, match none."""
    model = tiny_experts.random_model(name, vocab_size=384)
    for folder in ("a", "b"):
        model.float().save_pretrained(tmp_path / folder)
        disguise(model.double(), name)
    found = layers(tmp_path / "a", tmp_path / "b")
    own = np.diag(found.matrix)
    bare = [
        n for n, terms in enumerate(zip(*map(np.diag, found.terms.values()), strict=True)) if not any(terms)
    ]
    assert bare == ([] if name == "jamba" else [0])
    assert all(cosine > 0.99 for n, cosine in enumerate(own) if n not in bare)
    if name == "nemotron_h":
        assert found.matrix[1, 2] == 0  # attention against an FFN
