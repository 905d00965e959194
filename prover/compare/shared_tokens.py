"""The tokens by which two models are compared: those whose bytes both vocabularies hold."""

from __future__ import annotations

import numpy as np

from huref.circuits.fingerprint.hardened.constants import FEWEST_TOKENS
from huref.common.errors import UsageError
from huref.prover.checkpoint.families import Model
from huref.prover.compare.layers import Side
from huref.prover.vocabulary.frequency import word_list_counts
from huref.prover.vocabulary.selection import choose
from huref.prover.vocabulary.tokenizer import Vocabulary
from huref.prover.vocabulary.tokens import load_vocabulary


def shared_tokens(first: Model, second: Model) -> tuple[Side, Side, list[bytes]]:
    """Both models' rows of the tokens that `hardened-2` would choose among those they share, most frequent first.

    A model without a tokenizer is taken to have the other's, if their embeddings have equally many rows.

    Raises:
        UsageError: neither has a tokenizer, they cannot have the same one, or they share too few tokens.
    """
    models = (first, second)
    known = [load_vocabulary(model.checkpoint) for model in models]
    one = known[0] or known[1]
    if one is None or (None in known and first.vocab != second.vocab):
        raise UsageError(
            "without a tokenizer for each of them nobody can tell which rows of two models belong together",
            hint="put each model's tokenizer beside it",
        )
    ids = [_ids(vocabulary or one, model.vocab) for vocabulary, model in zip(known, models, strict=True)]
    counts = word_list_counts(one.tokenizer, one.vocab_size)
    own = _ids(one, first.vocab if known[0] else second.vocab)
    both = [piece for piece in own if piece in ids[0] and piece in ids[1]]
    frequency = np.array([counts[own[piece]] for piece in both], dtype=np.int64)
    places = choose(both, frequency)
    places = places[np.argsort(-frequency[places], kind="stable")]
    if len(places) < FEWEST_TOKENS:
        raise UsageError(f"the two vocabularies share {len(places)} tokens that occur: too few to compare by")
    tokens = [both[i] for i in places.tolist()]
    sides = [
        Side(model, np.array([ids[n][token] for token in tokens], dtype=np.int64))
        for n, model in enumerate(models)
    ]
    return sides[0], sides[1], tokens


def _ids(vocabulary: Vocabulary, rows: int) -> dict[bytes, int]:
    """Embedding row of every ordinary token's bytes; the first of equal ones."""
    found: dict[bytes, int] = {}
    for i, piece in zip(vocabulary.ordinary.tolist(), vocabulary.pieces, strict=True):
        if i < rows:
            found.setdefault(piece, i)
    return found
