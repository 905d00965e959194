"""Curves of `results/proof.json`: seconds, memory, proof bytes and verification against committed weights.

Run as `python -m benchmarks.plot_scaling` (needs matplotlib, `pip install 'huref[bench]'`) after `benchmarks.proof`;
writes results/scaling.png.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

RESULTS = Path(__file__).parent / "results"
PROVE = ("commit intermediates", "look up", "products", "open")


def curves(rows: list[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Label → line → values, in the rows' order."""

    def wall(*stages: str) -> list[float]:
        return [sum(row["stages"][stage]["wall"] for stage in stages) for row in rows]

    return {
        "seconds, two cores": {
            "commit": wall("commit"),
            "prove": wall(*PROVE),
            "of it lookup": wall("look up"),
        },
        "peak memory, GB": {"whole process": [row["peak_gb"] for row in rows]},
        "proof, kB": {"proof": [row["proof_bytes"] / 1000 for row in rows]},
        "verify, seconds": {"verify": wall("verify")},
    }


def main() -> None:
    """Draw all curves on doubly logarithmic axes."""
    rows = json.loads((RESULTS / "proof.json").read_text())["sizes"]
    weights = [row["weights"] for row in rows]
    figure, axes = plt.subplots(1, 4, figsize=(16, 3.6), layout="constrained")
    for axis, (label, lines) in zip(axes, curves(rows).items(), strict=True):
        for name, values in lines.items():
            axis.plot(weights, values, marker="o", label=name)
        axis.set(xscale="log", yscale="log", xlabel="committed weights", title=label)
        axis.set_xscale("log", base=2)
        axis.grid(which="both", alpha=0.3)
        axis.legend()
    figure.savefig(RESULTS / "scaling.png", dpi=80)


if __name__ == "__main__":
    main()
