"""Static bounds: clamps, table heights and calibration row counts of a program (protocol §3.3, §3.4).

Prover and verifier compute all of these from public shapes and shifts with the functions below.
"""

from __future__ import annotations

from circuits.profiles import Profile
from circuits.program import Program, Site
from common.errors import UsageError
from common.field import P as FIELD_PRIME

MAX_SHIFT = 30
"""No accumulator below p/2 needs more: 2^30 > p/2."""


def fits(bound: int) -> bool:
    """Whether a static bound keeps "mod p" equal to "over the integers"."""
    return 2 * bound < FIELD_PRIME


def largest_clamp(profile: Profile, *, linear: int = 1, square: int = 0) -> int:
    """Largest C = 2^m − 1 ≤ max_clamp with linear·C and square·C² below p/2; 0 if not even 1 fits."""
    clamp = profile.max_clamp
    while clamp and not (fits(linear * clamp) and fits(square * clamp * clamp)):
        clamp >>= 1
    return clamp


def calibration_rows(profile: Profile, rows: int, cols: int, clamp: int) -> int:
    """R of protocol §3.3, rounded down to a power of two: rows that the canonical shift is computed on.

    Raises:
        UsageError: not even one row fits.
    """
    limit = min(profile.calibration_rows, rows, ((FIELD_PRIME - 1) // 2 - 1) // (cols * clamp))
    if limit < 1:
        raise UsageError(
            f"{cols} columns with entries up to {clamp} are too many for a calibration sum below p/2"
        )
    return 1 << (limit.bit_length() - 1)


def table_height(bound: int, shift: int, cap: int = 1 << 15) -> int:
    """H of protocol §3.3: the largest power of two ≤ cap with bound + H·2^s + 2^(s−1) < p, else 0.

    Below it, the equation of the re-quantization mod p has exactly one solution h in [−H, H).
    """
    half = (1 << shift) >> 1
    height = cap
    while height and bound + (height << shift) + half >= FIELD_PRIME:
        height >>= 1
    return height


def site_height(site: Site, shift: int, cap: int = 1 << 15) -> int:
    """`table_height` of a site at its shift, checked.

    Raises:
        UsageError: the shift is out of range, or H < 4C (the table would not hold the clamp's tails).
    """
    if not 0 <= shift <= MAX_SHIFT:
        raise UsageError(f"{site.name}: shift {shift} is outside 0..{MAX_SHIFT}")
    height = table_height(site.bound, shift, cap)
    if height < 4 * site.clamp:
        raise UsageError(
            f"{site.name}: at shift {shift} the clamp table has height {height} < {4 * site.clamp}"
        )
    return height


def table_heights(program: Program, shifts: dict[str, int], cap: int = 1 << 15) -> dict[str, int]:
    """H of every site of `program` at the published `shifts`.

    Raises:
        UsageError: a shift is missing, unknown, out of range, or makes a table too small.
    """
    if set(shifts) != set(program.site):
        raise UsageError("shifts: expected exactly one shift per site of the program")
    return {site.name: site_height(site, shifts[site.name], cap) for site in program.sites}
