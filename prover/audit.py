"""The auditor's side: recompute from the checkpoint and the secret seed what a bundle says, and vouch for it.

An auditor sees what nobody else may: the checkpoint and the commitment's private seed. Success means that
everything a reader takes from the bundle as a fact was made again and is the same: shape, source files, tokens,
facts of inference, texts beside a proof of inference, root, shifts, sums, vector, fidelity, picture. The signature is
over the digest of manifest.json, which holds the statement (model id, shifts, sums, vector, generator) and the digests
of commitment.json (directory, root, source files), fingerprint.json (fidelity), the picture and inference.json (ids,
texts). Only timings in there are not recomputed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.proof import weights_geometry
from huref.circuits.commitment import compile_directory, inference_facts, knobs_for, pinned_profile
from huref.circuits.inference_statement import Answer, InferenceStatement
from huref.circuits.program.evaluate import Trace
from huref.circuits.statement import Statement
from huref.common.errors import ProverError, Rejected, Unsupported, UsageError
from huref.common.files import bundle as form
from huref.common.files.atomic import clear_leftovers, write_file
from huref.common.files.bundle import Bundle, read_bundle
from huref.common.files.commitment_file import CommitmentFile, Directory, SourceFile
from huref.common.files.fingerprint_file import FidelityReport, parse_fingerprint
from huref.common.files.identity import AuditSignatures, cosign
from huref.common.files.keys import SecretKey
from huref.prover.checkpoint.families import Model, open_model
from huref.prover.commitment.folder import (
    PRIVATE,
    Source,
    describe_files,
    private_part,
    read_public,
    read_seed,
)
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.commitment.stacked import StackedWeights
from huref.prover.commitment.weights import commit_weights
from huref.prover.inference_facts import find_inference, plan_inference
from huref.prover.progress import Progress
from huref.prover.run.fidelity import Fidelity, FloatReference, measure
from huref.prover.run.fingerprint import find_tokens, quantize_model
from huref.prover.run.inference.units import first_difference
from huref.prover.run.program import fit_term_weights, run_program
from huref.prover.run.whole import fill_whole
from huref.prover.vocabulary.encode import TextCoder
from huref.verifier.verdict import Verdict
from huref.verifier.verification import verify

FIDELITY_TOLERANCE = 1e-3
"""How far a published cosine may be from the recomputed one: it is rounded, and machines add floats in other orders."""


@dataclass(frozen=True)
class Claims:
    """What a bundle tells its readers, beside the picture that follows from it."""

    statement: Statement
    directory: Directory
    root: str
    sources: Sequence[SourceFile]
    fidelity: FidelityReport
    answer: InferenceStatement | None

    @classmethod
    def of(cls, bundle: Bundle) -> Claims:
        """The claims of a bundle that verified."""
        files = bundle.files
        commitment = CommitmentFile.decode(files[form.COMMITMENT], form.COMMITMENT)
        return cls(
            Statement.read(bundle.manifest.statement, "statement"),
            commitment.directory,
            commitment.root,
            commitment.sources,
            parse_fingerprint(files[form.FINGERPRINT], form.FINGERPRINT).fidelity,
            InferenceStatement.decode(files[form.INFERENCE], form.INFERENCE)
            if form.INFERENCE in files
            else None,
        )


@dataclass(frozen=True)
class AuditReport:
    """A successful audit: the bundle's verdict, what was recomputed, and all keys that have signed by now."""

    verdict: Verdict
    checks: tuple[str, ...]
    cosigners: tuple[str, ...]


def audit(
    bundle: str | Path,
    checkpoint: str | Path,
    private: str | Path,
    *,
    tokens: Path | None = None,
    key: SecretKey | None = None,
    progress: Progress | None = None,
) -> AuditReport:
    """Recompute a bundle; with a key, co-sign it when everything agrees.

    `private` is the commitment's folder or its private/ part; only the seed is read from it. `tokens` is the
    owner's token list, where the statement says that the tokens come from one.

    Raises:
        Rejected: at audit.…, the first thing that differs (`recompute`); or whatever `verify` rejects, with the
            picture drawn again.
        UsageError: the key signed before, `bundle` is no folder that a signature could be added to, or `private` is
            another commitment's. Other `HurefError`s: a file cannot be read.
    """
    progress = progress or Progress()
    with progress.stage("verify"):
        if key is not None and not Path(bundle).is_dir():
            raise UsageError(
                f"{bundle}: a signature is added to a folder", hint=f"huref unpack {bundle}, and audit that"
            )
        if key is not None:
            clear_leftovers(Path(bundle) / form.COSIGNATURES)  # a bundle with one is malformed
        read = read_bundle(bundle)
        verdict = verify(read, min_security=0, require_image=True)
    signed = verdict.unknown_cosigners
    if key is not None and key.public_key in signed:
        raise UsageError("this key has already co-signed the bundle")
    seed = read_seed(_secrets(Path(private), verdict.model_id))
    checks = recompute(Claims.of(read), checkpoint, seed, tokens, progress)
    if key is not None:
        signed = _cosign(read, key)
    return AuditReport(verdict, (*checks, verdict.picture.message), signed)


