"""Cost per token of a proof of inference, by the number of tokens and by the size of the model.

Run as `python -m benchmarks.plot_inference` (needs matplotlib, `pip install 'huref[bench]'`) after
`benchmarks.inference_proof`; writes results/inference_proof.png. Other models are taken from
results/inference_scale.json where it is there: `{"models": {NAME: {"parameters": n, "tokens": {T: …}}}}` with the
entries of results/inference_proof.json.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

from benchmarks.environment import RESULTS
from benchmarks.llama_checkpoint import SIZES, VirtualLlama

Lines = dict[str, tuple[list[float], list[float]]]
"""Label → x and y."""
COSTS = {
    "prove, wall seconds per token": lambda found: found["prove"]["wall"],
    "prove, CPU seconds per token": lambda found: found["prove"]["cpu"],
    "proof, kB per token": lambda found: found["proof_bytes"] / 1000,
}


def smollm2_parameters() -> int:
    """Of SmolLM2-135M, whose result has no count: those of its shape."""
    model = VirtualLlama(SIZES["135M"])
    return sum(prod(model.shape(name)) for name in model.names())


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Model → parameters and its entries by T, smallest model first; random weights are models of their own."""
    proof = json.loads((folder / "inference_proof.json").read_text())
    models = {proof["model"]: {"parameters": smollm2_parameters(), "tokens": proof["tokens"]}}
    if (scale := folder / "inference_scale.json").exists():
        models |= {f"{name} shape": model for name, model in json.loads(scale.read_text())["models"].items()}
    return dict(sorted(models.items(), key=lambda item: int(item[1]["parameters"])))


def by_tokens(models: dict[str, dict[str, Any]], cost: str) -> Lines:
    """A line per model: T, cost of one token."""
    found: Lines = {}
    for name, model in models.items():
        tokens = sorted(int(t) for t in model["tokens"])
        found[name] = [float(t) for t in tokens], [COSTS[cost](model["tokens"][str(t)]) / t for t in tokens]
    return found


def by_size(models: dict[str, dict[str, Any]], cost: str) -> Lines:
    """A line per T: parameters, cost of one token, of the models that were measured with it."""
    counts = sorted({int(t) for model in models.values() for t in model["tokens"]})
    found: Lines = {}
    for t in counts:
        having = [model for model in models.values() if str(t) in model["tokens"]]
        sizes = [float(model["parameters"]) for model in having]
        found[f"{t} tokens"] = sizes, [COSTS[cost](model["tokens"][str(t)]) / t for model in having]
    return found


def main() -> None:
    """Draw all curves on doubly logarithmic axes; those by size where there is more than one."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    models = read(RESULTS)
    kinds = [(by_tokens, "tokens", 2), (by_size, "parameters", 10)][: 1 if len(models) == 1 else 2]
    size = (15, 3.8 * len(kinds))
    figure, axes = plt.subplots(len(kinds), len(COSTS), figsize=size, layout="constrained", squeeze=False)
    for row, (lines, label, base) in zip(axes, kinds, strict=True):
        for axis, cost in zip(row, COSTS, strict=True):
            for name, (places, values) in lines(models, cost).items():
                axis.plot(places, values, marker="o", label=name)
            axis.set_xscale("log", base=base)
            axis.set_yscale("log")
            axis.set(xlabel=label, title=cost)
            if label == "tokens":
                axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
            axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.yaxis.set_minor_formatter(NullFormatter())
            axis.grid(which="both", alpha=0.3)
            axis.legend(fontsize=8)
    figure.savefig(RESULTS / "inference_proof.png", dpi=80)


if __name__ == "__main__":
    main()
