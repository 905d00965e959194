"""Proofs of inference: which tokens the committed model gives, in one bundle with its fingerprint (protocol §13).

As in `huref.prover.owner`, nothing appears under a bundle's name before its own verification passed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from huref.circuits.inference.claim import answer_claims, claimed_odds
from huref.circuits.inference.claim import gaps as measured_gaps
from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference_statement import (
    MAX_GAP,
    MAX_IDS,
    InferenceStatement,
    inference_program,
    prepare_inference,
)
from huref.common.errors import HurefError, ProverError, UsageError
from huref.common.files import bundle as form
from huref.common.files.atomic import new_folder
from huref.common.files.bundle import Bundle, read_bundle
from huref.common.files.commitment_file import CommitmentFile
from huref.common.files.keys import SecretKey
from huref.prover import bundle
from huref.prover.commitment.folder import OpenedCommitment, private_part, read_public
from huref.prover.commitment.positions import OpenedPositions
from huref.prover.commitment.randomness import fresh_proof_seed
from huref.prover.devices.choose import choose
from huref.prover.kernels.mapped import released_at
from huref.prover.owner import check_key, open_commitment
from huref.prover.owner import prove as prove_fingerprint
from huref.prover.progress import Progress
from huref.prover.relations.prove import prove_relations
from huref.prover.run.inference.executor import execute_inference
from huref.prover.run.inference.generate import generate
from huref.prover.run.inference.record import record_run
from huref.verifier.relations.verify import verify_relations
from huref.verifier.verdict import Verdict
from huref.verifier.verification import verify


@dataclass(frozen=True)
class Question:
    """What is to be proven: token ids, of which those from `first` on are the answer; no answer yet if `generate`
    tokens of the model's own are wanted. `prompt` and `answer` are the texts, said and not proven; `told` gives that of
    a generated answer from all ids, where it leads back to them.
    """

    ids: Sequence[int]
    first: int
    generate: int = 0
    prompt: str | None = None
    answer: str | None = None
    told: Callable[[Sequence[int]], str | None] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Answered:
    """A bundle that was written and verified, and how many more proofs its commitment allows."""

    path: Path
    verdict: Verdict
    proofs_left: int
    seconds: dict[str, float]


def prove_inference(
    commitment: str | Path,
    out: str | Path,
    question: Question,
    *,
    each: bool = False,
    fingerprint: str | Path | None = None,
    key: SecretKey | None = None,
    replace_existing: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> Answered:
    """Prove an answer of the committed model and write the bundle `out`, with the model's fingerprint.

    The fingerprint is taken from the bundle `fingerprint`, or proven first. With `each`, every claimed token's own gap
    is published instead of one for all.

    Raises:
        UsageError: the question does not fit the model, or `out` exists.
        ProverError: a value that no proof can hold, or an exhausted opening budget.
        Rejected: `fingerprint` does not hold, or is of another model.
    """
    folder, out, progress = Path(commitment), Path(out), progress or Progress()
    _check_question(check_commitment(folder, key), question)
    with new_folder(out, replace=replace_existing) as temporary:
        opened = open_commitment(folder, choose(device), None, progress)
        statement = _answer(opened, question, each, progress)
        base = _fingerprint(folder, temporary, fingerprint, key, device, progress)
        proof, left = _prove(opened, statement, progress)
        added = {form.INFERENCE: statement.encode(), form.INFERENCE_PROOF: proof}
        bundle.extend(temporary, base, added, key)
        with progress.stage("self-verify"):
            try:
                verdict = verify(temporary, min_security=opened.public.directory.security)
            except HurefError as error:
                raise _broken(error) from error
    return Answered(out, verdict, left, dict(progress.seconds))


def check_commitment(folder: Path, key: SecretKey | None) -> CommitmentFile:
    """The public part, where answers can be proven: known before the work.

    Raises:
        UsageError: no inference program, or not the key of the owner. InputOutputError: no private part.
    """
    public = read_public(folder)
    private_part(folder)
    if public.directory.inference is None:
        raise UsageError(
            f"{folder}: this model has no inference program, so no answer can be proven",
            hint="huref commit --inference says what is missing",
        )
    check_key(public, key, folder)
    return public


def _check_question(public: CommitmentFile, question: Question) -> None:
    """Raises `UsageError` where the question does not fit the model."""
    vocab, ids = inference_program(public)[0].vocab, question.ids
    if any(not 0 <= i < vocab for i in ids):
        raise UsageError(f"token ids are integers from 0 to {vocab - 1}")
    if not 1 <= question.first <= len(ids) or (question.first == len(ids)) != (question.generate > 0):
        raise UsageError(
            "a prompt of at least one token is needed, and an answer or a number of tokens to generate"
        )
    if len(ids) + question.generate > MAX_IDS:
        raise UsageError(f"one proof covers at most {MAX_IDS} tokens")


def _broken(error: HurefError) -> ProverError:
    return ProverError(
        f"the finished proof does not verify ({error.message}); no bundle was written",
        hint="this is a bug in huref or a hardware fault; please report it",
    )


def _fingerprint(
    folder: Path,
    temporary: Path,
    given: str | Path | None,
    key: SecretKey | None,
    device: str,
    progress: Progress,
) -> Bundle:
    """The bundle that the proof of inference is added to."""
    if given is not None:
        read = read_bundle(given)
        verify(read, root=str(folder / form.COMMITMENT))
        return read
    made = temporary / "fingerprint"
    prove_fingerprint(None, made, commitment=folder, key=key, device=device, progress=progress)
    read = read_bundle(made)
    shutil.rmtree(made)
    return read


def _answer(
    opened: OpenedCommitment, question: Question, each: bool, progress: Progress
) -> InferenceStatement:
    """The statement of a run: the answer is generated where there is none, and its gaps are measured."""
    shape, facts = inference_program(opened.public)
    ids, weights = [int(i) for i in question.ids], opened.source.weights
    answer = question.answer
    with progress.stage("run") as step:
        if question.generate:
            made, odds = generate(shape, facts, weights, ids, question.generate, step)
            ids += made
            answer = None if question.told is None else question.told(ids)
            gaps = [0] * question.generate if each else [0]  # each is the best one
        else:
            program = compile_inference(shape, facts, len(ids) - 1)
            logits = execute_inference(program, weights, ids[:-1]).values[program.logits]
            claims = answer_claims(ids, question.first)
            gaps = measured_gaps(logits, claims)
            if max(gaps) > MAX_GAP:
                raise ProverError(
                    f"a token of the answer is {max(gaps) * 2.0**-facts.logits:.1f} logits below the model's best one",
                    hint="the answer is another model's, or was cut into tokens in another way",
                )
            gaps = gaps if each else [max(gaps)]
            odds = claimed_odds(logits, claims, gaps, facts.logits)
    return InferenceStatement(
        model_id=opened.public.model_id,
        ids=ids,
        first=question.first,
        gaps=gaps,
        odds=odds,
        prompt=question.prompt,
        answer=answer,
    )


def _prove(opened: OpenedCommitment, statement: InferenceStatement, progress: Progress) -> tuple[bytes, int]:
    """The proof's bytes, checked, and how many more proofs are left."""
    setup = prepare_inference(statement, opened.public)
    shape, facts = inference_program(opened.public)
    weights, ids = opened.source.weights, statement.ids[:-1]
    program = compile_inference(shape, facts, len(ids))
    with progress.stage("witness"):
        found = record_run(program, setup.relations, weights, ids, statement.claims())
    with opened.lock(progress.warn) as budget:
        queries = setup.geometry.weights.queries
        counter = budget.reserve(queries)
        seed = fresh_proof_seed(budget.seed, counter, statement.digest())
        encoded, positions = statement.encode(), OpenedPositions()
        with progress.stage("prove") as step:
            stepped = released_at(step, opened.committed.data)
            proof = prove_relations(setup, encoded, weights, found, opened.committed, seed, stepped)
        try:
            verify_relations(setup, encoded, opened.committed.root, proof, setup.knobs.security, positions)
        except HurefError as error:
            raise _broken(error) from error
        budget.settle(np.asarray(positions.found))
        return proof, budget.remaining // queries
