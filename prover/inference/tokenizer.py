"""The tokenizer that belongs to a commitment: the one that is named, or the one that its private folder knows."""

from __future__ import annotations

from pathlib import Path

from huref.common.errors import HurefError, ProverError, UsageError
from huref.prover.commitment.folder import PRIVATE
from huref.prover.commitment.tokenizer_place import TokenizerPlace
from huref.prover.vocabulary.tokens import Vocabulary, own_vocabulary

_HINT = "name the model's tokenizer with --tokenizer"


def tokenizer_of(commitment: Path | None, named: str | Path | None) -> Vocabulary:
    """The vocabulary of `named`, or else of the place that the commitment's private folder keeps.

    Raises:
        UsageError: none is named and none is known. ProverError: another tokenizer lies at the kept place, or none.
        Other `HurefError`s: what is named cannot be read.
    """
    if named is not None:
        return own_vocabulary(named, Path(named), None)
    kept = None if commitment is None else TokenizerPlace.read(commitment / PRIVATE)
    if kept is None:
        raise UsageError("texts need the checkpoint's tokenizer", hint=f"{_HINT}, or give ids")
    try:
        found = own_vocabulary(kept.path, kept.path, None)
    except HurefError as error:
        raise ProverError(
            f"the tokenizer of this commitment is no longer there ({error.message})", hint=_HINT
        ) from None
    if found.digest != kept.digest:
        raise ProverError(
            f"{kept.path} holds another tokenizer than when this model was committed", hint=_HINT
        )
    return found