def _secrets(given: Path, model_id: str) -> Path:
    """The private part that is named, or that lies in what is named.

    Raises:
        InputOutputError: there is none. UsageError: commitment.json beside it is of another model id.
    """
    private = given / PRIVATE if (given / PRIVATE).is_dir() else given
    if not (private / "seed").exists():
        private = private_part(given)
    if (private.parent / form.COMMITMENT).is_file():
        found = read_public(private.parent).model_id
        if found != model_id:
            raise UsageError(
                f"{given} is the commitment of model id {found}, the bundle is about {model_id}",
                hint="name the commitment that the bundle was made from",
            )
    return private


def recompute(
    claims: Claims, checkpoint: str | Path, seed: SecretSeed, tokens: Path | None, progress: Progress
) -> tuple[str, ...]:
    """Make everything again that `claims` says; returns what was found to agree, in sentences.

    Raises:
        Rejected: at audit.shape.…, sources, tokens.…, prompt, answer, answers.…, root, inference.…, term_weights,
            shifts, calibration_sums, v or fidelity.…
        UsageError: a token list is needed, or not.
    """
    said, statement = claims.directory, claims.statement
    with progress.stage("load"):
        model = open_model(checkpoint)
        _check_shape(said, model)
        _check_sources(claims.sources, describe_files(model, pinned_profile(said.profile)))
        rule = _check_tokens(said, model, tokens)
        texts = _check_texts(claims.answer, model)
        challenge = bytes.fromhex(statement.challenge or "")
        program, knobs = compile_directory(said, challenge), knobs_for(said)
    with progress.stage("quantize") as step:
        profile = pinned_profile(said.profile)
        ids = np.array(said.tokens.ids, np.int64)
        space = StackedWeights.empty(program, weights_geometry(program.committed, knobs).w)
        measured = claims.fidelity.v is not None or bool(claims.fidelity.terms)
        reference = FloatReference(program) if measured and not profile.whole else None
        weights: Mapping[str, NDArray[np.int8]] = space
        steps: dict[str, float] = {}
        if profile.whole:
            fill_whole(model, space, step)
        else:
            weights, steps = quantize_model(
                model, program, ids, space=space, reference=reference, progress=step
            )
    with progress.stage("commit"):
        _agree("root", claims.root, commit_weights(program, weights, knobs, seed).root.hex())
    inference = _check_inference(said, model, tokens, weights, progress)
    with progress.stage("run") as step:
        fitted = fit_term_weights(profile, program, weights, steps, "cpu", step)
        _agree("term_weights", said.term_weights, list(fitted))
        source = Source(profile, model.shape, said.k, said.p, said.tokens, weights, steps, (), fitted)
        program, trace = run_program(source, "cpu", step, challenge)
        _check_run(statement, trace)
        if measured and reference is None:
            _agree("fidelity", "a cosine", "none is measured for this profile")
        if reference is not None:
            _check_fidelity(claims.fidelity, measure(program, trace, reference, steps))
    return (
        "the checkpoint has the family, sizes and vocabulary in the directory",
        f"its files have names, sizes and hashes as in commitment.json ({len(claims.sources)} listed)",
        rule,
        "quantized by the pinned rule, it gives the commitment's root under the secret seed",
        "the fingerprint program on it gives the vector, the shifts and the sums",
        inference,
        "it gives the published fidelity" if measured else "no fidelity is published",
        *texts,
    )


def _check_shape(said: Directory, model: Model) -> None:
    found = model.shape.to_dict()
    _agree("shape", sorted(said.shape), sorted(found))
    for name, value in found.items():
        _agree(f"shape.{name}", said.shape[name], value)


def _check_sources(said: Sequence[SourceFile], found: Sequence[SourceFile]) -> None:
    _agree("sources", [file.name for file in said], [file.name for file in found])
    for ours, theirs in zip(said, found, strict=True):
        _agree(f"sources.{ours.name}", ours, theirs)


def _check_tokens(said: Directory, model: Model, listed: Path | None) -> str:
    """Choose the tokens again by the rule that the statement names."""
    tokens = said.tokens
    if (tokens.source == "file") != (listed is not None):
        raise UsageError(
            f"the tokens come from a {tokens.source}" + ("" if listed is None else ", not from a list"),
            hint="give the owner's list with --tokens FILE" if listed is None else "leave --tokens out",
        )
    profile = pinned_profile(said.profile)
    found, k, p = find_tokens(model, profile, listed, None if profile.whole else said.k, None)
    _agree("tokens.source", tokens.source, found.source)
    _agree("tokens.tokenizer", tokens.tokenizer_digest, found.tokenizer_digest)
    _agree("tokens.frequencies", tokens.frequency_digest, found.frequency_digest)
    _agree("tokens.k", said.k, k)
    _agree("tokens.p", said.p, p)
    _agree("tokens.ids", tokens.ids, found.ids)
    _agree("tokens.pieces", tokens.pieces, found.pieces)
    if listed is not None:
        return "the tokens are those of the owner's list; what is in that list is the owner's choice"
    return "the tokens are those that the rule selects for its tokenizer"


