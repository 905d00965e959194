"""Other bounds for heads than that of `hardened-2`, in floating point: `python -m benchmarks.examination_caps`.

Every rule says how much the rows of heads count in qk and vo; ud is left alone. A rule has to keep what people do to a
model (noise, pruning) as well as heads that cancel, quiet and loud, and layers that hardly write. Results go to
benchmarks/results/examination_caps.json; docs/fingerprint.md says what came of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.environment import store
from benchmarks.examination import Subject
from benchmarks.examination_float import filtered, outputs
from benchmarks.examination_rows import Float, Rows, compared, derived, read
from huref.circuits.fingerprint.hardened.tables import pool_count, sketches
from huref.circuits.program.influence import ALIVE
from huref.prover.demo import checkpoints as demo

Rule = Callable[[Rows, str], Float]


def per_row(rows: Rows, term: str, share: float, octaves: float) -> Float:
    """Every row in proportion to its size, up to `octaves` above the size that `share` of all stay below."""
    influence = rows.influence[term]
    living = np.sort(influence[influence >= ALIVE])
    place = share * len(living)
    octave = living[min(int(place), len(living) - 1)]
    cap = octave + (place - (living < octave).sum()) / (living == octave).sum() + octaves
    return np.where(influence < ALIVE, 0.0, np.exp2(np.minimum(influence - cap, 0.0)))


def _sizes(rows: Rows, term: str) -> Float:
    """Of all rows, by head (heads, head_dim); 0 where nothing lives."""
    influence = rows.influence[term].reshape(-1, rows.head_dim)
    return np.where(influence < ALIVE, 0.0, np.exp2(influence.astype(np.float64)))


def per_head(rows: Rows, term: str, share: float, octaves: float) -> Float:
    """Every head in proportion to the root of the sum of its rows' squares, up to such a cap of heads."""
    sizes = _sizes(rows, term)
    heads = np.linalg.norm(sizes, axis=1)
    cap = np.quantile(heads[heads > 0], share) * 2.0**octaves
    return (sizes / np.maximum(heads, cap)[:, None]).reshape(-1)


def of_layer(rows: Rows, term: str, share: float) -> Float:
    """The same with a cap for every layer of its own, the size that `share` of its heads stay below."""
    sizes = _sizes(rows, term)
    heads = np.linalg.norm(sizes, axis=1).reshape(rows.layers, -1)
    cap = np.array([np.quantile(one[one > 0], share) if one.any() else 1.0 for one in heads])
    most = np.maximum(heads, cap[:, None]).reshape(-1)
    typical = np.quantile(heads[heads > 0], share)
    return (sizes * np.repeat(cap, heads.shape[1])[:, None] / most[:, None] / typical).reshape(-1)


def unit_of_layer(rows: Rows, term: str) -> Float:
    """The heads of every layer share one unit of influence, in proportion to their sizes."""
    sizes = _sizes(rows, term).reshape(rows.layers, -1)
    whole = np.linalg.norm(sizes, axis=1, keepdims=True)
    return (sizes / np.where(whole == 0, 1.0, whole)).reshape(-1)


def written(rows: Rows, term: str) -> Float:
    """Scores of a head times one signed number of what it writes, linear in v·o, so that what cancels cancels here."""
    plain = per_row(rows, term, 0.5, 1)
    if term != "qk":
        return plain
    left, right = rows.factors["vo"]
    ys, yt = seen(rows)
    signs = np.random.default_rng(5).choice([-1.0, 1.0], (len(ys), len(yt)))
    influence = rows.influence["vo"]
    size = np.where(influence < ALIVE, 0.0, np.exp2(influence - float(np.median(influence))))
    entries = (ys @ left.T) * (signs @ (yt @ right.T)) * size
    return plain * np.repeat(entries.sum(axis=0).reshape(-1, rows.head_dim).sum(axis=1), rows.head_dim)


def equal_once(rows: Rows, term: str, bound: Rule) -> Float:
    """A bound divided by the number of heads of the layer that score alike: 1 + Σ cos⁴ over its other heads.

    Heads can only cancel in what they write if they attend alike, so those that cancel have cosine 1 here.
    """
    ys, yt = seen(rows)
    left, right = (part.reshape(-1, rows.head_dim, part.shape[1]) for part in rows.factors["qk"])
    scores = []
    for q, k, size in zip(left, right, _sizes(rows, "qk"), strict=True):
        head = ((ys @ q.T) * (size / max(size.max(), 2.0**ALIVE))) @ (k @ yt.T)
        scores.append((head / max(float(np.linalg.norm(head)), 2.0**ALIVE)).astype(np.float32).reshape(-1))
    layers = np.stack(scores).reshape(rows.layers, -1, scores[0].size)
    alike = np.maximum(layers @ layers.transpose(0, 2, 1), 0.0) ** 4
    count = 1.0 + alike.sum(axis=2) - np.diagonal(alike, axis1=1, axis2=2)
    return bound(rows, term) / np.repeat(count.reshape(-1), rows.head_dim)


ROWS = partial(per_row, share=0.5, octaves=1)
HEADS = partial(per_head, share=0.25, octaves=0)
RULES: dict[str, Rule] = {
    "rows, twice the median": ROWS,
    "rows, the median": partial(per_row, share=0.5, octaves=0),
    "rows, four times the median": partial(per_row, share=0.5, octaves=2),
    "rows, the lower quartile": partial(per_row, share=0.25, octaves=0),
    "rows, twice the lower quartile": partial(per_row, share=0.25, octaves=1),
    "rows, four times the lower quartile": partial(per_row, share=0.25, octaves=2),
    "heads, the lower quartile": HEADS,
    "heads, twice the lower quartile": partial(per_head, share=0.25, octaves=1),
    "heads, the lower quartile of their layer": partial(of_layer, share=0.25),
    "heads of a layer share one unit": unit_of_layer,
    "scores times what their head writes": written,
    "rows, twice the median; equal scores count once": partial(equal_once, bound=ROWS),
    "heads, the lower quartile; equal scores count once": partial(equal_once, bound=HEADS),
    "heads, twice the lower quartile; equal scores count once": partial(
        equal_once, bound=partial(per_head, share=0.25, octaves=1)
    ),
}


def seen(rows: Rows) -> tuple[Float, Float]:
    """Both sketches under the empty challenge, the left one filtered."""
    return filtered(rows.x, sketches(rows.pieces, pool_count(len(rows.x)), b""))


def fingerprints(rows: Rows) -> dict[str, Float]:
    """e under every rule."""
    both = seen(rows)
    return {
        name: outputs({t: rows.operator(t, rule(rows, t)) for t in ("qk", "vo")} | {"ud": rows.ud}, *both)
        for name, rule in RULES.items()
    }


def main() -> None:
    """Measure and store."""
    report: dict[str, Any] = {}
    own: dict[str, dict[str, Float]] = {}
    for name in ("smollm2", "minilm"):
        subject = Subject(demo.find(name))
        own[name] = fingerprints(read(subject.model, subject.chosen, subject.weights))
        for kind, rows in derived(name, subject):
            row = {rule: compared(own[name][rule], e) for rule, e in fingerprints(rows).items()}
            report[f"{kind} of {name}"] = row
            print(name, kind, {rule: one["cosine"] for rule, one in row.items()}, file=sys.stderr, flush=True)
    report["smollm2 / minilm"] = {rule: compared(own["smollm2"][rule], own["minilm"][rule]) for rule in RULES}
    store("examination_caps", report)


if __name__ == "__main__":
    main()
