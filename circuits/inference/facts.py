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
_EPSILON = r"[0-9]{1,3}(\.[0-9]{1,30})?|[1-9](\.[0-9]{1,30})?e-[0-9]{1,2}"
Outliers = tuple[tuple[int, int], ...]
"""Neurons with a coarser unit: (row, by how many bits), rows ascending."""


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """Units of one layer. `stream`: of the residual stream behind attention and behind the FFN.

    `query`, `key`: of q and k before they are turned; `query_shift`, `key_shift`: what is shifted away behind it.
    `value`, `mixed`, `gate`, `up`, `product`: of v, of attention's output y, of the gate h, of u and of a; without a
    gate, `gate` is 0 and `up` that of what the activation reads. With norms on q and k, `raw_query` and `raw_key` are
    units of what they norm, and `query_gain`, `key_gain` the steps of the gains behind them; 0 without. The unit of y
    and a is that of rows whose step is 2^0. `up_outliers`, `product_outliers`: neurons with a coarser unit of u or a.
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


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts of a whole model. `epsilon`: of its norms, as a decimal; `theta`: base of the rotary frequencies, 10000
    where nothing is turned; `window`: how many tokens attention sees at most, 0 for all.

    `embedding`: unit of the residual stream before the first layer; `logits`: unit of the logits; `shifts`: the least
    and the largest secret shift that a lookup table holds.
    """

    activation: Activation
    epsilon: str
    theta: int
    window: int
    embedding: int
    logits: int
    shifts: tuple[int, int]
    layers: tuple[LayerFacts, ...]

    def __post_init__(self) -> None:
        if self.activation not in get_args(Activation):
            raise Malformed("inference.activation: not known")
        if not isinstance(self.epsilon, str) or not re.fullmatch(_EPSILON, self.epsilon):
            raise Malformed("inference.epsilon: expected a short decimal number")
        if type(self.theta) is not int or not 1 < self.theta < 1 << 40:
            raise Malformed("inference.theta: expected an integer in 2..2^40")
        if type(self.window) is not int or not 0 <= self.window < 1 << 24:
            raise Malformed("inference.window: expected an integer in 0..2^24")
        if len(self.layers) > MAX_LAYERS:
            raise Malformed(f"inference.layers: more than {MAX_LAYERS}")
        low, high = self.shifts
        if not 0 <= low <= high <= 20:
            raise Malformed("inference.shifts: expected 0 <= least <= largest <= 20")
        for name in ("embedding", "logits"):
            _check_unit(f"inference.{name}", getattr(self, name))
        for n, layer in enumerate(self.layers):
            _check_layer(f"inference.layers[{n}]", layer)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = asdict(self)
        layers = [{name: _plain(value) for name, value in layer.items()} for layer in plain["layers"]]
        return {**plain, "shifts": list(self.shifts), "layers": layers}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Facts:
        """Read back `to_dict`. Raises `Malformed`."""
        if set(value) != {field.name for field in fields(cls)} or not isinstance(
            value["layers"], list | tuple
        ):
            raise Malformed("inference: missing or unknown fields")
        members = {**value, "shifts": _integers(value["shifts"], "shifts", 2)}
        members["layers"] = tuple(_layer(n, layer) for n, layer in enumerate(value["layers"]))
        return cls(**members)


def _plain(value: Any) -> Any:
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _check_unit(where: str, unit: Any) -> None:
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
            continue
        for unit in value if field.name == "stream" else (value,):
            _check_unit(f"{where}.{field.name}", unit)


def _layer(n: int, value: Any) -> LayerFacts:
    where = f"layers[{n}]"
    if not isinstance(value, Mapping) or set(value) != {field.name for field in fields(LayerFacts)}:
        raise Malformed(f"inference.{where}: missing or unknown fields")
    members = dict(value)
    members["stream"] = _integers(members["stream"], where, 2)
    for name in ("up_outliers", "product_outliers"):
        if not isinstance(members[name], list | tuple):
            raise Malformed(f"inference.{where}.{name}: expected pairs")
        members[name] = tuple(_integers(pair, where, 2) for pair in members[name])
    return LayerFacts(**members)


def _integers(value: Any, where: str, count: int) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or len(value) != count or any(type(x) is not int for x in value):
        raise Malformed(f"inference.{where}: expected {count} integers")
    return tuple(value)