def _check_texts(said: InferenceStatement | None, model: Model) -> list[str]:
    """Cut the texts beside a proof of inference into tokens again; that the ids give the answers is proven. The text
    of an answer behind a hidden prompt is left out: how it is cut depends on what is before it.
    """
    answers = [] if said is None else said.answers
    texts = [
        n
        for n, one in enumerate(answers)
        if not one.hidden and (one.prompt is not None or one.answer is not None)
    ]
    if not texts:
        return []
    coder, names = TextCoder.of(model.checkpoint, model.shape.vocab), set[str]()
    for n in texts:
        where = "" if len(answers) == 1 else f"answers.{n}."
        for name, (ours, theirs) in _recut(answers[n], coder, f"audit.{where}texts").items():
            _agree(f"{where}{name}", ours, theirs)
            names.add(name)
    cut = " and ".join(sorted(names, reverse=True))
    of = "" if len(answers) == 1 else f" of {len(texts)} answers"
    return [f"its tokenizer cuts the published {cut}{of} into the published token ids"]


def _recut(said: Answer, coder: TextCoder, where: str) -> dict[str, tuple[list[int], list[int]]]:
    """The published ids of a prompt and an answer whose texts are published, and those that the texts are cut into.

    Raises:
        Rejected: at `where`, a text that has none.
    """
    begun, behind = said.prompt_ids or [], said.answer_ids
    try:
        if said.prompt is not None and said.answer is not None:
            ids, first = coder.continued(said.prompt, said.answer)
            return {"prompt": (begun, ids[:first]), "answer": (behind, ids[first:])}
        if said.prompt is not None:
            return {"prompt": (begun, coder.encode(said.prompt))}
        return {"answer": (behind, coder.encode(said.answer or ""))}
    except UsageError as error:
        raise Rejected(where, f"a published text has no token ids ({error.message})") from None


def _check_inference(
    said: Directory,
    model: Model,
    tokens: Path | None,
    weights: Mapping[str, NDArray[np.int8]],
    progress: Progress,
) -> str:
    """Calibrate again: what the inference program takes from the checkpoint's config, and its units."""
    facts = inference_facts(said)
    if facts is None:
        return "no inference program is published"
    try:
        calibration = plan_inference(model, pinned_profile(said.profile), tokens, True, progress)
        found = find_inference(calibration, weights, True, progress)
    except (Unsupported, ProverError) as error:
        raise Rejected(
            "audit.inference", f"the checkpoint has no inference program ({error.message})"
        ) from None
    assert found is not None  # it was wanted
    name = first_difference(facts, found)
    if name is not None:
        raise Rejected(f"audit.inference.{name}", "another calibration gives another inference program")
    return "its inference program has the checkpoint's activation, epsilon and rotary base, and units as calibrated"


def _check_run(said: Statement, trace: Trace) -> None:
    _agree("shifts", said.shifts, trace.shifts)
    _agree("calibration_sums", said.calibration_sums, {n: tuple(sums) for n, sums in trace.sums.items()})
    _agree("caps", said.caps, {name: astuple(cap) for name, cap in trace.caps.items()})
    _agree("ratios", said.ratios, dict(trace.ratios))
    _agree("v", said.outputs, trace.v.tolist())


def _check_fidelity(said: FidelityReport, found: Fidelity) -> None:
    pairs = [] if said.v is None else [("fidelity.v", said.v, found.v)]
    if said.terms:
        _agree("fidelity.terms", sorted(said.terms), sorted(found.terms))
        pairs += [(f"fidelity.terms.{name}", value, found.terms[name]) for name, value in said.terms.items()]
    for name, published, value in pairs:
        if not abs(published - value) <= FIDELITY_TOLERANCE:  # also where one is no number
            _agree(name, published, round(value, 4))


def _cosign(bundle: Bundle, key: SecretKey) -> tuple[str, ...]:
    """Add a signature to the bundle's audit.sig."""
    earlier = None
    if form.COSIGNATURES in bundle.files:
        earlier = AuditSignatures.decode(bundle.files[form.COSIGNATURES], form.COSIGNATURES)
    signed = cosign(key, bundle.digest, earlier)
    write_file(bundle.path / form.COSIGNATURES, signed.encode())
    return tuple(signed.signers)


def _agree(what: str, said: object, found: object) -> None:
    if said != found:
        short = [text if len(text) <= 80 else f"{text[:77]}..." for text in (str(said), str(found))]
        message = "the checkpoint does not give what the bundle says"
        raise Rejected(f"audit.{what}", message, expected=short[0], got=short[1])
