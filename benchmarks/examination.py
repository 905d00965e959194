"""What `hardened-2` must hold on real checkpoints: `python -m benchmarks.examination [PART …]`.

Parts: `strangers` (and relatives, 40 challenges), `derivatives`, `attacks` (rewrites that change no output, logits
checked), `vocabulary` (tokens lost, added, renumbered), `costly` (attacks that cost perplexity), `float`. Results go to
benchmarks/results/examination.json, part by part; docs/fidelity.md discusses them. More strangers:
`--checkpoint NAME=PATH[=TOKENIZER]`, repeatable.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.environment import RESULTS, store
from huref.circuits.fingerprint.hardened.tables import pool_count
from huref.circuits.fingerprint.hardened.vector import similarity
from huref.circuits.program.evaluate import Trace
from huref.circuits.program.program import Program
from huref.circuits.whole import compile_whole
from huref.prover.checkpoint.families import Model, open_model
from huref.prover.commitment.stacked import StackedWeights
from huref.prover.demo import checkpoints as demo
from huref.prover.run.executor import execute
from huref.prover.run.whole import fill_whole
from huref.prover.vocabulary.frequency import word_list_counts
from huref.prover.vocabulary.selection import Chosen, chosen
from huref.prover.vocabulary.tokenizer import Vocabulary
from huref.prover.vocabulary.tokens import load_vocabulary

BASES = ("minilm", "smollm2")
DERIVATIVES = (
    *("int8", "fine-tuned", "lora", "merged", "int4", "noise-10", "prune-50-linear", "prune-50", "noise-30"),
    *("rows-replaced", "neurons-removed", "heads-zeroed", "layer-dropped"),
)
CHALLENGES = 40
STRENGTHS: dict[str, dict[str, float]] = {
    "mix_values": {"condition": 1e3},
    "mix_queries": {"condition": 1e3},
    "rescale_neurons": {"factor": 1e3},
    "move_gains": {"factor": 1e2},
    "shift_writers": {"strength": 30.0},
}
_TEXT = "huref.prover.derivatives"
_WIDTH = 64
"""Row width of a stack that is not committed."""


def challenge(number: int) -> bytes:
    """A pinned challenge; number 0 is the public fingerprint's, which is empty."""
    return hashlib.sha256(b"examination %d" % number).digest() if number else b""


class Subject:
    """A checkpoint with its vocabulary's counts, and its fingerprint under any challenge and choice of tokens."""

    def __init__(self, path: Path, tokenizer: Path | None = None) -> None:
        self.path, self.model = path, open_model(path)
        vocabulary = load_vocabulary(tokenizer or path)
        assert vocabulary is not None, path
        self.vocabulary: Vocabulary = vocabulary
        self.counts = word_list_counts(vocabulary.tokenizer, vocabulary.vocab_size)
        self.chosen = chosen(vocabulary, self.counts, self.model.vocab)
        self.weights = whole_weights(self.model, self.chosen)

    def run(self, number: int = 0) -> Trace:
        return fingerprint(self.model, self.weights, self.chosen, number)


def program(model: Model, choice: Chosen, number: int = 0) -> Program:
    """What is proven, under one of the pinned challenges."""
    pools = pool_count(len(choice.ids))
    return compile_whole(model.shape, choice.ids.tolist(), choice.pieces, pools, challenge(number))


def whole_weights(model: Model, choice: Chosen) -> StackedWeights:
    """The integers that a commitment to the model holds; the choice of tokens is in none of them."""
    space = StackedWeights.empty(program(model, choice), _WIDTH)
    fill_whole(model, space)
    return space


def fingerprint(model: Model, weights: StackedWeights, choice: Chosen, number: int = 0) -> Trace:
    """A run of the program; its `v` is e."""
    return execute(program(model, choice, number), weights)


def of_checkpoint(path: Path, choice: Chosen) -> NDArray[np.int64]:
    """e of a checkpoint on given tokens."""
    model = open_model(path)
    return fingerprint(model, whole_weights(model, choice), choice).v


def compared(first: NDArray[np.int64], second: NDArray[np.int64]) -> dict[str, Any]:
    """Similarity of two e, rounded."""
    found = similarity(first, second)
    terms = {name: round(value, 4) for name, value in found.terms.items()}
    return {"cosine": round(found.overall, 4), "terms": terms}


def strangers(models: dict[str, Subject], challenges: int) -> Iterator[tuple[str, Any]]:
    """Every pair under every challenge."""
    found: dict[tuple[str, str], list[list[float]]] = {}
    for number in range(challenges):
        outputs = {name: subject.run(number).v for name, subject in models.items()}
        for pair in combinations(outputs, 2):
            one = similarity(*(outputs[name] for name in pair))
            found.setdefault(pair, []).append([one.overall, *one.terms.values()])
    for (a, b), rows in found.items():
        values = np.array(rows)
        shared = len(set(models[a].chosen.pieces) & set(models[b].chosen.pieces))
        yield (
            f"{a} / {b}",
            {
                "tokens_shared": shared,
                "mean": [round(x, 4) for x in values.mean(axis=0).tolist()],
                "largest": round(float(np.abs(values[:, 0]).max()), 4),
                "smallest": round(float(values[:, 0].min()), 4),
                "spread": round(float(values[:, 0].std()), 4),
            },
        )


