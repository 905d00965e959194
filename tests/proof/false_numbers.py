"""What a malicious prover says that a run measures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from huref.circuits.program.numbers import InfluenceTrace, Measured, SiteNumbers
from huref.circuits.program.program import Deflation, Site, SketchSum
from tests.proof.programs import Case


def false_numbers(case: Case, values: Mapping[str, np.ndarray], **false: Mapping[str, Any]) -> Measured:
    """What a run measures, but for what is given by name.

    `influences` replaces whole rows; `caps` their published caps, from which the multipliers follow; `multipliers` the
    committed rows alone; `shares` rows of heads; `ratios` published sums. `entries`, `columns` and `weights` are what
    only single sites use.
    """
    measured, rows = Measured(case.program, ratios=dict(false.get("ratios", {}))), dict[str, np.ndarray]()
    measured.shares |= false.get("shares", {})
    for influence in case.program.influences:
        name = influence.name
        steps = np.sum([read.read(values) for read in influence.steps], axis=0)
        cap, found = influence.find(influence.gated(steps, rows))
        if name in false.get("caps", {}):
            cap = false["caps"][name]
            found = influence.multiplied(influence.gated(steps, rows), cap)
        found = false.get("multipliers", {}).get(name, found)
        measured.influences[name] = false.get("influences", {}).get(name, InfluenceTrace(steps, cap, found))
        rows[name] = measured.influences[name].multipliers
    return measured


def false_site(numbers: SiteNumbers, site: Site, **false: Mapping[str, Any]) -> SiteNumbers:
    """What a site uses of them, but for the `entries`, `columns` and `weights` that are given by name."""
    changed: dict[str, Any] = {}
    if isinstance(site.acc, SketchSum) and site.acc.multipliers in false.get("entries", {}):
        changed["entries"] = false["entries"][site.acc.multipliers]
    if site.name in false.get("columns", {}):
        changed["columns"] = false["columns"][site.name]
    if isinstance(site.acc, Deflation) and site.acc.ratio in false.get("weights", {}):
        changed["weight"] = false["weights"][site.acc.ratio]
    return dataclasses.replace(numbers, **changed)
