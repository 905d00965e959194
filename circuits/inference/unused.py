"""Facts that a layout does not use have one value each, so that no two directories say the same (protocol §2.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.facts import Facts, LayerFacts
from huref.common.errors import UsageError

_TURN = ("theta", "stretch")
_HEADS = ("raw_query", "raw_key", "query_gain", "key_gain")
_BEHIND = ("gained", "read_gain", "read", "written", "write_gain", "branch", "scaled")
_GATE = ("gate", "up_outliers")
_BEHIND_ONCE = ("lifted", "final")


def check_unused(shape: ModelShape, facts: Facts) -> None:
    """Raise `UsageError` where a fact of another layout than the shape's is given."""
    unused = [
        *(() if shape.rotary else _TURN),
        *(() if shape.qk_norm else _HEADS),
        *(() if shape.output_norm else _BEHIND),
        *(() if shape.gated else _GATE),
    ]
    alone = () if shape.output_norm else _BEHIND_ONCE
    found = [*_given(facts, alone, "")]
    for n, layer in enumerate(facts.layers):
        found += _given(layer, unused, f"layers[{n}].")
    if found:
        raise UsageError(f"inference.{found[0]}: this layout has no use for it")


def _given(facts: Facts | LayerFacts, names: tuple[str, ...] | list[str], where: str) -> Iterator[str]:
    unsaid = {field.name: field.default for field in fields(facts)} | {"gate": 0}
    return (f"{where}{name}" for name in names if getattr(facts, name) != unsaid[name])
