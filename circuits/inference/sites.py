"""The sites of the inference program as data (docs/inference.md §4). Every site makes one matrix per token.

`bound` is the static worst case of the accumulator's absolute value, below p/2. ⌊x⌉ is ⌊x + ½⌋, [x]_C is x clipped to
±C. A *secret shift* is base − step[j] + extra[j]: `step` a committed tensor, `extra` public and mostly zero.
"""

from __future__ import annotations

from dataclasses import dataclass

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.facts import Activation, Facts
from huref.circuits.inference.plain_sites import Add, HighGain, Lift, LowGain, OutputGain, Rotate, Rows

Extra = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Embed:
    """out[t, i] = embed[id_t, i] · 2^(unit + embed.step[id_t]), in [−`limit`, `limit`).

    With `positions` the same of that tensor's row of t's position is added. Exponents are at most `high`; the power is
    that of the table `multiples(square, high)`.
    """

    name: str
    cols: int
    unit: int
    limit: int
    bound: int
    positions: str
    square: int
    high: int


@dataclass(frozen=True)
class Norm:
    """S = Σ_i r[t, i]² + constant = m · 4^e + ρ, m in [2^12, 2^14), 0 ≤ ρ < 4^e.

    out = [⌊x · c(m) / 2^(shift + e)⌉]_clamp, x = r, or `scaled` where that is given.
    c is the table `inverse_roots(cols, scale)`. r = r1 · 2^limb + r0 with r0 in [−2^(limb−1), 2^(limb−1)), so that
    Σr1², Σr1·r0 and Σr0² are below p/2 (`squares`).
    """

    name: str
    cols: int
    source: str
    constant: int
    scale: int
    shift: int
    clamp: int
    bound: int
    squares: int
    limb: int
    behind: bool = False
    """Whether it norms what is written, and not the stream."""
    scaled: str = ""


@dataclass(frozen=True)
class Linear:
    """out[t, j] = [h]_clamp, h = ⌊(Σ_i tensor[j, i] · source[t, i] + b_j) / 2^s_j⌉ with the secret shift s_j.

    |h| < 4 · (clamp + 1): outside there is no proof. b is the number in the digits of the tensor `bias`, if there is
    one. With a `limb` nothing is clipped: h = hi · 2^limb + lo, |hi| < `clamp` >> limb + 1, else there is no proof.
    """

    name: str
    cols: int
    source: str
    tensor: str
    base: int
    extra: Extra
    clamp: int
    bound: int
    bias: str = ""
    limb: int = 0


@dataclass(frozen=True)
class HeadNorm:
    """Per head of `size` entries: S = Σ source² + constant = m · 4^e + ρ, m in [2^12, 2^14), 0 ≤ ρ < 4^e.

    out = ⌊source · F / 2^shift⌉, F = c(m) · 2^(top − e), c the table `inverse_roots(size, scale)`, e at most `top`.
    `squares` bounds S where the squares of the high limbs of `source` add up to less than 2^`high`: else there is no
    proof. |source · F| ≤ `bound` follows from S.
    """

    name: str
    cols: int
    source: str
    size: int
    constant: int
    scale: int
    top: int
    shift: int
    bound: int
    squares: int
    limb: int
    high: int


@dataclass(frozen=True)
class Gain:
    """out[t, j] = [⌊source[t, j] · (2^7 · tensor[0, j] + tensor[1, j]) / 2^shift⌉]_clamp; the tensor's steps are
    `step` and `step` − 7.
    """

    name: str
    cols: int
    source: str
    tensor: str
    step: int
    shift: int
    clamp: int
    bound: int


@dataclass(frozen=True)
class Turn:
    """Per head of `size` entries: out = [⌊H · D · R_t · source / 2^shift⌉]_clamp.

    R_t turns every plane by the public integer tables of `turns`, entries that are not turned are multiplied
    by cos of angle 0; D are public signs; H is the unscaled Walsh–Hadamard matrix of blocks of `block(size)` entries.
    """

    name: str
    cols: int
    source: str
    size: int
    theta: int
    stretch: int
    scale: tuple[int, int]
    shift: int
    clamp: int
    bound: int


