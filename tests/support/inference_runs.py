"""Runs of the inference program on tiny models of random integers, with all that a proof of them commits to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.claim import claimed_odds
from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference.facts import Activation, Facts
from huref.circuits.inference.prompt_opening import HIDDEN, SALT_BYTES
from huref.circuits.inference.relate_head import Claims
from huref.circuits.inference.relations import relate
from huref.circuits.inference.sites import InferenceProgram
from huref.circuits.model.tensors import DIGIT, DIGITS, READ_UNIT, STEP, WRITE_UNIT, kind_of, whole_model
from huref.circuits.program.program import Weight
from huref.circuits.relations.frame import starts_of
from huref.circuits.relations.program import Relations
from huref.prover.run.inference.calibrate import calibrate
from huref.prover.run.inference.executor import execute_inference
from huref.prover.run.inference.record import record_run
from huref.prover.run.inference.settings import Settings
from tests.support.relations import Checker
from tests.support.shapes import SMOL

Ints = NDArray[Any]
TINY = replace(
    SMOL, hidden=32, heads=2, kv_heads=1, head_dim=16, rotary_dim=16, ffn=48, vocab=70, layers=2, head=True
)
"""Grouped queries; the FFN and the vocabulary leave a column block of 32 partly empty."""
UNTURNED = replace(
    TINY,
    norm="layer",
    gated=False,
    rotary=None,
    rotary_dim=0,
    positions=40,
    biases=("q", "o", "up", "down", "head"),
)
"""GPT-2's layout."""
NORMED = replace(TINY, qk_norm=True)
"""Qwen3's layout."""
BIASED = replace(TINY, biases=("q", "k", "o", "gate", "up", "down"))
"""Qwen2's layout, with biases in the FFN as well."""
BEHIND = replace(TINY, output_norm=True, qk_norm=True, hidden=40)
"""Gemma 3's layout, of a width that is no power of two."""
CAPPED = replace(BEHIND, qk_norm=False)
"""Gemma 2's layout, with caps."""
UNEVEN = replace(TINY, hidden=40, heads=3, kv_heads=3, head_dim=12, rotary_dim=12, ffn=56, vocab=64)
"""Three heads, of a size that is no power of two and does not divide a block."""

LAYOUTS: dict[str, tuple[ModelShape, Activation]] = {
    "llama": (TINY, "silu"),
    "small rows": (TINY, "silu"),
    "small heads": (NORMED, "silu"),
    "qwen2": (BIASED, "gelu_tanh"),
    "qwen3": (NORMED, "silu"),
    "gpt2": (UNTURNED, "gelu"),
    "gemma2": (CAPPED, "gelu_tanh"),
    "gemma3": (BEHIND, "gelu_tanh"),
}


@dataclass(frozen=True)
class Run:
    """A model, a run of it on sequences of `lengths` and claims about it. Of each sequence the first `hidden` ids are
    secret, where any are.
    """

    shape: ModelShape
    weights: dict[str, Ints]
    facts: Facts
    lengths: tuple[int, ...]
    ids: tuple[int, ...]
    claims: Claims
    hidden: tuple[int, ...] = ()

    @cached_property
    def program(self) -> InferenceProgram:
        return compile_inference(self.shape, self.facts, *self.lengths)

    @cached_property
    def stack(self) -> tuple[Weight, ...]:
        return tuple(Weight(tensor.name, tensor.rows, tensor.cols) for tensor in whole_model(self.shape))

    @cached_property
    def relations(self) -> Relations:
        return relate(self.program, self.shown, self.claims, self.stack)

    @property
    def shown(self) -> tuple[int, ...]:
        """The ids that everybody sees."""
        counts = self.hidden or (0,) * len(self.lengths)
        secret = [j < n for n, length in zip(counts, self.lengths, strict=True) for j in range(length)]
        return tuple(HIDDEN if s else i for i, s in zip(self.ids, secret, strict=True))

    @property
    def salts(self) -> list[bytes]:
        """One for every hidden prompt."""
        return [bytes([1 + n]) * SALT_BYTES for n, count in enumerate(self.hidden) if count]

    @cached_property
    def found(self) -> dict[str, Ints]:
        """Every committed matrix of the honest run."""
        return record_run(self.program, self.relations, self.weights, self.ids, self.claims, self.salts)

    def claimed(self, tokens: tuple[int, ...], gaps: tuple[int, ...]) -> Claims:
        """Claims about other tokens at the same positions, with their odds."""
        logits = execute_inference(self.program, self.weights, self.ids).values[self.program.logits]
        return claims_of(logits, self.lengths, self.claims.positions, tokens, gaps, self.facts)

    def wrong(self, changed: Mapping[str, Ints] | None = None) -> list[str]:
        """What does not hold if these matrices replace the honest ones."""
        return Checker(self.relations, {**self.found, **(changed or {})}, self.weights).wrong()


