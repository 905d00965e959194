"""The fingerprint of a checkpoint in the clear: tensors → canonical form → integers → program → v.

`derive` is what the proof is later made of: the program, its integer weights and every intermediate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.commitment import compile_fingerprint
from huref.circuits.fingerprint.hardened import constants as hardened
from huref.circuits.fingerprint.hardened.tables import pool_count
from huref.circuits.fingerprint.hardened.vector import picture_vector
from huref.circuits.fingerprint.outputs import MAX_TERM_WEIGHT
from huref.circuits.fingerprint.paper import CLIP_SIGMAS, EQUAL_TERM_WEIGHTS, compile_paper
from huref.circuits.fingerprint.profiles import LAYERS, PAPER, Profile
from huref.circuits.fingerprint.sizes import DEFAULT_BLOCKS, DEFAULT_TOKENS, choose_sizes
from huref.circuits.program.evaluate import Trace, read_output
from huref.circuits.program.program import Program
from huref.common.errors import UsageError
from huref.common.files.commitment_file import TokenChoice
from huref.common.files.fingerprint_file import SCHEMA, FidelityReport, FingerprintFile
from huref.prover.canonical.canonical import canonical_embedding, canonical_layer
from huref.prover.canonical.quantize import quantize
from huref.prover.checkpoint.families import Model
from huref.prover.commitment.stacked import StackedWeights
from huref.prover.run.executor import execute
from huref.prover.run.fidelity import Fidelity, FloatReference, measure, scales
from huref.prover.run.whole import fill_whole
from huref.prover.vocabulary.tokens import (
    TokenOrder,
    TokensChosen,
    choose_tokens,
    order_tokens,
    read_tokens,
    select_rarest,
)

Progress = Callable[[str], None]
_WIDTH = 64
"""Row width of a stack that is not committed."""


@dataclass(frozen=True)
class Derivation:
    """A fingerprint with everything it was computed from.

    `weights` are the committed integers (int8) by name, `steps` the real value of one unit of each (private,
    like the weights), `trace` every intermediate, `seconds` the wall time per stage.
    """

    model: Model
    profile: Profile
    challenge: bytes
    k: int
    p: int
    tokens: TokenChoice
    term_weights: tuple[int, ...]
    program: Program
    weights: Mapping[str, NDArray[np.int8]]
    steps: dict[str, float]
    trace: Trace
    fidelity: Fidelity | None
    seconds: dict[str, float]

    def to_file(self) -> FingerprintFile:
        """The publishable record (the content of fingerprint.json)."""
        return FingerprintFile(
            schema_version=SCHEMA,
            profile=self.profile.name,
            k=self.k,
            p=self.p,
            shape=self.model.shape.to_dict(),
            token_source=self.tokens.source,
            tokenizer_digest=self.tokens.tokenizer_digest,
            frequency_digest=self.tokens.frequency_digest,
            token_ids=self.tokens.ids,
            token_pieces=self.tokens.pieces,
            term_weights=list(self.term_weights),
            challenge=self.challenge.hex() or None,
            **published_trace(self.trace),
            fidelity=published(self.fidelity),
            timings={stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
        )


def published_trace(trace: Trace) -> dict[str, Any]:
    """What statement and fingerprint.json say of a run."""
    outputs = [int(x) for x in trace.v]
    e = outputs if len(outputs) == hardened.OUTPUTS else None
    return {
        "shifts": trace.shifts,
        "calibration_sums": {name: list(sums) for name, sums in trace.sums.items()},
        "caps": {name: list(astuple(cap)) for name, cap in trace.caps.items()},
        "ratios": {name: list(sums) for name, sums in trace.ratios.items()},
        "e": e,
        "v": outputs if e is None else picture_vector(e).tolist(),
    }


def published(fidelity: Fidelity | None) -> FidelityReport:
    """What fingerprint.json says of it; nothing where none was measured."""
    if fidelity is None:
        return FidelityReport(v=None, terms={})
    return FidelityReport(v=fidelity.v, terms=fidelity.terms)


def find_tokens(
    model: Model, profile: Profile, tokens: Path | None, k: int | None, p: int | None
) -> tuple[TokenChoice, int, int]:
    """The tokens whose rows are read, K and P.

    In `paper` K and P default to the reference's, reduced to what the vocabulary offers; a K asked for must be there.
    Otherwise they follow from the tokens, which `tokens` lists or the rule chooses.

    Raises:
        UsageError: more tokens are wanted than exist, or sizes do not suit each other or the profile.
        Malformed: more tokens than `MAX_TOKENS`, or longer ones than a directory holds.
    """
    if profile.whole:
        if k is not None or p is not None:
            raise UsageError(
                f"K and P follow from the vocabulary in profile {profile.name}",
                hint="leave --k and --p out, or choose --profile paper",
            )
        choice = choose_tokens(model.checkpoint, tokens, model.vocab)
        found = _token_choice(choice, choice.ids, [piece.hex() for piece in choice.pieces])
        return found, len(found.ids), pool_count(len(found.ids))
    if tokens is None:
        order = order_tokens(model.checkpoint, vocab_size=model.vocab)
    else:
        order = read_tokens(tokens, vocab_size=model.vocab)
    if k is not None:
        select_rarest(order.ids, k)  # an explicit K is never reduced silently
    size, blocks = choose_sizes(len(order.ids), k or DEFAULT_TOKENS, p or DEFAULT_BLOCKS)
    if k is not None and size != k:
        raise UsageError(
            f"K = {k} is not a multiple of 2P = {2 * blocks}", hint=f"the next smaller K is {size}"
        )
    if p is not None and blocks != p:
        raise UsageError(f"P = {p} blocks need at least {2 * p} tokens, {len(order.ids)} are available")
    return _token_choice(order, select_rarest(order.ids, size), None), size, blocks


def _token_choice(
    made: TokensChosen | TokenOrder, ids: NDArray[np.int64], pieces: list[str] | None
) -> TokenChoice:
    """As a directory has it. Raises `Malformed` for more tokens, or longer ones, than a directory holds."""
    value = {
        "source": made.source,
        "tokenizer_digest": made.tokenizer_digest,
        "frequency_digest": made.frequency_digest,
        "ids": ids.tolist(),
        "pieces": pieces,
    }
    return TokenChoice.read(value, "tokens")


def derive(
    model: Model,
    profile: Profile,
    *,
    tokens: Path | None = None,
    k: int | None = None,
    p: int | None = None,
    challenge: bytes = b"",
    device: str = "cpu",
    progress: Progress | None = None,
) -> Derivation:
    """Compute the fingerprint of `model`; `progress` is called with the name of each finished step.

    `tokens` is what `--tokens` names. Memory holds the integer weights and two float tensors.

    Raises:
        UsageError, Malformed, Unsupported, ProverError: as the parts do; one line that names the culprit.
    """
    watch = _Watch()
    with watch("tokens"):
        read, size, blocks = find_tokens(model, profile, tokens, k, p)
    program = compile_fingerprint(model.shape, profile, size, blocks, read, challenge=challenge)
    reference = None if profile.whole else FloatReference(program)
    weights: Mapping[str, NDArray[np.int8]]
    steps: dict[str, float] = {}
    with watch("weights"):
        if profile.whole:
            weights = space = StackedWeights.empty(program, _WIDTH)
            fill_whole(model, space, progress)
        else:
            weights, steps = quantize_model(
                model, program, np.array(read.ids), reference=reference, progress=progress
            )
    with watch("program"):
        trace = execute(program, weights, device=device, progress=progress)
    term_weights = EQUAL_TERM_WEIGHTS
    if not profile.whole:
        term_weights = scaled_term_weights(program, steps, trace)
        program = compile_paper(model.shape, size, blocks, term_weights)
        outs = {name: site.out for name, site in trace.sites.items()}
        trace = replace(trace, v=read_output(program.output, outs, {}))
    with watch("fidelity"):
        fidelity = None if reference is None else measure(program, trace, reference, steps)
    return Derivation(
        model=model,
        profile=profile,
        challenge=challenge,
        k=size,
        p=blocks,
        tokens=read,
        term_weights=term_weights,
        program=program,
        weights=weights,
        steps=steps,
        trace=trace,
        fidelity=fidelity,
        seconds=watch.seconds,
    )


def quantize_model(
    model: Model,
    program: Program,
    ids: NDArray[np.int64],
    *,
    space: StackedWeights | None = None,
    reference: FloatReference | None = None,
    progress: Progress | None = None,
) -> tuple[Mapping[str, NDArray[np.int8]], dict[str, float]]:
    """Integers and steps of every weight of a `paper` program, from the checkpoint; two tensors are read at a time.

    The integers go to `space`, if given, which is then what is returned.
    """
    weights: dict[str, NDArray[np.int8]] = {}
    steps: dict[str, float] = {}
    for name, tensor in read_tensors(model, ids):
        if reference is not None:
            reference.offer(name, tensor)
        out = None if space is None else space.rows(name)
        rounded = quantize(name, tensor, program.weight[name].bits, CLIP_SIGMAS, out)
        weights[name], steps[name] = rounded.values, rounded.step
        if progress is not None:
            progress(name)
    if space is not None:
        return space, steps
    return {weight.name: weights[weight.name] for weight in program.weights}, steps


def read_tensors(model: Model, ids: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Every tensor that the `paper` profile reads, by its name in the program."""
    yield "x", canonical_embedding(model.embedding_rows(ids), model.shape, PAPER)
    for n in range(max(0, model.shape.layers - LAYERS), model.shape.layers):
        for name, tensor in canonical_layer(model.layer_reader(n), model.layer_shape(n), PAPER):
            yield f"l{n}.{name}", tensor


def scaled_term_weights(program: Program, steps: Mapping[str, float], trace: Trace) -> tuple[int, ...]:
    """Integers in 0..127 proportional to the terms' real scales (paper profile)."""
    unit = scales(program, steps, trace.shifts)
    wanted = np.array([unit[name] for name in program.output.sources])
    return tuple(int(x) for x in np.rint(MAX_TERM_WEIGHT * wanted / wanted.max()))


class _Watch:
    """Wall time per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - start
