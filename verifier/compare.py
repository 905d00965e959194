"""Two published fingerprints next to each other. What they claim is compared; whether it is proven, `verify` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from huref.circuits.fingerprint.profiles import get_profile
from huref.circuits.fingerprint.similarity import VectorSimilarity, compare_vectors
from huref.circuits.statement import fingerprint_name
from huref.common.errors import UsageError
from huref.common.files.fingerprint_file import FingerprintFile
from huref.common.words import word_fingerprint

MATCH = (
    "that two vectors match does not show that one model comes from the other: anybody can write down integers that "
    "reach a published vector, and prove them, without a model; an auditor who saw a checkpoint can vouch for one"
)
OTHER_TOKENS = (
    "the two vectors were read at different token ids, where one model alone can have unrelated vectors"
)


@dataclass(frozen=True)
class FingerprintComparison:
    """Two fingerprints of one kind. `verdict` is None where the profile does not separate unrelated models."""

    first: FingerprintFile
    second: FingerprintFile
    similarity: VectorSimilarity

    @property
    def verdict(self) -> str | None:
        """ "same base", "unrelated", "unclear", or None."""
        return self.similarity.verdict if get_profile(self.first.profile).canonical else None

    def to_dict(self) -> dict[str, Any]:
        """As `huref compare --json` prints it."""
        return {
            "profile": self.first.profile,
            "encoder": self.first.encoder,
            "cosine": self.similarity.cosine,
            "false_match_probability": self.similarity.false_match,
            "vector_terms": self.similarity.terms,
            "verdict": self.verdict,
            "same_tokens": self.first.token_ids == self.second.token_ids,
            "token_sources": [self.first.token_source, self.second.token_source],
        }

    def words(self, model_ids: Sequence[str | None]) -> list[str]:
        """Six words for each side, under its model id, or of the vector alone where there is none."""
        return [
            word_fingerprint(fingerprint_name(file, file), model_id)
            for file, model_id in zip((self.first, self.second), model_ids, strict=True)
        ]

    def warnings(self, kinds: Sequence[str]) -> list[str]:
        """Where the comparison shows less than it may seem to; `kinds` are those of both sides' sources."""
        found = []
        if self.verdict != "unrelated" and set(kinds) != {"checkpoint"}:
            found.append(MATCH)
        if self.first.token_ids != self.second.token_ids:
            found.append(OTHER_TOKENS)
        return found


def compare_fingerprints(
    first: FingerprintFile, second: FingerprintFile, profile: str | None = None, encoder: str | None = None
) -> FingerprintComparison:
    """Compare two fingerprints; `profile` and `encoder` are what both must have, None: whatever they have.

    Raises:
        UsageError: they are of different kinds, or not of the kind that was asked for.
    """
    for key in ("profile", "encoder", "k", "p"):
        if getattr(first, key) != getattr(second, key):
            raise UsageError(
                f"the two fingerprints differ in {key}: {getattr(first, key)} and {getattr(second, key)}",
                hint="make both with the same --profile, --encoder, --k and --p",
            )
    wanted = get_profile(profile or first.profile).name, encoder or first.encoder
    if (first.profile, first.encoder) != wanted:
        raise UsageError(f"the fingerprints are {first.profile}, {first.encoder}, not what was asked for")
    return FingerprintComparison(first, second, compare_vectors(first.v, second.v, first.encoder))