def random_weights(shape: ModelShape, seed: int, small: bool = False) -> dict[str, Ints]:
    """Entries in ±127 and steps such that the model's values are of ordinary size; with `small` every fourth row of a
    layer is far smaller than the others.
    """
    rng, found = np.random.default_rng(seed), dict[str, Ints]()
    for tensor in whole_model(shape):
        of, _, kind = tensor.name.removesuffix(STEP).rpartition("_")
        if kind == "bias":
            written = of.rpartition(".")[2] in ("o", "down")
            if tensor.name.endswith(STEP):
                steps = DIGIT * np.arange(DIGITS) - (WRITE_UNIT if written else READ_UNIT)
                found[tensor.name] = steps[None].astype(np.int8)
            else:
                found[tensor.name] = rng.integers(-64, 64, (tensor.rows, tensor.cols)).astype(np.int8)
                found[tensor.name][2 if written else 3 :] = 0
        elif kind == "gain" and tensor.name.endswith(STEP):
            found[tensor.name] = np.array([[-5, -12]], np.int8)
        elif tensor.name.endswith(STEP):
            found[tensor.name] = rng.integers(-9, -6, (tensor.rows, tensor.cols)).astype(np.int8)
            if small and tensor.name.startswith("l"):
                found[tensor.name][:, ::4] -= {"o": 4, "up": 4, "q": 10}.get(kind_of(tensor.name), 8)
        else:
            entries = np.rint(rng.standard_normal((tensor.rows, tensor.cols)) * 40)
            found[tensor.name] = np.clip(entries, -127, 127).astype(np.int8)
    return found


def make_run(
    shape: ModelShape = TINY,
    tokens: int | tuple[int, ...] = 5,
    positions: Sequence[int] = (1, 4),
    seed: int = 0,
    gap: int = 3,
    activation: Activation = "silu",
    small: bool = False,
    hidden: tuple[int, ...] = (),
) -> Run:
    """A run on random ids, of one sequence or several. The claimed tokens are the best ones, claimed to be within `gap`
    of themselves.
    """
    lengths = (tokens,) if isinstance(tokens, int) else tokens
    tokens = sum(lengths)
    weights, rng = random_weights(shape, seed, small), np.random.default_rng(seed + 1)
    texts = [rng.integers(0, shape.vocab, max(24, tokens)).tolist() for _ in range(3)]
    settings = Settings.alike(shape, activation, "1e-05")
    if shape.output_norm:  # as Gemma 3: layers that turn differently, an embedding with a factor
        turns = tuple(((10000, 1), (100000, 4))[n % 2] for n in range(shape.layers))
        settings = replace(settings, turns=turns, embedding_square=shape.hidden, score_square=11)
    if shape.output_norm and not shape.qk_norm:
        settings = replace(settings, score_cap=2, logit_cap=3)
    facts = calibrate(shape, settings, weights, texts)
    ids = tuple(int(i) for i in texts[0][:tokens])
    program = compile_inference(shape, facts, *lengths)
    logits = execute_inference(program, weights, ids).values[program.logits]
    best = logits[list(positions)].argmax(axis=1)
    tokens_of = tuple(int(i) for i in best)
    gaps = (gap,) * len(positions)
    claims = claims_of(logits, lengths, tuple(positions), tokens_of, gaps, facts)
    return Run(shape, weights, facts, lengths, ids, claims, hidden)


def layout_run(name: str, **more: Any) -> Run:
    """A run in one of LAYOUTS."""
    shape, activation = LAYOUTS[name]
    return make_run(shape, activation=activation, small=name.startswith("small"), **more)


def claims_of(
    logits: Ints,
    lengths: tuple[int, ...],
    positions: tuple[int, ...],
    tokens: tuple[int, ...],
    gaps: tuple[int, ...],
    facts: Facts,
) -> Claims:
    """Claims with the odds of a run with these logits (tokens × vocabulary), some in every sequence."""
    odds, claims = [], list(zip(positions, tokens, gaps, strict=True))
    for start, length in zip(starts_of(lengths), lengths, strict=True):
        own = [claim for claim in claims if start <= claim[0] < start + length]
        odds.append(
            claimed_odds(logits, [claim[:2] for claim in own], [gap for *_, gap in own], facts.logits)
        )
    return Claims(positions, tokens, gaps, tuple(odds))
