"""Clamps, limbs and scales of the inference program: what keeps every accumulator below p/2 (docs/inference.md §4)."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.tables import ROTARY_BITS, block
from huref.circuits.model.tensors import ADMITTED, DIGIT, DIGITS, GAIN_BITS, READ_UNIT
from huref.circuits.program.bounds import fits
from huref.circuits.program.functions import EXP_LOW, OCTAVE, ROOT_LOW, inverse_roots
from huref.common.algebra.field import P

MAX_TOKENS = 1 << 14
STREAM_LIMB = 9
"""Residual entries are r1 · 2^9 + r0."""
STREAM_OVER = 1 << (STREAM_LIMB - 1)
"""By how much the limbs reach further than −2^S."""
NORM_UNIT = READ_UNIT
NORM_CLAMP, WIDE_CLAMP = 4095, (1 << 13) - 1
"""Of norms; wide: of norms whose gains are not folded in."""
NORM_LENGTH = 514
"""‖n‖ ≤ 514 · √d follows from S, m, e, c and the rounding (docs/inference.md §4)."""
QUERY_CLAMP, VALUE_CLAMP, UP_CLAMP, LOGIT_CLAMP = 4095, 2047, 4095, (1 << 15) - 1
GATE_BITS, GATE_FINER = 16, 2
LIMB = 8
MIXED_HIGH = 1 << 8
"""High limbs of y are smaller than this."""
OCTAVE_BITS = 10
"""|M| is below 2^9: no score is further than 512 octaves from zero."""
SCORE_REACH = -EXP_LOW + (OCTAVE << (OCTAVE_BITS - 1)) + 2
"""Largest |z + 256·M|."""
SCORE_HEIGHT = 1 << 18
"""Scores that are capped are smaller than this before."""
LOGIT_HEIGHT = 4 * (LOGIT_CLAMP + 1)
"""Logits that are capped are smaller than this before."""
HEAD_UNIT = 8
"""Unit of heads of norm one."""
HEAD_CONSTANT = ROOT_LOW
"""What is added to the square of a head, so that one of zeros can be normed."""
HEAD_TOP = 8
"""4^HEAD_TOP · 2^14 is above every square of a head."""
BIAS_BOUND = ADMITTED * sum(1 << (DIGIT * row) for row in range(DIGITS))
"""The largest number in a bias's digits."""
GAIN_LIMIT = ADMITTED * ((1 << GAIN_BITS) + 1)
"""The largest gain in its finer unit."""


@dataclass(frozen=True)
class StreamSize:
    """Entries of the residual stream lie in [−2^bits, 2^bits), r1 · 2^limb + r0; what a norm scales in
    [−2^narrow, 2^narrow), in the same limbs.
    """

    limb: int
    bits: int
    narrow: int

    @property
    def over(self) -> int:
        """By how much the limbs reach further than −2^bits."""
        return 1 << (self.limb - 1)


def stream_size(shape: ModelShape) -> StreamSize:
    """Where the stream is not rotated, its largest entries are further from the others."""
    limb = STREAM_LIMB
    if not shape.output_norm:
        bits = stream_bits(shape.hidden)
        return StreamSize(limb, bits, bits)
    while limb < 11 and fits(shape.hidden << (2 * limb)):
        limb += 1
    bits = stream_bits(shape.hidden, limb)
    return StreamSize(limb, bits, min(bits, 18))


def stream_bits(hidden: int, limb: int = STREAM_LIMB) -> int:
    """S: residual entries lie in [−2^S, 2^S). At most limb + 10; the sum of squared high limbs stays below p/2."""
    bits = limb + 10
    while not fits(hidden << (2 * (bits - limb))):
        bits -= 1
    return bits


def norm_scale(hidden: int, reach: int = 0) -> int:
    """Largest x for which r · c(m), c(m) ≤ √hidden · 2^(x−6), stays below p/2, with c(m) of at most 12 bits.

    `reach` is the largest |r|, that of the rotated stream if 0.
    """
    scale, reach = 17, reach or (1 << stream_bits(hidden)) + STREAM_OVER
    while (c := int(inverse_roots(hidden, scale)[0])) >= 1 << 12 or not fits(c * reach):
        scale -= 1
    return scale


def product_bound(gated: bool) -> int:
    """Bound of the gate behind its activation times up, or of up behind it alone."""
    return (UP_CLAMP if gated else 1) << (GATE_BITS - 1 + GATE_FINER)