def of_model(subject: Subject, changed: Any, choice: Chosen | None = None) -> NDArray[np.int64]:
    """e of a changed `transformers` model, on the subject's tokens or others."""
    from huref.prover.derivatives.store import save_model

    picked = choice or subject.chosen
    with scratch() as folder:
        return of_checkpoint(save_model(changed, folder / "model"), picked)


@contextmanager
def scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def derivatives(name: str, subject: Subject) -> Iterator[tuple[str, Any]]:
    """Named derivatives."""
    from huref.prover.derivatives.catalogue import derive
    from huref.prover.derivatives.store import load_model

    base, model = subject.run().v, load_model(subject.path)
    for kind in DERIVATIVES:
        with scratch() as folder:
            other = of_checkpoint(derive(subject.path, kind, folder / "model", model=model), subject.chosen)
        yield kind, compared(base, other)


def attacks(name: str, subject: Subject) -> Iterator[tuple[str, Any]]:
    """Exact rewrites, with the largest change of an output and the share of added parameters."""
    from huref.prover.derivatives.compare import difference, outputs
    from huref.prover.derivatives.invariances import applicable, attack
    from huref.prover.derivatives.padding import ADDITIONS, add_neurons, loud_rows
    from huref.prover.derivatives.store import load_model

    base, model = subject.run().v, load_model(subject.path)
    ids = _text_ids(subject)[:, :32]
    before, size = outputs(model, ids), _parameters(model)
    made: dict[str, Callable[[], Any]] = {
        kind: lambda kind=kind: attack(model, kind, 7, **STRENGTHS.get(kind, {}))
        for kind in applicable(model)
    }
    if name == "smollm2":
        made |= {kind: lambda add=add: add(model, 7) for kind, add in ADDITIONS.items()}
        unused = subject.vocabulary.ordinary[subject.counts[subject.vocabulary.ordinary] == 0][:41]
        made["41 rows that never occur × 100"] = lambda: loud_rows(model, 7, unused.tolist())
    else:
        for kind in ("dead", "pairs"):
            made[f"5 % {kind} neurons × 300"] = lambda kind=kind: add_neurons(model, 7, 0.05, kind, 300.0)
    for kind, make in made.items():
        changed = make()
        report = compared(base, of_model(subject, changed))
        report["largest_change_of_an_output"] = float(f"{difference(before, outputs(changed, ids)):.2g}")
        report["added_parameters"] = round(_parameters(changed) / size - 1, 4)
        yield kind, report


