"""Static bounds: clamps, table heights and calibration row counts of a program (protocol §3.3, §3.4).

Prover and verifier compute all of these from public shapes and shifts with the functions below.
"""

from __future__ import annotations

from huref.circuits.program.program import Site
from huref.common.algebra.field import P as FIELD_PRIME
from huref.common.errors import Malformed

HEIGHT, SCALED_HEIGHT = 1 << 15, 1 << 12
MAX_SHIFT = 30
"""No accumulator below p/2 needs more: 2^30 > p/2."""


def fits(bound: int) -> bool:
    """Whether a static bound keeps "mod p" equal to "over the integers"."""
    return 2 * bound < FIELD_PRIME


def table_height(bound: int, shift: int, cap: int = HEIGHT) -> int:
    """H of protocol §3.3: the largest power of two ≤ cap with bound + H·2^s + 2^(s−1) < p, else 0.

    Below it, the equation of the re-quantization mod p has exactly one solution h in [−H, H).
    """
    half = (1 << shift) >> 1
    height = cap
    while height and bound + (height << shift) + half >= FIELD_PRIME:
        height >>= 1
    return height


def clamp_height(site: Site, shift: int) -> int:
    """`table_height` of a site; lower where columns have multipliers, since the table has a part for each of them."""
    return table_height(site.bound, shift, SCALED_HEIGHT if site.multipliers else HEIGHT)


def site_height(site: Site, shift: int) -> int:
    """`clamp_height` of a site at its published shift, checked.

    Raises:
        Malformed: the shift is out of range, or H < 4C (the table would not hold the clamp's tails).
    """
    if not 0 <= shift <= MAX_SHIFT:
        raise Malformed(f"{site.name}: shift {shift} is not between 0 and {MAX_SHIFT}")
    height = clamp_height(site, shift)
    if height < 4 * site.clamp:
        raise Malformed(f"{site.name}: no sound clamp table at shift {shift}")
    return height
