"""What runs of an inference program leave behind, and what generated tokens begin with."""

from __future__ import annotations

from dataclasses import dataclass, field

from huref.circuits.inference.evaluate_plain import Ints


@dataclass
class InferenceTrace:
    """What a run computes: `values` per site (tokens × cols; scores: heads × tokens × positions, zero behind a token's
    own position in its sequence).

    `octaves` M and `totals` Σe per scores site (heads × tokens); `scalars` (m, e) per norm site (tokens × 2; of norms
    of heads tokens × heads × 2).
    """

    values: dict[str, Ints] = field(default_factory=dict)
    octaves: dict[str, Ints] = field(default_factory=dict)
    totals: dict[str, Ints] = field(default_factory=dict)
    scalars: dict[str, Ints] = field(default_factory=dict)


@dataclass
class Past:
    """The first `tokens` of a sequence: their turned keys and their values, by site."""

    tokens: int = 0
    values: dict[str, Ints] = field(default_factory=dict)
