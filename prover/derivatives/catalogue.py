"""Named derivatives at fixed strengths, as tests, benchmarks and the documentation's tables use them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from huref.common.errors import UsageError
from huref.prover.derivatives import derivatives as d
from huref.prover.derivatives.finetune import Encode, fine_tune
from huref.prover.derivatives.store import load_model, save_model
from huref.prover.vocabulary.tokens import load_vocabulary

Derivation = Callable[[Any, int, Encode], Any]


def _plain(function: Callable[..., Any], **settings: Any) -> Derivation:
    """A derivation that needs neither seed nor tokenizer."""
    return lambda model, seed, encode: function(model, **settings)


def _seeded(function: Callable[..., Any], **settings: Any) -> Derivation:
    return lambda model, seed, encode: function(model, seed, **settings)


def _tuned(**settings: Any) -> Derivation:
    return lambda model, seed, encode: fine_tune(model, encode, seed, **settings)[0]


def _drop_layer(model: Any, where: float) -> Any:
    """Leave out one layer, `where` between the first (0) and the last (1)."""
    return d.drop_layers(model, [round(where * (model.config.num_hidden_layers - 1))])


def _merge_of_two(model: Any, seed: int, encode: Encode) -> Any:
    """The mean of a fine-tuned and a noisy derivative."""
    tuned = fine_tune(model, encode, seed, lora_rank=8)[0]
    return d.merge(tuned, d.add_noise(model, seed + 1, 0.1))


DERIVATIVES: dict[str, Derivation] = {
    "noise-10": _seeded(d.add_noise, fraction=0.1),
    "noise-30": _seeded(d.add_noise, fraction=0.3),
    "prune-20": _plain(d.prune_magnitude, fraction=0.2),
    "prune-50": _plain(d.prune_magnitude, fraction=0.5),
    "prune-50-linear": _plain(d.prune_magnitude, fraction=0.5, embeddings=False),
    "heads-zeroed": _plain(d.prune_heads, fraction=0.25),
    "heads-removed": _plain(partial(d.prune_heads, remove=True), fraction=0.25),
    "neurons-zeroed": _plain(d.prune_neurons, fraction=0.25),
    "neurons-removed": _plain(partial(d.prune_neurons, remove=True), fraction=0.25),
    "layer-dropped": _plain(_drop_layer, where=0.5),
    "last-layer-dropped": _plain(_drop_layer, where=1.0),
    "int8": _plain(d.quantize_int8),
    "int4": _plain(d.quantize_int4),
    "rows-replaced": _seeded(d.replace_rows, fraction=0.01),
    "fine-tuned": _tuned(),
    "lora": _tuned(lora_rank=8),
    "merged": _merge_of_two,
}


def derive(source: Path, name: str, folder: Path, seed: int = 0, model: Any = None) -> Path:
    """Derive from the checkpoint `source`, save as a Hugging Face folder with its tokenizer, return it.

    Args:
        model: the model already loaded from `source`, to save time.

    Raises:
        UsageError: an unknown name, or a derivative that this family does not admit.
        InputOutputError: the folder exists already.
    """
    if name not in DERIVATIVES:
        raise UsageError(f"no derivative {name!r}", hint="known: " + ", ".join(DERIVATIVES))

    tokenizer: list[Any] = []

    def encode(text: str) -> list[int]:
        if not tokenizer:  # loaded only by derivatives that train
            vocabulary = load_vocabulary(source)
            if vocabulary is None:
                raise UsageError(f"{source} has no tokenizer to train with")
            tokenizer.append(vocabulary.tokenizer)
        return list(tokenizer[0].encode(text, add_special_tokens=False).ids)

    derived = DERIVATIVES[name](load_model(source) if model is None else model, seed, encode)
    return save_model(derived, folder, tokenizer_from=source)