def product_high(ffn: int) -> int:
    """High limbs of a are smaller than this: 2^11, or what leaves room for half as much again of outliers."""
    high = 1 << 11
    while not fits(3 * ffn * ADMITTED * high // 2):
        high >>= 1
    return high


def reach_by_shift(bound: int, reach: int, low: int, high: int) -> tuple[int, tuple[int, ...]]:
    """The largest shift s ≤ high with bound + (reach + 2)·2^s < p, below `low` if there is none; and how far an integer
    h with acc + ⌊2^s / 2⌋ − ℓ = h·2^s, |acc| ≤ bound, may be from zero for s and each shift above it, so that there is
    one solution: `reach`, then the largest H with bound + (H + 2)·2^s < p.
    """
    most = high
    while most >= low and bound + (reach + 2 << most) >= P:
        most -= 1
    return most, (reach, *(min(reach, (P - 1 - bound >> s) - 2) for s in range(most + 1, high + 1)))


def written_bound(terms: int, high: int, left: int, beside: int) -> int:
    """Bound of what is written to the stream, lifted by `left` bits: sums of `terms` weights times limbs, the low ones
    shifted away, with `beside` from elsewhere. `left` is at most LIMB.
    """
    weights = terms * ADMITTED
    return (weights * high << left) + ((weights << (LIMB - 1)) >> (LIMB - left)) + 1 + beside


def largest_lift(terms: int, high: int, beside: int) -> int:
    """The largest `left` for which `written_bound` stays below p/2; −1 if there is none."""
    return max(
        (left for left in range(LIMB + 1) if fits(written_bound(terms, high, left, beside))), default=-1
    )


RAW_LIMB, RAW_HIGH, RAW_SQUARES = 7, 1 << 7, 15
RAW_CLAMP = RAW_HIGH - 1 << RAW_LIMB
"""q and k before their norms: high limbs are smaller than RAW_HIGH; the sum of their squares has so many bits."""


def raw_squares(size: int) -> int:
    """Bound of the sum of a head's squares before its norm, from that of its high limbs."""
    return ((isqrt(1 << RAW_SQUARES) + 1 << RAW_LIMB) + (isqrt(size) + 1 << (RAW_LIMB - 1))) ** 2


def turned_clamp(size: int) -> int:
    """Largest C with size · C² < p/2: clamp of q and k behind the rotary embedding, at most 4095."""
    return min(QUERY_CLAMP, isqrt((P - 1) // 2 // size))


def head_norm_scale(size: int) -> int:
    """Largest x with c(2^12) ≤ √size · 2^(x−6) of at most 12 bits."""
    scale = 17
    while int(inverse_roots(size, scale)[0]) >= 1 << 12:
        scale -= 1
    return scale


def query_scale(square: int) -> tuple[int, int]:
    """(square, f) with log2(e) · 2^f / √square in (½, 1], or f = 0 where that is too large."""
    f = 0
    while 2.0813689810056077 * 4 ** (f + 1) <= square:  # log2(e)²
        f += 1
    return square, f


def score_unit(size: int, square: int, units: int, shifts: int) -> int:
    """Unit of q·k behind the rotary embedding, in octaves, from the sums of both sides' units and shifts; scores are
    divided by √square.
    """
    return units + block(size).bit_length() - 1 + 2 * ROTARY_BITS + query_scale(square)[1] - shifts


def largest_score_shift(size: int) -> int:
    """The largest shift of scores whose equation has one solution: bound + SCORE_REACH · 2^shift < p."""
    bound, shift = size * turned_clamp(size) ** 2, 0
    while bound + (SCORE_REACH << shift + 1) < P:
        shift += 1
    return shift


WIDEST = 6144
"""Columns of a stream that is not rotated: a verifier of any statement holds the matrix that turns it."""


LARGEST_MULTIPLE, ROTATED_MULTIPLE = 17, 13
"""Rows of the embedding are multiplied by at most two to this power; where they are rotated first, to the second."""


def multiple_high(square: int, bits: int) -> int:
    """Largest exponent of a row that is multiplied by √square: √square · 2^s is at most 2^bits."""
    return bits - ((square - 1).bit_length() + 1) // 2


def read_clamp(hidden: int) -> int:
    """Largest C ≤ 4095 with 128 · hidden · C < p/2: clamp of what is read where the stream is not rotated."""
    clamp = NORM_CLAMP
    while not fits(ADMITTED * hidden * clamp):
        clamp -= 1
    return clamp


def rotation_bound(hidden: int, length: int, bits: int) -> int:
    """Bound of a rotated vector of norm at most `length`, before its rounding: rows of 2^bits · Q, rounded."""
    return length * ((1 << bits) + isqrt(hidden) // 2 + 1)


def rotation_bits(hidden: int, length: int) -> int:
    """The most bits, up to 14, of a matrix that rotates vectors of norm at most `length`."""
    bits = 14
    while not fits(rotation_bound(hidden, length, bits)):
        bits -= 1
    return bits
