"""What attacks cost and what is left: `python -m benchmarks.plot_examination`, after `benchmarks.examination`.

Draws benchmarks/results/examination.png from examination.json beside it: the cosine of every derivative, rewrite and
attack with its price in parameters or perplexity. Needs matplotlib, `pip install 'huref[bench]'`.
"""

from __future__ import annotations

import json
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.environment import RESULTS
from huref.circuits.fingerprint.similarity import SAME_BASE, UNRELATED

_PARTS = ("attacks of", "vocabulary of", "derivatives of", "costly of")


def price(row: dict[str, Any]) -> str:
    """What it costs, in words."""
    found = []
    if row.get("added_parameters"):
        found.append(f"+{row['added_parameters']:.1%} parameters")
    if "perplexity_ratio" in row:
        found.append(f"perplexity × {row['perplexity_ratio']:.2f}")
    if row.get("largest_change_of_an_output"):
        found.append(f"outputs move by {row['largest_change_of_an_output']:.0e}")
    return ", ".join(found)


def main() -> None:
    """Draw the plot."""
    known = json.loads((RESULTS / "examination.json").read_text(encoding="utf-8"))
    lines = [
        (f"{part.rpartition(' ')[2]}: {kind}", row["cosine"], price(row))
        for start in _PARTS
        for part, rows in known.items()
        if part.startswith(start)
        for kind, row in rows.items()
    ]
    lines.sort(key=lambda line: line[1])
    figure, axes = plt.subplots(figsize=(11, 0.22 * len(lines) + 1), dpi=90)
    places = range(len(lines))
    axes.scatter([cosine for _, cosine, _ in lines], places, s=18, color="#20639b", zorder=3)
    axes.set_yticks(places, [name for name, _, _ in lines], fontsize=7)
    for place, (_, cosine, cost) in zip(places, lines, strict=True):
        side = "right" if cosine > 0.6 else "left"
        axes.annotate(cost, (cosine, place), (-6 if side == "right" else 6, -3), textcoords="offset points",
                      ha=side, fontsize=6, color="#555555")  # fmt: skip
    axes.axvspan(SAME_BASE, 1.02, color="#e6f2e6", zorder=0, label="same base")
    axes.axvspan(-0.05, UNRELATED, color="#f7e6e6", zorder=0, label="unrelated")
    axes.set_xlim(-0.05, 1.02)
    axes.set_ylim(-1, len(lines))
    axes.set_xlabel("cosine of the outputs with the original's")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower right", fontsize=7)
    figure.tight_layout()
    figure.savefig(RESULTS / "examination.png")


if __name__ == "__main__":
    main()
