"""Every constant of `hardened-2` that the owner must not choose (docs/fingerprint.md, "hardened-2")."""

from __future__ import annotations

LABEL = b"huref fingerprint 2"
"""Every public table is drawn from a hash of this label, the challenge and the table's own name."""
TERMS = ("qk", "vo", "ud")
WEIGHTS = {"qk": 2, "vo": 3, "ud": 3}
"""What a term counts in the similarity. Scores can be added to without writing anything, so they count less."""
FEWEST_TOKENS = 256
POOLS = 128
"""P: pools of tokens on either side, halved (to 32) while K < 8·P."""
FEWEST_POOLS = 32
FILTER_STEPS = 2
"""Descent steps by which the left sketch loses the directions that all embeddings share."""
OUTPUTS = 4096
VECTOR = 512
"""v sums OUTPUTS / VECTOR neighbouring entries of e."""
INNER = 49152
"""Neurons (or rows of heads) of the whole model that one accumulator sums: a longer sum is cut into groups."""
TARGET, SKETCH_TARGET, FACTOR_TARGET = 26, 52, 16
"""Mean |out| over the calibration rows stays below this, as in protocol §3.3: more for sketches, whose clamp is far,
less for factors, whose columns have long tails."""
CALIBRATION_ROWS = 16
SKETCH_CLAMP = 1023
FACTOR_CLAMP = 127
"""The first factors of a term, one column per neuron of the whole model: 8 bits."""
PRODUCT_CLAMP = 1023
COMPARED_CLAMP = 255
"""`ud` and `gram`, whose inner product over many entries must stay below p/2."""
COMPARED_ROWS = 64
"""Calibration rows of `ud` and `gram`, where the two are compared."""
RATIO_BITS = 6
RATIO_CLAMP = 255
"""Public ratios of two proven sums, in units of 2^−6."""
ROW_BITS = 3
"""An embedding row is multiplied by an integer of at most 2^3, which is one."""
MULTIPLIER_BITS = 8
"""A factor's column is multiplied by an integer of at most 2^8, which is one."""
HEAD_BITS = 5
"""For rows of heads 2^5 is one: eight times as much is the largest."""
SCORES = 32
"""Scores by which heads are compared: of so many pools on the left with the same on the right, one each."""
SCORE_CLAMP, SCORE_TARGET = 15, 5
"""Factors of these scores have 5 bits, so that a score needs no shift; neither do scores, of which little more than
the sign is kept: what is compared is then of one size."""
