"""Sites that only models with norms behind attention and FFN have (docs/inference.md §4); as in `sites`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rows:
    """out[t] = embed[id_t], as it is committed."""

    name: str
    cols: int


@dataclass(frozen=True)
class Rotate:
    """out[t, j] = ⌊Σ_i Q[i, j] · source[t, i] / 2^shift⌉, Q the integers of `rotation(cols, bits)`; `back`: Q[j, i].

    With a `clamp` clipped to ±clamp. Nothing is larger than `largest` before that.
    """

    name: str
    cols: int
    source: str
    back: bool
    bits: int
    shift: int
    clamp: int
    largest: int
    bound: int


@dataclass(frozen=True)
class Lift:
    """out[t, i] = ⌊source[t, i] · F / 2^shift⌉ in [−`limit`, `limit`), F entry `unit` + embed.step[id_t] of the table
    `multiples(square, high)`.
    """

    name: str
    cols: int
    source: str
    square: int
    high: int
    unit: int
    shift: int
    limit: int
    bound: int


@dataclass(frozen=True)
class LowGain:
    """out[t, i] = ⌊lo[t, i] · (2^7 · tensor[0, i] + tensor[1, i]) / 2^shift⌉, lo the low limb of `source`."""

    name: str
    cols: int
    source: str
    tensor: str
    step: int
    limb: int
    shift: int
    bound: int


@dataclass(frozen=True)
class HighGain:
    """out[t, i] = ⌊(2^lifted · hi[t, i] · (2^7 · tensor[0, i] + tensor[1, i]) + low[t, i]) / 2^shift⌉ in
    [−`limit`, `limit`): the stream `source` times a gain; hi is its high limb, `low` what `LowGain` makes of the other.
    """

    name: str
    cols: int
    source: str
    tensor: str
    step: int
    limb: int
    low: str
    lifted: int
    shift: int
    limit: int
    bound: int


@dataclass(frozen=True)
class OutputGain:
    """out[t, i] = ⌊source[t, i] · (2^7 · tensor[0, i] + tensor[1, i]) / 2^shift⌉ in [−`limit`, `limit`); the tensor's
    steps are `step` and `step` − 7.
    """

    name: str
    cols: int
    source: str
    tensor: str
    step: int
    shift: int
    limit: int
    bound: int


@dataclass(frozen=True)
class Add:
    """out = ⌊(2^lifted · branch + 2^raised · residual) / 2^shift⌉ in [−`limit`, `limit`)."""

    name: str
    cols: int
    branch: str
    residual: str
    lifted: int
    raised: int
    shift: int
    limit: int
    bound: int
