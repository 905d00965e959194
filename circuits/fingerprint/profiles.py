"""Profiles: named, versioned tables of everything the owner must not choose (protocol §2).

`hardened-1` is the default; `paper-1` reproduces the reference code of the paper (fingerprint §2); `whole-1` reads all
layers of a commitment to the whole model. `hardened-2` (docs/fingerprint.md) is defined and computed in the clear, and
is no profile until all of it is proven. A profile is never edited once a bundle made with it exists: a change gets a
new name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from huref.common.errors import UsageError

Encoder = Literal["sketch", "cnn", "meanpool"]

ENCODERS: tuple[Encoder, ...] = ("sketch", "cnn", "meanpool")
LAYERS = 2
"""The fingerprint reads this many layers, counted from the end."""
PROTOCOL_LABEL = b"huref protocol 1"
"""Every public pseudo-random table is drawn from SHAKE-256 of this label and the table's own name."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Pinned constants of one version of the fingerprint.

    `whole`: it reads the commitment to a whole model; False means one of its own, to what it reads.
    `canonical`: tensors are brought to the canonical form (fingerprint §3) before rounding; False means raw
    weights. `pooling`: "signed" is the zero-sum sketch on both sides, "block" sums blocks of tokens on the
    left and all tokens on the right. `kv_view`: how stored kv heads serve query heads. `gated_term`: the
    feed-forward term of a gated model uses gate∘up on its left side.
    `weight_bits`: width of every tensor but gate and up of a gated term, which take the first pair of
    `gated_bits` that leaves their input a clamp of at least `gated_clamp`.
    `clip_sigmas`: entries beyond this many standard deviations of their tensor are clipped (fingerprint §3).
    `gated_target` replaces the calibration target at the two factors of a gated term, whose few dominant
    neurons would otherwise be clamped.
    `max_clamp`, `min_clamp`, `table_cap`, `calibration_rows`: protocol §3.3.
    """

    name: str
    whole: bool = False
    canonical: bool
    pooling: Literal["signed", "block"]
    kv_view: Literal["repeat", "tile"]
    gated_term: bool
    encoders: tuple[Encoder, ...]
    clip_sigmas: float
    weight_bits: int = 8
    gated_bits: tuple[tuple[int, int], ...] = ((8, 8), (8, 7), (7, 7), (7, 6), (6, 6), (6, 5), (5, 5))
    gated_clamp: int = 255
    max_clamp: int = 2047
    min_clamp: int = 63
    table_cap: int = 1 << 15
    gated_target: int = 8
    calibration_rows: int = 16

    @property
    def default_encoder(self) -> Encoder:
        """The encoder used when none is asked for."""
        return self.encoders[0]


HARDENED = Profile(
    name="hardened-1",
    canonical=True,
    pooling="signed",
    kv_view="repeat",
    gated_term=False,
    encoders=("sketch", "cnn"),
    clip_sigmas=8.0,
)
WHOLE = Profile(
    name="whole-1",
    whole=True,
    canonical=True,
    pooling="signed",
    kv_view="repeat",
    gated_term=False,
    encoders=("sketch",),
    clip_sigmas=4.5,
)
PAPER = Profile(
    name="paper-1",
    canonical=False,
    pooling="block",
    kv_view="tile",
    gated_term=True,
    encoders=("meanpool",),
    clip_sigmas=1000.0,
)

PROFILES: dict[str, Profile] = {profile.name: profile for profile in (HARDENED, WHOLE, PAPER)}
_CURRENT = {"hardened": "hardened-1", "whole": "whole-1", "paper": "paper-1"}


def get_profile(name: str) -> Profile:
    """The profile called `name`; "hardened" and "paper" mean the current version of each.

    Raises:
        UsageError: there is no such profile.
    """
    full = _CURRENT.get(name, name)
    if full not in PROFILES:
        raise UsageError(f"no profile {name!r}", hint="known: " + ", ".join([*_CURRENT, *PROFILES]))
    return PROFILES[full]


def check_encoder(profile: Profile, encoder: str) -> None:
    """Raise `UsageError` unless `profile` allows `encoder`."""
    if encoder not in profile.encoders:
        raise UsageError(
            f"profile {profile.name} has no encoder {encoder!r}",
            hint="it has: " + ", ".join(profile.encoders),
        )
