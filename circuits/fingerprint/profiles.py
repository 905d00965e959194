"""Profiles: named, versioned tables of everything the owner must not choose (protocol §2).

`hardened-2` reads all layers of a commitment to the whole model; `paper-1` reproduces the reference code of the paper
(fingerprint §2) on a commitment of its own, to two layers. A profile is never edited once a bundle made with it
exists: a change gets a new name.
"""

from __future__ import annotations

from dataclasses import dataclass

from huref.common.errors import UsageError

LAYERS = 2
"""`paper` reads this many layers, counted from the end."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a version of the fingerprint reads.

    `whole`: it reads the commitment to a whole model, in int8 rows with steps; False means one of its own, to what it
    reads. `canonical`: tensors are brought to a canonical form (fingerprint §3) before rounding; False means raw.
    """

    name: str
    whole: bool
    canonical: bool


HARDENED = Profile(name="hardened-2", whole=True, canonical=True)
PAPER = Profile(name="paper-1", whole=False, canonical=False)

PROFILES: dict[str, Profile] = {profile.name: profile for profile in (HARDENED, PAPER)}
_CURRENT = {"hardened": HARDENED.name, "paper": PAPER.name}


def get_profile(name: str) -> Profile:
    """The profile called `name`; "hardened" and "paper" mean the current version of each.

    Raises:
        UsageError: there is no such profile.
    """
    full = _CURRENT.get(name, name)
    if full not in PROFILES:
        raise UsageError(f"no profile {name!r}", hint="known: " + ", ".join([*_CURRENT, *PROFILES]))
    return PROFILES[full]
