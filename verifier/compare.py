"""Two published fingerprints next to each other: what the comparison shows, and whether it shows anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from huref.circuits.challenge import joint_challenge
from huref.circuits.fingerprint.profiles import get_profile
from huref.circuits.fingerprint.similarity import VectorSimilarity, compare_outputs
from huref.circuits.statement import fingerprint_name
from huref.common.errors import Malformed, UsageError
from huref.common.files.fingerprint_file import FingerprintFile
from huref.common.words import word_fingerprint

Case = Literal["public", "joint challenge", "your challenge", "unknown challenge", "different challenges"]

ENOUGH_SHARED = 0.5
"""Least part of the tokens that both sides must have read: docs/fingerprint.md, "Comparisons"."""
MATCH = (
    "that two vectors match does not show that one model comes from the other: anybody can write down integers that "
    "reach a published vector, and prove them, without a model; make both sides answer their joint challenge (huref "
    "challenge), or let an auditor who saw a checkpoint vouch for one"
)
UNKNOWN = (
    "both sides answered a challenge that is neither their joint one nor yours (--challenge, --beacon): who knew it "
    "before committing could reach any vector"
)
OTHER_IDS = (
    "the two vectors were read at different token ids, where one model alone can have unrelated vectors"
)
OTHER_TOKENS = (
    "the two vectors were read at different tokens ({:.0%} are shared), so they say nothing about each other"
)
OTHER_TABLES = "the two vectors were made under different challenges, so they say nothing about each other"


@dataclass(frozen=True)
class FingerprintComparison:
    """Two fingerprints of one profile. `ids` are the model ids of the sides that are verified bundles.

    `expected` is the challenge that the caller named, `beacon` what goes into the joint one.
    """

    first: FingerprintFile
    second: FingerprintFile
    similarity: VectorSimilarity
    ids: tuple[str | None, str | None] = (None, None)
    expected: bytes = b""
    beacon: bytes = b""

    @property
    def case(self) -> Case:
        """Where the tables come from."""
        challenge = self.first.challenge
        if challenge != self.second.challenge:
            return "different challenges"
        if challenge is None:
            return "public"
        if challenge == self.expected.hex():
            return "your challenge"
        one, other = self.ids
        if one and other and one != other and challenge == joint_challenge(one, other, self.beacon):
            return "joint challenge"
        return "unknown challenge"

    @property
    def evidence(self) -> bool:
        """Whether both sides are proven, under tables that neither knew when it committed."""
        return None not in self.ids and self.case in ("joint challenge", "your challenge")

    @property
    def shared(self) -> float:
        """Part of the larger side's tokens that both sides read, by their bytes (by their ids in `paper`)."""
        one, other = (
            set(file.token_pieces or map(str, file.token_ids)) for file in (self.first, self.second)
        )
        return len(one & other) / max(len(one), len(other), 1)

    @property
    def comparable(self) -> bool:
        """Whether both vectors were made with the same tables, of nearly the same tokens."""
        return self.case != "different challenges" and self.shared >= ENOUGH_SHARED

    @property
    def verdict(self) -> str | None:
        """ "same base", "unrelated", "unclear", or None where the profile or the tables do not tell."""
        known = get_profile(self.first.profile).canonical and self.comparable
        if not known:
            return None
        return self.similarity.verdict_at(self.shared)

    def to_dict(self) -> dict[str, Any]:
        """As `huref compare --json` prints it."""
        return {
            "profile": self.first.profile,
            "challenges": [self.first.challenge, self.second.challenge],
            "case": self.case,
            "evidence": self.evidence,
            "cosine": self.similarity.cosine,
            "vector_terms": self.similarity.terms,
            "verdict": self.verdict,
            "same_tokens": self.first.token_ids == self.second.token_ids,
            "shared_tokens": round(self.shared, 4),
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
        if self.case == "different challenges":
            found.append(OTHER_TABLES)
        elif self.first.e is None and self.first.token_ids != self.second.token_ids:
            found.append(OTHER_IDS)
        elif self.shared < ENOUGH_SHARED:
            found.append(OTHER_TOKENS.format(self.shared))
        elif self.verdict != "unrelated" and not self.evidence and set(kinds) != {"checkpoint"}:
            found.append(UNKNOWN if self.case == "unknown challenge" else MATCH)
        return found


def compare_fingerprints(
    first: FingerprintFile,
    second: FingerprintFile,
    profile: str | None = None,
    *,
    ids: tuple[str | None, str | None] = (None, None),
    expected: bytes = b"",
    beacon: bytes = b"",
) -> FingerprintComparison:
    """Compare two fingerprints; `profile` is what both must have, None: whatever they have.

    Raises:
        UsageError: they are of different kinds, or not of the kind that was asked for.
        Malformed: one says that it is of a kind whose outputs it does not have.
    """
    keys = ("profile", "p") if first.e is not None else ("profile", "k", "p")
    for key in keys:
        if getattr(first, key) != getattr(second, key):
            raise UsageError(
                f"the two fingerprints differ in {key}: {getattr(first, key)} and {getattr(second, key)}",
                hint="make both with the same --profile" + ("" if first.e is not None else " and --k"),
            )
    known = get_profile(profile or first.profile)
    if first.profile != known.name:
        raise UsageError(f"the fingerprints are {first.profile}, not what was asked for")
    if (first.e is None) == known.whole or (second.e is None) == known.whole:
        raise Malformed(f"a fingerprint has not the outputs of profile {known.name}")
    one, other = (file.v if file.e is None else file.e for file in (first, second))
    similar = compare_outputs(one, other, known)
    return FingerprintComparison(first, second, similar, ids, expected, beacon)
