"""The fingerprint of a checkpoint in the clear: tensors → canonical form → integers → program → v.

`derive` is what the proof is later made of: the program, its integer weights and every intermediate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huref.circuits.commitment import compile_fingerprint
from huref.circuits.fingerprint.compile import EQUAL_TERM_WEIGHTS, compile_program
from huref.circuits.fingerprint.encoder import MAX_TERM_WEIGHT
from huref.circuits.fingerprint.profiles import LAYERS, Profile, check_encoder
from huref.circuits.fingerprint.sizes import DEFAULT_BLOCKS, DEFAULT_TOKENS, choose_sizes
from huref.circuits.program.evaluate import Trace, read_output
from huref.circuits.program.program import Program
from huref.common.errors import UsageError
from huref.common.files.fingerprint_file import SCHEMA, FidelityReport, FingerprintFile
from huref.prover.canonical.canonical import canonical_embedding, canonical_layer
from huref.prover.canonical.quantize import quantize
from huref.prover.checkpoint.families import Model
from huref.prover.commitment.stacked import StackedWeights
from huref.prover.run.executor import execute
from huref.prover.run.fidelity import Fidelity, FloatReference, measure, scales
from huref.prover.run.whole import fill_whole
from huref.prover.vocabulary.tokens import TokenOrder, order_tokens, read_tokens, select_rarest

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
    encoder: str
    k: int
    p: int
    tokens: TokenOrder
    token_ids: NDArray[np.int64]
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
            encoder=self.encoder,
            k=self.k,
            p=self.p,
            shape=self.model.shape.to_dict(),
            token_source=self.tokens.source,
            tokenizer_digest=self.tokens.tokenizer_digest,
            frequency_digest=self.tokens.frequency_digest,
            token_ids=[int(i) for i in self.token_ids],
            term_weights=list(self.term_weights),
            shifts=self.trace.shifts,
            calibration_sums={name: list(sums) for name, sums in self.trace.sums.items()},
            v=[int(x) for x in self.trace.v],
            fidelity=published(self.fidelity),
            timings={stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
        )


def published(fidelity: Fidelity | None) -> FidelityReport:
    """What fingerprint.json says of it; nothing where none was measured."""
    if fidelity is None:
        return FidelityReport(v=None, terms={})
    return FidelityReport(v=fidelity.v, terms=fidelity.terms)


def find_tokens(
    model: Model, tokens: Path | None, k: int | None, p: int | None
) -> tuple[TokenOrder, NDArray[np.int64], int, int]:
    """The token order, the ids of the rows that are read, K and P.

    K and P default to the profile's, reduced to what the vocabulary offers; a K asked for must be there.

    Raises:
        UsageError: more tokens are wanted than exist, or sizes do not suit each other.
    """
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
    return order, select_rarest(order.ids, size), size, blocks


def derive(
    model: Model,
    profile: Profile,
    encoder: str | None = None,
    *,
    tokens: Path | None = None,
    k: int | None = None,
    p: int | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Derivation:
    """Compute the fingerprint of `model`; `progress` is called with the name of each finished step.

    `tokens` is an id list in HuRef's format. Memory holds the integer weights and two float tensors.

    Raises:
        UsageError, Malformed, Unsupported, ProverError: as the parts do; one line that names the culprit.
    """
    chosen = encoder or profile.default_encoder
    check_encoder(profile, chosen)
    watch = _Watch()
    with watch("tokens"):
        order, ids, size, blocks = find_tokens(model, tokens, k, p)
    program = compile_fingerprint(model.shape, profile, chosen, size, blocks, ids.tolist())
    reference = None if profile.whole else FloatReference(program)
    weights: Mapping[str, NDArray[np.int8]]
    steps: dict[str, float] = {}
    with watch("weights"):
        if profile.whole:
            weights = space = StackedWeights.empty(program, _WIDTH)
            fill_whole(model, space, progress)
        else:
            weights, steps = quantize_model(
                model, profile, program, ids, reference=reference, progress=progress
            )
    with watch("program"):
        trace = execute(program, weights, device=device, progress=progress)
    term_weights = EQUAL_TERM_WEIGHTS
    if chosen == "meanpool":
        term_weights = scaled_term_weights(program, steps, trace)
        program = compile_program(model.shape, profile, chosen, size, blocks, term_weights)
        trace = replace(trace, v=read_output(program.output, {n: s.out for n, s in trace.sites.items()}))
    with watch("fidelity"):
        fidelity = None if reference is None else measure(program, trace, reference, steps, chosen)
    return Derivation(
        model=model,
        profile=profile,
        encoder=chosen,
        k=size,
        p=blocks,
        tokens=order,
        token_ids=ids,
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
    profile: Profile,
    program: Program,
    ids: NDArray[np.int64],
    *,
    space: StackedWeights | None = None,
    reference: FloatReference | None = None,
    progress: Progress | None = None,
) -> tuple[Mapping[str, NDArray[np.int8]], dict[str, float]]:
    """Integers and steps of every weight of `program`, from the checkpoint; two tensors are read at a time.

    The integers go to `space`, if given, which is then what is returned.
    """
    weights: dict[str, NDArray[np.int8]] = {}
    steps: dict[str, float] = {}
    for name, tensor in canonical_tensors(model, profile, ids):
        if reference is not None:
            reference.offer(name, tensor)
        out = None if space is None else space.rows(name)
        rounded = quantize(name, tensor, program.weight[name].bits, profile.clip_sigmas, out)
        weights[name], steps[name] = rounded.values, rounded.step
        if progress is not None:
            progress(name)
    if space is not None:
        return space, steps
    return {weight.name: weights[weight.name] for weight in program.weights}, steps


def canonical_tensors(
    model: Model, profile: Profile, ids: NDArray[np.int64]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Every tensor that the fingerprint reads, in canonical form, by its name in the program."""
    yield "x", canonical_embedding(model.embedding_rows(ids), model.shape, profile)
    for n in range(max(0, model.shape.layers - LAYERS), model.shape.layers):
        for name, tensor in canonical_layer(model.layer_reader(n), model.layer_shape(n), profile):
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
