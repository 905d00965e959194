"""What the fingerprint must hold on real checkpoints: `python -m benchmarks.fidelity`.

Integer against floating point (both profiles; the paper's reference at full K, nothing pooled), base against
derivatives, unrelated models, and function-preserving attacks with badly scaled maps. Results go to
benchmarks/results/fidelity.json; docs/fidelity.md discusses them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.environment import store
from huref.circuits.fingerprint.encoder import standardize
from huref.circuits.fingerprint.profiles import HARDENED, PAPER
from huref.circuits.fingerprint.similarity import compare_vectors
from huref.circuits.program.program import OUTPUTS
from huref.prover.checkpoint.families import Model, open_model
from huref.prover.compare.similarity import factors, invariant_similarity
from huref.prover.demo import checkpoints as demo_checkpoints
from huref.prover.derivatives.catalogue import derive as make_derivative
from huref.prover.derivatives.invariances import applicable, attack
from huref.prover.derivatives.store import load_model, save_model
from huref.prover.run.fingerprint import Derivation, derive
from huref.prover.vocabulary.tokens import order_tokens, write_token_file

BASES = ("minilm", "smollm2")
MODERATE = ("noise-10", "prune-50-linear", "int4", "fine-tuned")
OTHERS = (
    "noise-30",
    "prune-50",
    "prune-20",
    "int8",
    "lora",
    "merged",
    "rows-replaced",
    "heads-zeroed",
    "neurons-removed",
)
STRENGTHS: dict[str, dict[str, float]] = {
    "mix_values": {"condition": 1e3},
    "mix_queries": {"condition": 1e3},
    "rescale_neurons": {"factor": 1e3},
    "move_gains": {"factor": 1e2},
    "shift_writers": {"strength": 30.0},
}
_ROWS = 512
_ICS_TOKENS = 1024  # an exact rewrite keeps the terms of any tokens


def reference_meanpool(model: Model, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """reshape(512, −1).mean(1) of the six stacked K×K terms, in float64, from every entry of every term."""
    means = []
    for left, right in factors(model, ids, PAPER):
        for start in range(0, len(left), _ROWS):
            means.append((left[start : start + _ROWS] @ right.T).mean(axis=1))
    return np.concatenate(means).reshape(OUTPUTS, -1).mean(axis=1)


def against_float(name: str, tokens: Path) -> tuple[dict[str, Any], Derivation]:
    """Both profiles of one checkpoint against floating point, and its hardened derivation."""
    model = open_model(demo_checkpoints.find(name))
    hardened = derive(model, HARDENED, tokens=tokens)
    paper = derive(model, PAPER, tokens=tokens)
    direct = standardize(reference_meanpool(model, paper.token_ids), "meanpool")
    reached = float(standardize(paper.trace.v, "meanpool") @ direct) / OUTPUTS
    return {
        "hardened_v": round(hardened.fidelity.v or 0.0, 5),
        "hardened_terms": {key: round(value, 5) for key, value in hardened.fidelity.terms.items()},
        "paper_v_against_reference_at_full_k": round(reached, 5),
        "paper_terms": {key: round(value, 5) for key, value in paper.fidelity.terms.items()},
    }, hardened


def against_base(base: Derivation, other: Model, tokens: Path, *, ics: bool = False) -> dict[str, float]:
    """Similarity of a model with the base that it was made from."""
    found = derive(other, HARDENED, tokens=tokens)
    report = {"cosine": round(compare_vectors(base.trace.v, found.trace.v, "sketch").cosine, 5)}
    if ics:
        rarest = base.token_ids[-_ICS_TOKENS:]
        terms = invariant_similarity((base.model, rarest), (other, rarest), HARDENED)
        report["smallest_ics"] = round(min(terms.terms.values()), 6)
    return report


def derivatives(name: str, base: Derivation, tokens: Path, scratch: Path, quick: bool) -> dict[str, Any]:
    """cos(v) of every named derivative with its base."""
    source, rows = demo_checkpoints.find(name), {}
    model = load_model(source)
    for kind in MODERATE if quick else MODERATE + OTHERS:
        folder = make_derivative(source, kind, scratch / "derived", model=model)
        rows[kind] = against_base(base, open_model(folder), tokens)
        shutil.rmtree(folder)
        print(name, kind, rows[kind], file=sys.stderr)
    return rows


def attacks(name: str, base: Derivation, tokens: Path, scratch: Path, quick: bool) -> dict[str, Any]:
    """ICS and cos(v) under function-preserving rewrites, badly scaled where they have a scale."""
    rows = {}
    model = load_model(demo_checkpoints.find(name))
    names = applicable(model)
    for kind in (one for one in names if one in STRENGTHS) if quick else names:
        folder = save_model(attack(model, kind, 7, **STRENGTHS.get(kind, {})), scratch / "attacked")
        rows[kind] = against_base(base, open_model(folder), tokens, ics=not quick)
        shutil.rmtree(folder)
        print(name, kind, rows[kind], file=sys.stderr)
    return rows


def measure(scratch: Path, quick: bool) -> dict[str, Any]:
    """All of the above."""
    result: dict[str, Any] = {"against_float": {}, "derivatives": {}, "attacks": {}, "other_models": {}}
    found: dict[str, Derivation] = {}
    lists = {}
    for name in BASES:
        lists[name] = scratch / f"{name}.txt"
        write_token_file(lists[name], order_tokens(demo_checkpoints.find(name)).ids)
        result["against_float"][name], found[name] = against_float(name, lists[name])
        print(name, result["against_float"][name], file=sys.stderr)
        result["derivatives"][name] = derivatives(name, found[name], lists[name], scratch, quick)
        result["attacks"][name] = attacks(name, found[name], lists[name], scratch, quick)
    for name in ("paraphrase", "minilm-int8"):  # they share MiniLM's vocabulary and bring no tokenizer
        found[name] = derive(open_model(demo_checkpoints.find(name)), HARDENED, tokens=lists["minilm"])
    for a, b in combinations(found, 2):
        similarity = compare_vectors(found[a].trace.v, found[b].trace.v, "sketch")
        result["other_models"][f"{a} / {b}"] = {
            "cosine": round(similarity.cosine, 5),
            "terms": {key: round(value, 3) for key, value in similarity.terms.items()},
        }
    return result


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only what docs/fidelity.md promises")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store("fidelity", measure(Path(scratch), options.quick))


if __name__ == "__main__":
    main()
