"""What several prompts in one proof of inference cost on SmolLM2-135M, beside a proof of each and one of all tokens.

`python -m benchmarks.inference_prompts` commits to the model once, then runs, proves and verifies 8 sequences of 8
tokens of prose in one proof, in 8 proofs, and 64 tokens in one sequence. All positions are claimed.
"""

from __future__ import annotations

from typing import Any

from benchmarks.environment import store
from benchmarks.inference_proof import Prepared
from huref.common.memory import keep_freed_memory

PROMPTS, TOKENS = 8, 8


def main() -> None:
    """Measure and store."""
    keep_freed_memory()
    prepared = Prepared.smollm2()
    measured: dict[str, Any] = {
        "prompts": PROMPTS,
        "tokens of each": TOKENS,
        "one proof": prepared.measure((TOKENS,) * PROMPTS),
        "one sequence of all tokens": prepared.measure((PROMPTS * TOKENS,)),
    }
    alone = [prepared.measure((TOKENS,), n * TOKENS, attempts=1) for n in range(PROMPTS)]
    measured["a proof of each"] = {
        name: {kind: round(sum(one[name][kind] for one in alone), 2) for kind in ("wall", "cpu")}
        for name in ("relate", "run", "prove", "verify")
    } | {name: sum(one[name] for one in alone) for name in ("proof_bytes", "lookups", "committed")}
    for name in ("one proof", "a proof of each", "one sequence of all tokens"):
        print(name, measured[name], flush=True)
    store("inference_prompts", {"model": "SmolLM2-135M-Instruct", **measured})


if __name__ == "__main__":
    main()
