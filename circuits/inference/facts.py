"""What the inference program needs besides the shape: public facts of the directory, under the model id.

Units are exponents: an integer h at unit k stands for h · 2^−k. They are fixed when the model is committed, by a
calibration run, so that nobody tunes them to a prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from huref.circuits.fingerprint.shape import MAX_DIMENSION
from huref.common.errors import Malformed

Activation = Literal["silu", "gelu", "gelu_tanh"]

MAX_UNIT = 40
MAX_OUTLIER = 20
MAX_OUTLIERS = 1 << 8
"""Per layer and kind."""
MAX_LAYERS = 1 << 10
MAX_CAP = 1 << 8
"""Of scores and logits: a capped score is then within 2^17, in 256ths of an octave."""
_CAPS = ("score_cap", "logit_cap")
_EPSILON = r"[0-9]{1,3}(\.[0-9]{1,30})?|[1-9](\.[0-9]{1,30})?e-[0-9]{1,2}"
Outliers = tuple[tuple[int, int], ...]
"""Neurons with a coarser unit: (row, by how many bits), rows ascending."""
Shifts = tuple[tuple[str, tuple[int, int]], ...]
"""The least and the largest secret shift by tensor, the layers' under one name, in the order of SHIFTED."""
SHIFTED = ("q", "k", "v", "o", "gate", "up", "down", "head")
MAX_SHIFT = 20
_BOUNDS = {"theta": (2, 1 << 40), "stretch": (1, 1 << 10)}
_PAIRS = ("stream", "gained", "read_gain", "read", "written", "write_gain", "branch", "scaled")


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """Units of one layer. `stream`: of the residual stream behind attention and behind the FFN.

    `query`, `key`: of q and k before they are turned; `query_shift`, `key_shift`: what is shifted away behind it.
    `value`, `mixed`, `gate`, `up`, `product`: of v, of attention's output y, of the gate h, of u and of a; without a
    gate, `gate` is 0 and `up` that of what the activation reads. With norms on q and k, `raw_query` and `raw_key` are
    units of what they norm, and `query_gain`, `key_gain` the steps of the gains behind them; 0 without. The unit of y
    and a is that of rows whose step is 2^0. `up_outliers`, `product_outliers`: neurons with a coarser unit of u or a.

    `theta`: base of the rotary frequencies, 10000 where nothing is turned; `stretch`: what positions are divided by.
    With norms behind attention and FFN, pairs for both: `gained`, `read`: units behind the gain of the norm before it
    and of what is read, `read_gain`: the step of this gain; `written`, `branch`: units of what is written, before its
    norm and behind its gain, `write_gain`: the step of that gain; `scaled`: half-octaves by which what is written was
    brought to one size. (0, 0) without.
    """

    stream: tuple[int, int]
    query: int
    key: int
    query_shift: int
    key_shift: int
    value: int
    mixed: int
    gate: int
    up: int
    product: int
    raw_query: int = 0
    raw_key: int = 0
    query_gain: int = 0
    key_gain: int = 0
    up_outliers: Outliers = ()
    product_outliers: Outliers = ()
    theta: int = 10000
    stretch: int = 1
    gained: tuple[int, int] = (0, 0)
    read_gain: tuple[int, int] = (0, 0)
    read: tuple[int, int] = (0, 0)
    written: tuple[int, int] = (0, 0)
    write_gain: tuple[int, int] = (0, 0)
    branch: tuple[int, int] = (0, 0)
    scaled: tuple[int, int] = (0, 0)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts of a whole model. `epsilon`: of its norms, as a decimal; `window`: how many tokens attention sees at most,
    0 for all; `embedding_square`, `score_square`: squares of what the embedding is multiplied by and scores are divided
    by.

    `embedding`: unit of the residual stream before the first layer; `logits`: unit of the logits; `shifts`: the least
    and the largest secret shift of rows of a tensor, those of all layers together. With norms behind attention and FFN,
    `lifted`: unit of what rows of the embedding are multiplied by, `final`: what a layer has as `gained`, `read_gain`,
    `read`, of the norm before the head; 0 without. `score_cap`, `logit_cap`: caps c of scores and logits, which become
    c·tanh(x/c); 0 without, and then no field.
    """

    activation: Activation
    epsilon: str
    window: int
    embedding: int
    logits: int
    shifts: Shifts
    layers: tuple[LayerFacts, ...]
    embedding_square: int = 1
    score_square: int
    lifted: int = 0
    final: tuple[int, int, int] = (0, 0, 0)
    score_cap: int = 0
    logit_cap: int = 0

    def __post_init__(self) -> None:
        if self.activation not in get_args(Activation):
            raise Malformed("inference.activation: not known")
        if not isinstance(self.epsilon, str) or not re.fullmatch(_EPSILON, self.epsilon):
            raise Malformed("inference.epsilon: expected a short decimal number")
        for name, least in (("embedding_square", 1), ("score_square", 3)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= MAX_DIMENSION:
                raise Malformed(f"inference.{name}: expected an integer in {least}..{MAX_DIMENSION}")
        for name in _CAPS:
            value = getattr(self, name)
            if type(value) is not int or not 0 <= value <= MAX_CAP:
                raise Malformed(f"inference.{name}: expected an integer in 1..{MAX_CAP}")
        if type(self.window) is not int or not 0 <= self.window < 1 << 24:
            raise Malformed("inference.window: expected an integer in 0..2^24")
        if len(self.layers) > MAX_LAYERS:
            raise Malformed(f"inference.layers: more than {MAX_LAYERS}")
        if [name for name, _ in self.shifts] != [name for name in SHIFTED if name in dict(self.shifts)]:
            raise Malformed(f"inference.shifts: expected some of {', '.join(SHIFTED)}")
        for name, (low, high) in self.shifts:
            if not 0 <= low <= high <= MAX_SHIFT:
                raise Malformed(f"inference.shifts.{name}: expected 0 <= least <= largest <= {MAX_SHIFT}")
        for name in ("embedding", "logits", "lifted", "final"):
            _check_units(f"inference.{name}", getattr(self, name))
        for n, layer in enumerate(self.layers):
            _check_layer(f"inference.layers[{n}]", layer)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = {name: value for name, value in asdict(self).items() if name not in _CAPS or value}
        layers = [{name: _plain(value) for name, value in layer.items()} for layer in plain["layers"]]
        shifts = {name: list(pair) for name, pair in self.shifts}
        return {**plain, "shifts": shifts, "final": list(self.final), "layers": layers}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Facts:
        """Read back `to_dict`. Raises `Malformed`."""
        caps = {name for name in _CAPS if name in value}
        if set(value) != {field.name for field in fields(cls)} - set(_CAPS) | caps or not isinstance(
            value["layers"], list | tuple
        ):
            raise Malformed("inference: missing or unknown fields")
        for name in caps:
            if value[name] == 0:
                raise Malformed(f"inference.{name}: no field without a cap")
        members = {**value, "shifts": _shifts(value["shifts"])}
        members["final"] = _integers(value["final"], "final", 3)
        members["layers"] = tuple(_layer(n, layer) for n, layer in enumerate(value["layers"]))
        return cls(**members)


def _shifts(value: Any) -> tuple[tuple[str, tuple[int, ...]], ...]:
    if not isinstance(value, Mapping) or set(value) - set(SHIFTED):
        raise Malformed(f"inference.shifts: expected some of {', '.join(SHIFTED)}")
    return tuple((name, _integers(value[name], f"shifts.{name}", 2)) for name in SHIFTED if name in value)


def _plain(value: Any) -> Any:
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _check_units(where: str, units: Any) -> None:
    for unit in units if isinstance(units, tuple) else (units,):
        if type(unit) is not int or abs(unit) > MAX_UNIT:
            raise Malformed(f"{where}: expected a unit within ±{MAX_UNIT}")


def _check_layer(where: str, layer: LayerFacts) -> None:
    for field in fields(layer):
        value = getattr(layer, field.name)
        if field.name.endswith("_outliers"):
            rows = [row for row, _ in value]
            if len(rows) > MAX_OUTLIERS:
                raise Malformed(f"{where}.{field.name}: more than {MAX_OUTLIERS}")
            if rows != sorted(set(rows)) or any(
                not 0 <= row < MAX_DIMENSION or not 0 < by <= MAX_OUTLIER for row, by in value
            ):
                raise Malformed(f"{where}.{field.name}: expected ascending rows with 1..{MAX_OUTLIER} bits")
        elif field.name in _BOUNDS:
            low, high = _BOUNDS[field.name]
            if type(value) is not int or not low <= value <= high:
                raise Malformed(f"{where}.{field.name}: expected an integer in {low}..{high}")
        else:
            _check_units(f"{where}.{field.name}", value)


def _layer(n: int, value: Any) -> LayerFacts:
    where = f"layers[{n}]"
    if not isinstance(value, Mapping) or set(value) != {field.name for field in fields(LayerFacts)}:
        raise Malformed(f"inference.{where}: missing or unknown fields")
    members = dict(value)
    for name in _PAIRS:
        members[name] = _integers(members[name], where, 2)
    for name in ("up_outliers", "product_outliers"):
        if not isinstance(members[name], list | tuple):
            raise Malformed(f"inference.{where}.{name}: expected pairs")
        members[name] = tuple(_integers(pair, where, 2) for pair in members[name])
    return LayerFacts(**members)


def _integers(value: Any, where: str, count: int) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or len(value) != count or any(type(x) is not int for x in value):
        raise Malformed(f"inference.{where}: expected {count} integers")
    return tuple(value)