@dataclass(frozen=True)
class Scores:
    """Per head and u ≤ t in t's sequence: z = ⌊Σ q·k / 2^shift⌉ − 256 · M, out = e(z), and Σ_u e in [2^16 − N, 2^17), N
    the length of the longest sequence.

    With a `cap` the quotient x lies in [−2^18, 2^18), else there is no proof, and its entry in `score_caps(2^18, cap)`
    stands in its place. M is an integer per head and token; the executors take the least for which every z < 256 and
    Σ_u e < 2^17.
    """

    name: str
    heads: int
    group: int
    size: int
    query: str
    key: str
    shift: int
    bound: int
    cap: int = 0


@dataclass(frozen=True)
class Mix:
    """Per head: out = ⌊Σ_{u ≤ t in t's sequence} e[t, u] · value[u, j] / 2^16⌉."""

    name: str
    cols: int
    heads: int
    group: int
    size: int
    scores: str
    value: str
    shift: int
    bound: int


@dataclass(frozen=True)
class Divide:
    """out[t, j] = ⌊source[t, j] · R / 2^s_j⌉, R = ⌊2^31 / Σ_u e⌉ per head, s_j secret.

    Limbs out = hi · 2^limb + lo with lo in [−2^(limb−1), 2^(limb−1)) and |hi| < `high`: outside there is no proof.
    """

    name: str
    cols: int
    size: int
    source: str
    scores: str
    steps: str
    base: int
    limb: int
    high: int
    bound: int


@dataclass(frozen=True)
class Activate:
    """out[t, j] = table[source[t, j]]: `activation(kind, unit, out_unit, bits)`."""

    name: str
    cols: int
    kind: Activation
    source: str
    unit: int
    out_unit: int
    bits: int


@dataclass(frozen=True)
class Multiply:
    """out[t, j] = ⌊left[t, j] · right[t, j] / 2^s_j⌉, s_j secret; limbs as in `Divide`."""

    name: str
    cols: int
    left: str
    right: str
    steps: str
    base: int
    extra: Extra
    limb: int
    high: int
    bound: int


@dataclass(frozen=True)
class Rescale:
    """out[t, j] = ⌊source[t, j] / 2^s_j⌉, s_j secret; limbs as in `Divide`."""

    name: str
    cols: int
    source: str
    steps: str
    base: int
    extra: Extra
    limb: int
    high: int
    bound: int


@dataclass(frozen=True)
class Low:
    """out[t, i] = ⌊Σ_j tensor[j, i] · 2^weight[j] · lo[t, j] / 2^shift⌉, `weight` public: what the low limbs add."""

    name: str
    cols: int
    source: str
    tensor: str
    weight: Extra
    limb: int
    shift: int
    bound: int


@dataclass(frozen=True)
class Write:
    """out[t, i] = ⌊(2^lifted · Σ_j tensor[j, i] · 2^weight[j] · hi[t, j] + low[t, i] + 2^raised · r[t, i] + b_i)
    / 2^shift⌉.

    The result lies in [−`limit`, `limit`): outside there is no proof. b = ⌊B / 2^`bias_shift`⌉ of the number B in the
    digits of the tensor `bias`, or B · 2^−`bias_shift` where that is negative; it lies in the same range. Without a
    `residual` (""), r is zero.
    """

    name: str
    cols: int
    source: str
    tensor: str
    weight: Extra
    limb: int
    low: str
    residual: str
    lifted: int
    raised: int
    shift: int
    limit: int
    bound: int
    bias: str = ""
    bias_shift: int = 0


@dataclass(frozen=True)
class Cap:
    """out[t, j] = table[source[t, j]]: `logit_caps(height, clamp, cap, unit)`."""

    name: str
    cols: int
    source: str
    cap: int
    unit: int
    height: int
    clamp: int


Site = (
    Embed | Norm | Linear | HeadNorm | Gain | Turn | Scores | Mix | Divide | Activate | Multiply | Rescale | Low
    | Write | Rows | Rotate | Lift | LowGain | HighGain | OutputGain | Add | Cap
)  # fmt: skip


@dataclass(frozen=True)
class InferenceProgram:
    """Sites in the order of execution, for sequences of `lengths` tokens, one behind the other; `logits` names the last
    one. Attention and positions know nothing of the sequences before.
    """

    shape: ModelShape
    facts: Facts
    lengths: tuple[int, ...]
    sites: tuple[Site, ...]
    logits: str

    @property
    def tokens(self) -> int:
        """Tokens of all sequences."""
        return sum(self.lengths)

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return max(self.lengths)
