"""The auditor's side: recompute a bundle from the checkpoint and the secret seed, and vouch for the link.

An auditor sees what nobody else may: the checkpoint and the commitment's private seed. Success means that the
committed weights are this checkpoint's, quantized by the pinned rule, with the tokens that the rule selects.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from huref.circuits.argument.proof import weights_geometry
from huref.circuits.commitment import compile_directory, pinned_profile
from huref.circuits.program.evaluate import Trace
from huref.circuits.statement import Statement, prepare_statement
from huref.common.errors import Rejected
from huref.common.files import bundle as form
from huref.common.files.atomic import clear_leftovers, write_file
from huref.common.files.bundle import Bundle, read_bundle
from huref.common.files.commitment_file import Directory
from huref.common.files.identity import AuditSignatures, SecretKey, cosign
from huref.prover.checkpoint.families import Model, open_model
from huref.prover.commitment.folder import PRIVATE, Source, read_seed
from huref.prover.commitment.stacked import StackedWeights
from huref.prover.commitment.weights import commit_weights
from huref.prover.progress import Progress
from huref.prover.run.fingerprint import find_tokens, quantize_model
from huref.prover.run.program import fit_term_weights, run_program
from huref.verifier.verdict import Verdict
from huref.verifier.verification import verify

_REPLAYED = ("word-list", "id-order")
"""Token sources that are a rule of the checkpoint alone; others need the owner's list."""


@dataclass(frozen=True)
class AuditReport:
    """A successful audit: the bundle's verdict, what was recomputed, and who has signed by now."""

    verdict: Verdict
    checks: tuple[str, ...]
    cosigners: tuple[str, ...]


def audit(
    bundle: str | Path,
    checkpoint: str | Path,
    private: str | Path,
    *,
    key: SecretKey | None = None,
    progress: Progress | None = None,
) -> AuditReport:
    """Recompute a bundle; with a key, co-sign it when everything agrees.

    `private` is the commitment's folder or its private/ part; only the seed is read from it.

    Raises:
        Rejected: at audit.shape, audit.tokens, audit.root or audit.v; or whatever `verify` rejects.
        Other `HurefError`s: a file cannot be read.
    """
    progress = progress or Progress()
    with progress.stage("verify"):
        if key is not None:
            clear_leftovers(Path(bundle) / form.COSIGNATURES)  # a bundle with one is malformed
        read = read_bundle(bundle)
        verdict = verify(read, min_security=0)
    statement, said = verdict.statement, verdict.directory
    setup = prepare_statement(statement, verdict.commitment)
    with progress.stage("load"):
        folder = Path(private)
        seed = read_seed(folder / PRIVATE if (folder / PRIVATE).is_dir() else folder)
        model = open_model(checkpoint)
        _agree("shape", said.shape, model.shape.to_dict())
        checks = ["the checkpoint has the shape in the statement", _check_tokens(said, model)]
    with progress.stage("quantize") as step:
        profile = pinned_profile(said.profile)
        ids = np.array(said.tokens.ids, np.int64)
        space = StackedWeights.empty(setup.program, weights_geometry(setup.program, setup.knobs).w)
        weights, steps = quantize_model(model, profile, setup.program, ids, space=space, progress=step)
    with progress.stage("commit"):
        root = commit_weights(setup.program, weights, setup.knobs, seed).root
        _agree("root", verdict.commitment.root, root.hex())
        checks.append("quantized by the pinned rule, it gives the commitment's root under the secret seed")
    with progress.stage("run") as step:
        fitted = fit_term_weights(profile, compile_directory(said), weights, steps, "cpu", step)
        _agree("term_weights", said.term_weights, list(fitted))
        source = Source(profile, model.shape, said.k, said.p, said.tokens, weights, steps, (), fitted)
        _check_run(statement, run_program(source, statement.encoder, "cpu", step)[1])
        checks.append("the fingerprint program on it gives the vector")
    cosigners = verdict.cosigners
    if key is not None:
        cosigners = _cosign(read, key)
    return AuditReport(verdict, tuple(checks), cosigners)


def _check_tokens(said: Directory, model: Model) -> str:
    """Replay the token rule where the statement says that it was used."""
    tokens = said.tokens
    if tokens.source not in _REPLAYED:
        return f"the tokens come from a {tokens.source} of the owner's: not replayed"
    order, ids, _, p = find_tokens(model, None, said.k, None)
    _agree("tokens.source", tokens.source, order.source)
    _agree("tokens.tokenizer", tokens.tokenizer_digest, order.tokenizer_digest)
    _agree("tokens.frequencies", tokens.frequency_digest, order.frequency_digest)
    _agree("tokens.ids", (said.p, tokens.ids), (p, ids.tolist()))
    return "the tokens are those that the rule selects for its tokenizer"


def _check_run(said: Statement, trace: Trace) -> None:
    _agree("shifts", said.shifts, trace.shifts)
    _agree("v", said.v, trace.v.tolist())


def _cosign(bundle: Bundle, key: SecretKey) -> tuple[str, ...]:
    """Add a signature to the bundle's audit.sig."""
    earlier = None
    if form.COSIGNATURES in bundle.files:
        earlier = AuditSignatures.decode(bundle.files[form.COSIGNATURES], form.COSIGNATURES)
    signed = cosign(key, bundle.digest, earlier)
    write_file(bundle.path / form.COSIGNATURES, signed.encode())
    return tuple(member.public_key for member in signed.signers)


def _agree(what: str, said: object, found: object) -> None:
    if said != found:
        short = [text if len(text) <= 80 else f"{text[:77]}..." for text in (str(said), str(found))]
        message = "the checkpoint does not give what the bundle says"
        raise Rejected(f"audit.{what}", message, expected=short[0], got=short[1])
