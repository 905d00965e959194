"""Writes relations.json: relations and geometry of a run in every layout, and of several sequences, part by part as
SHA-256 (protocol §13.8).

An implementation written from docs/protocol.md alone gave the same digests. Run from the repository root:
python -m tests.vectors.make_relation_vectors
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference.facts import Facts
from huref.circuits.inference.relations import relate
from huref.circuits.inference_statement import Answer, InferenceStatement
from huref.circuits.relations.setup import prepare_relations
from huref.circuits.whole import committed_tensors
from huref.common.params import Knobs
from tests.support.inference_runs import BEHIND, BIASED, CAPPED, NORMED, TINY, UNEVEN, UNTURNED, make_run

FILE = Path(__file__).with_name("relations.json")
PARTS = ("Relations", "Knobs", "OpeningGeometry", "lookups", "places", "rows")
SHAPES = {
    "llama, uneven heads": (UNEVEN, "silu"),
    "llama, small rows": (TINY, "silu"),
    "qwen3, small rows": (NORMED, "silu"),
    "qwen2, a hidden size with the least tables of a norm": (replace(BIASED, hidden=208), "gelu_tanh"),
    "qwen3": (NORMED, "silu"),
    "phi3, partly turned": (replace(TINY, rotary="interleaved", rotary_dim=8), "silu"),
    "gpt2": (UNTURNED, "gelu"),
    "gemma, layers that turn differently": (NORMED, "gelu_tanh"),
    "gemma3": (BEHIND, "gelu_tanh"),
    "gemma2": (CAPPED, "gelu_tanh"),
    "llama, sequences of several lengths": (TINY, "silu"),
    "gpt2, sequences of one length": (UNTURNED, "gelu"),
    "gemma2, sequences of which two have one length": (CAPPED, "gelu_tanh"),
    "llama, hidden prompts and a published one": (TINY, "silu"),
    "gpt2, a hidden prompt": (UNTURNED, "gelu"),
    "gemma3, hidden prompts of one length": (BEHIND, "gelu_tanh"),
}
_SIX = {"ids": [1, 5, 3, 0, 7, 2], "first": 4, "gaps": [0, 9], "odds": 77}
_HIDDEN = {**_SIX, "ids": [7, 2], "prompt_digest": "5a" * 32}
SEVERAL = {
    "llama, sequences of several lengths": [
        {"ids": [9, 4, 4], "first": 1, "gaps": [3], "odds": 11},
        {"ids": [i % 13 for i in range(41)], "first": 38, "gaps": [0, 1, 2], "odds": 500},
        {"ids": [2, 8], "first": 1, "gaps": [0], "odds": 4},
        _SIX,
    ],
    "gpt2, sequences of one length": [_SIX, {**_SIX, "gaps": [5], "odds": 40}],
    "gemma2, sequences of which two have one length": [
        _SIX,
        {**_SIX, "gaps": [5], "odds": 40},
        {"ids": [9, 4, 4], "first": 1, "gaps": [3], "odds": 11},
    ],
    "llama, hidden prompts and a published one": [
        _HIDDEN,
        _SIX,
        {"ids": [6], "first": 35, "gaps": [1], "odds": 9, "prompt_digest": "a5" * 32},
    ],
    "gpt2, a hidden prompt": [_HIDDEN],
    "gemma3, hidden prompts of one length": [_HIDDEN, {**_HIDDEN, "prompt_digest": "0f" * 32}],
}
"""Answers of the cases that have several; one of them is longer than a column block."""


def digests(case: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of what `config` hashes, of its parts, and of each field of Relations."""
    shape, facts = ModelShape.from_dict(case["shape"]), Facts.from_dict(case["inference"])
    answers = [Answer(**one, prompt=None, answer=None) for one in case["answers"]]
    said = InferenceStatement(model_id="0" * 64, answers=answers)
    program = compile_inference(shape, facts, *said.lengths)
    relations = relate(program, said.run_ids, said.claims(), committed_tensors(shape))
    text = prepare_relations(relations, Knobs(case["security"], proofs=case["proofs"])).configuration()
    parts = dict(zip(PARTS, json.loads(text), strict=True))
    parts |= parts["Relations"][1]
    found = {name: _sha256(json.dumps(part, sort_keys=True)) for name, part in parts.items()}
    return {"config": _sha256(text), **found}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> None:
    """Write every case with its digests."""
    cases = []
    for name, (shape, activation) in SHAPES.items():
        facts = make_run(shape, activation=activation, small=name.endswith("small rows")).facts.to_dict()
        facts["layers"][1]["product_outliers"] = [[5, 2], [40, 1]]
        facts["layers"][0]["up_outliers"] = [[3, 1], [5, 2]] if shape.gated else []
        if name.startswith("gemma,"):
            facts |= {"embedding_square": shape.hidden, "score_square": 20}
            facts["layers"][1] |= {"theta": 500000, "stretch": 8}
        case = {
            "name": name, "shape": shape.to_dict(), "inference": facts, "security": 100, "proofs": 16,
            "answers": SEVERAL.get(name, [_SIX]),
        }  # fmt: skip
        cases.append({**case, "sha256": digests(case)})
    FILE.write_text(json.dumps(cases, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