def vocabulary(name: str, subject: Subject) -> Iterator[tuple[str, Any]]:
    """The same weights under a vocabulary that lost, gained or renumbered tokens."""
    base, old = subject.run().v, subject.chosen
    generator = np.random.default_rng(7)

    def report(pieces: list[bytes], counts: NDArray[np.int64], ids: NDArray[np.int64]) -> dict[str, Any]:
        from huref.prover.vocabulary.selection import choose

        places = choose(pieces, counts)
        again = Chosen(ids[places], tuple(pieces[i] for i in places.tolist()))
        kept = len(set(again.pieces) & set(old.pieces))
        e = fingerprint(subject.model, subject.weights, again).v
        return compared(base, e) | {"tokens_kept": kept}

    ids, pieces = subject.vocabulary.ordinary, list(subject.vocabulary.pieces)
    inside = ids < subject.model.vocab
    ids, pieces = ids[inside], [piece for piece, keep in zip(pieces, inside.tolist(), strict=True) if keep]
    counts = subject.counts[ids]
    order = generator.permutation(len(ids))
    yield "all tokens renumbered", report([pieces[i] for i in order], counts[order], ids[order])
    yield "last 16 tokens trimmed", report(pieces[:-16], counts[:-16], ids[:-16])
    for share in (0.01, 0.1):
        lost = set(generator.choice(old.ids, round(share * len(old.ids)), replace=False).tolist())
        keep = np.array([i not in lost for i in ids.tolist()])
        yield (
            f"{share:.0%} of the chosen tokens lost",
            report([p for p, k in zip(pieces, keep.tolist(), strict=True) if k], counts[keep], ids[keep]),
        )
    mined = [b" mined word %d" % i for i in range(4096)]
    rare = np.full(len(mined), max(1, int(np.median(counts[counts > 0]) // 64)))
    rows = generator.choice(ids, len(mined))
    yield "4096 rare words added", report(pieces + mined, np.append(counts, rare), np.append(ids, rows))


def costly(name: str, subject: Subject) -> Iterator[tuple[str, Any]]:
    """Attacks on the chosen rows themselves, with their price on text that holds none of them more than others."""
    import copy

    import torch

    from huref.prover.derivatives.store import load_model

    model = load_model(subject.path)
    ids, base = _text_ids(subject), subject.run().v
    before = _perplexity(model, ids)
    by_count = subject.chosen.ids[np.argsort(subject.counts[subject.chosen.ids], kind="stable")]
    for share in (0.25, 0.5, 1.0):
        changed, rows = copy.deepcopy(model), torch.tensor(by_count[: round(share * len(by_count))])
        table, output = changed.get_input_embeddings(), changed.get_output_embeddings()
        with torch.no_grad():
            if output is not None:
                output.weight = torch.nn.Parameter(table.weight.detach().clone())
                changed.config.tie_word_embeddings = False
            draws = torch.randn(len(rows), table.weight.shape[1], generator=torch.Generator().manual_seed(7))
            table.weight[rows] = draws * table.weight.std()
        report = compared(base, of_model(subject, changed))
        report["perplexity_ratio"] = round(_perplexity(changed, ids) / before, 4)
        yield f"random rows for the rarer {share:.0%} of the chosen tokens", report
    for share in (0.25, 0.5):  # among themselves, and in a tied head alike
        changed, rows = copy.deepcopy(model), torch.tensor(by_count[: round(share * len(by_count))])
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(7))
        with torch.no_grad():
            table = changed.get_input_embeddings()
            table.weight[rows] = table.weight[rows[order]].clone()
        report = compared(base, of_model(subject, changed))
        report["perplexity_ratio"] = round(_perplexity(changed, ids) / before, 4)
        yield f"rows of the rarer {share:.0%} of the chosen tokens permuted", report


def against_float(name: str, subject: Subject) -> Iterator[tuple[str, Any]]:
    """The integers against the same definition in floating point on rows that are not rounded."""
    from benchmarks.examination_float import unrounded

    yield "integer against float", unrounded(subject.model, subject.chosen, subject.run())


def _text_ids(subject: Subject) -> Any:
    from importlib.resources import files

    import torch

    text = (files(_TEXT) / "data" / "harbour.txt").read_text(encoding="utf-8")
    found = subject.vocabulary.tokenizer.encode(text, add_special_tokens=False).ids
    return torch.tensor([found[:512]])


def _perplexity(model: Any, ids: Any) -> float:
    import torch

    with torch.no_grad():
        logits = model(ids).logits[0, :-1]
        return float(torch.nn.functional.cross_entropy(logits, ids[0, 1:]).exp())


def _parameters(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


PARTS = {
    "float": against_float,
    "vocabulary": vocabulary,
    "derivatives": derivatives,
    "attacks": attacks,
    "costly": costly,
}


def subjects(extra: list[str]) -> dict[str, Subject]:
    """The demo's checkpoints, and others, NAME=PATH[=TOKENIZER] each."""
    minilm = demo.find("minilm")
    places: dict[str, tuple[Path, Path | None]] = {
        "minilm": (minilm, None),
        "minilm-int8": (demo.find("minilm-int8"), minilm),
        "paraphrase": (demo.find("paraphrase"), minilm),
        "smollm2": (demo.find("smollm2"), None),
    }
    for one in extra:
        name, path, *tokenizer = one.split("=")
        places[name] = (Path(path), Path(tokenizer[0]) if tokenizer else None)
    return {name: Subject(*place) for name, place in places.items()}


def _add(part: str, rows: dict[str, Any]) -> None:
    file = RESULTS / "examination.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    store(
        "examination", {name: value for name, value in known.items() if name != "environment"} | {part: rows}
    )


def main() -> None:
    """Measure and store, part by part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], "strangers", *PARTS])
    parser.add_argument("--checkpoint", action="append", default=[], metavar="NAME=PATH[=TOKENIZER]")
    parser.add_argument("--base", choices=BASES, action="append", help="only this model; repeatable")
    parser.add_argument("--challenges", type=int, default=CHALLENGES)
    options = parser.parse_args()
    parts = options.parts or ["strangers", *PARTS]
    if "strangers" in parts:
        rows = dict(strangers(subjects(options.checkpoint), options.challenges))
        print(json.dumps(rows, indent=1), file=sys.stderr)
        _add(f"strangers, {options.challenges} challenges", rows)
    for part in (one for one in parts if one in PARTS):
        for name in options.base or (BASES if part != "costly" else ("smollm2",)):
            found = {}
            for kind, row in PARTS[part](name, Subject(demo.find(name))):
                found[kind] = row
                print(name, kind, row, file=sys.stderr, flush=True)
                _add(f"{part} of {name}", found)


if __name__ == "__main__":
    main()
