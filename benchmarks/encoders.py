"""How the `sketch` and `cnn` encoders separate real checkpoints and their derivatives.

`python -m benchmarks.encoders` derives SmolLM2, MiniLM and paraphrase-MiniLM, makes the named derivatives of
the first two, and compares every fingerprint with every base, for both encoders on the same integer
weights.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.environment import store
from huref.circuits.fingerprint.compile import compile_program
from huref.circuits.fingerprint.encoder import standardize
from huref.circuits.fingerprint.profiles import HARDENED
from huref.prover.checkpoint.checkpoint import open_checkpoint
from huref.prover.checkpoint.families import open_model
from huref.prover.demo import checkpoints as demo_checkpoints
from huref.prover.derivatives.catalogue import DERIVATIVES, derive
from huref.prover.derivatives.store import load_model
from huref.prover.run.executor import execute
from huref.prover.run.fingerprint import derive as fingerprint
from huref.prover.vocabulary.tokens import order_tokens

ENCODERS = ("sketch", "cnn")
BASES = ("smollm2", "minilm", "paraphrase")
DERIVED_FROM = ("smollm2", "minilm")
QUICK = (
    "noise-10",
    "noise-30",
    "prune-20",
    "prune-50",
    "heads-zeroed",
    "neurons-zeroed",
    "int8",
    "int4",
    "rows-replaced",
)
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One compared pair: cosine of the standardized fingerprints by encoder."""

    model: str
    base: str
    cosine: dict[str, float]


def vectors(path: Path, tokens: Path | None = None) -> dict[str, Vector]:
    """The standardized v of one checkpoint by encoder; weights are read and quantized once."""
    model = open_model(path)
    found = fingerprint(model, HARDENED, "sketch", tokens=tokens)
    program = compile_program(model.shape, HARDENED, "cnn", found.k, found.p)
    return {
        "sketch": standardize(found.trace.v, "sketch"),
        "cnn": standardize(execute(program, found.weights).v, "cnn"),
    }


def minilm_tokens(folder: Path) -> Path:
    """MiniLM's token order as an id list, for its relatives that come without a tokenizer."""
    order = order_tokens(open_checkpoint(demo_checkpoints.find("minilm")))
    path = folder / "tokens.txt"
    path.write_text("\n".join(str(i) for i in order.ids) + "\n")
    return path


def compare(name: str, found: dict[str, Vector], bases: dict[str, dict[str, Vector]]) -> list[Row]:
    """Rows of one model against every base but itself."""
    return [
        Row(name, base, {e: round(float(found[e] @ other[e]) / found[e].size, 4) for e in ENCODERS})
        for base, other in bases.items()
        if base != name
    ]


def measure(names: tuple[str, ...], scratch: Path) -> tuple[list[Row], dict[str, dict[str, float]]]:
    """All rows, and the excess kurtosis of every base's v by encoder (0 for a Gaussian)."""
    listed = minilm_tokens(scratch)
    bases = {
        name: vectors(demo_checkpoints.find(name), listed if name == "paraphrase" else None) for name in BASES
    }
    rows = [
        row for i, a in enumerate(BASES) for row in compare(a, bases[a], {b: bases[b] for b in BASES[:i]})
    ]
    rows += compare("minilm-int8", vectors(demo_checkpoints.find("minilm-int8"), listed), bases)
    for base in DERIVED_FROM:
        source = demo_checkpoints.find(base)
        model = load_model(source)
        for name in names:
            started = time.perf_counter()
            folder = derive(source, name, scratch / "derived", model=model)
            rows += compare(f"{base} {name}", vectors(folder), bases)
            shutil.rmtree(folder)
            print(f"{base} {name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    kurtosis = {b: {e: round(float((v[e] ** 4).mean() - 3), 3) for e in ENCODERS} for b, v in bases.items()}
    return rows, kurtosis


def main() -> None:
    """Run, store the rows, print them as a table on stderr."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="every derivative, fine-tunes included")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows, kurtosis = measure(tuple(DERIVATIVES) if options.all else QUICK, Path(scratch))
    print(f"{'model':28} {'base':12} {'sketch':>8} {'cnn':>8}", file=sys.stderr)
    for row in rows:
        cosines = " ".join(f"{row.cosine[encoder]:8.3f}" for encoder in ENCODERS)
        print(f"{row.model:28} {row.base:12} {cosines}", file=sys.stderr)
    store("encoders", {"rows": [asdict(row) for row in rows], "excess_kurtosis": kurtosis})


if __name__ == "__main__":
    main()
