"""What the integers of `paper` keep of the reference on real checkpoints: `python -m benchmarks.fidelity`.

Against floating point: every term, and v against the paper's reference at full K, nothing pooled. Results go to
benchmarks/results/fidelity.json; docs/fidelity.md discusses them. benchmarks/examination.py measures `hardened-2`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.environment import store
from huref.circuits.fingerprint.outputs import standardize
from huref.circuits.fingerprint.profiles import PAPER
from huref.circuits.program.program import OUTPUTS
from huref.prover.checkpoint.families import Model, open_model
from huref.prover.compare.similarity import factors
from huref.prover.demo import checkpoints as demo_checkpoints
from huref.prover.run.fingerprint import derive

BASES = ("minilm", "smollm2")
_ROWS = 512


def reference_meanpool(model: Model, ids: Sequence[int]) -> NDArray[np.float64]:
    """reshape(512, −1).mean(1) of the six stacked K×K terms, in float64, from every entry of every term."""
    means = []
    for pair in factors(model, np.array(ids, np.int64), PAPER):
        assert pair is not None  # `paper` has all terms
        left, right = pair
        for start in range(0, len(left), _ROWS):
            means.append((left[start : start + _ROWS] @ right.T).mean(axis=1))
    return np.concatenate(means).reshape(OUTPUTS, -1).mean(axis=1)


def against_float(name: str) -> dict[str, Any]:
    """A checkpoint's integers against floating point."""
    model = open_model(demo_checkpoints.find(name))
    paper = derive(model, PAPER)
    if paper.fidelity is None:
        raise SystemExit("no fidelity was measured")
    direct = standardize(reference_meanpool(model, paper.tokens.ids), PAPER)
    reached = float(standardize(paper.trace.v, PAPER) @ direct) / OUTPUTS
    return {
        "paper_v_against_reference_at_full_k": round(reached, 5),
        "paper_terms": {key: round(value, 5) for key, value in paper.fidelity.terms.items()},
    }


def main() -> None:
    """Measure and store."""
    found = {}
    for name in BASES:
        found[name] = against_float(name)
        print(name, found[name], file=sys.stderr)
    store("fidelity", {"against_float": found})


if __name__ == "__main__":
    main()
