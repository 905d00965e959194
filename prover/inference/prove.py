"""Proofs of inference: which tokens the committed model gives behind one prompt or several, in one bundle with its
fingerprint (protocol §13).

As in `huref.prover.owner`, nothing appears under a bundle's name before its own verification passed.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np

from huref.circuits.inference.claim import claimed_odds
from huref.circuits.inference.claim import gaps as measured_gaps
from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference.evaluate import Ints
from huref.circuits.inference.prompt_opening import SALT_BYTES, prompt_digest
from huref.circuits.inference_statement import (
    MAX_GAP,
    MAX_IDS,
    Answer,
    InferenceStatement,
    inference_program,
    prepare_inference,
)
from huref.common.errors import HurefError, ProverError, UsageError
from huref.common.files import bundle as form
from huref.common.files.atomic import new_folder, write_file
from huref.common.files.bundle import Bundle, read_bundle
from huref.common.files.commitment_file import CommitmentFile
from huref.common.files.keys import SecretKey
from huref.common.files.passages import Passage, passage_lines
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
from huref.prover.run.inference.generate import generate
from huref.prover.run.inference.record import Recorder
from huref.verifier.hidden_prompts import open_prompts
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
    """A bundle that was written and verified, how many more proofs its commitment allows, and the private file that
    opens its prompts where they are hidden.
    """

    path: Path
    verdict: Verdict
    proofs_left: int
    seconds: dict[str, float]
    opening: Path | None = None


def prove_inference(
    commitment: str | Path,
    out: str | Path,
    questions: Sequence[Question],
    *,
    each: bool = False,
    hide_prompt: bool = False,
    fingerprint: str | Path | None = None,
    key: SecretKey | None = None,
    replace_existing: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> Answered:
    """Prove answers of the committed model, all in one proof, and write the bundle `out`, with the model's fingerprint.

    The fingerprint is taken from the bundle `fingerprint`, or proven first. With `each`, every claimed token's own gap
    is published instead of one for all of an answer. With `hide_prompt` the bundle shows of the prompts their length
    and a digest; what opens it is written beside the bundle (`opening_of`).

    Raises:
        UsageError: a question does not fit the model, there is none, or `out` exists.
        ProverError: a value that no proof can hold, or an exhausted opening budget.
        Rejected: `fingerprint` does not hold, or is of another model.
    """
    folder, out, progress = Path(commitment), Path(out), progress or Progress()
    _check_questions(check_commitment(folder, key), questions)
    opening = opening_of(out) if hide_prompt else None
    if opening is not None:
        _check_opening(opening, replace_existing)
    salts = [secrets.token_bytes(SALT_BYTES) for _ in questions] if hide_prompt else []
    with new_folder(out, replace=replace_existing) as temporary:
        base = None if fingerprint is None else _given(fingerprint, folder)
        opened = open_commitment(folder, choose(device), None, progress)
        statement, run = run_answers(opened, questions, each, progress, salts)
        proof, left = prove_statement(opened, statement, run, progress)
        del run  # the fingerprint needs the room
        if base is None:
            base, left = _fingerprint(folder, temporary, key, device, progress)
        added = {form.INFERENCE: statement.encode(), form.INFERENCE_PROOF: proof}
        bundle.extend(temporary, base, added, key)
        with progress.stage("self-verify"):
            try:
                verdict = verify(temporary, min_security=opened.public.directory.security)
                lines = _opened(questions, salts)
                open_prompts(verdict.inference, lines or None, inference_program(opened.public)[0].vocab)
            except HurefError as error:
                raise _broken(error) from error
        if opening is not None:
            write_file(opening, passage_lines(lines), mode=0o600)
    return Answered(out, verdict, left, dict(progress.seconds), opening)


def opening_of(bundle: Path) -> Path:
    """The file beside a bundle that opens its hidden prompts."""
    place = Path(os.path.abspath(bundle))
    return place.parent / f"{place.name.removesuffix('.huref')}.prompts.jsonl"


def _check_opening(place: Path, replace: bool) -> None:
    """Raises `UsageError` where what opens the prompts cannot be written."""
    if place.is_dir():
        raise UsageError(f"{place} is a folder, and what opens the prompts goes there", hint="move it")
    if place.exists() and not replace:
        raise UsageError(
            f"{place} exists, and opens the prompts of an older bundle", hint="move it, or --force"
        )


def _opened(questions: Sequence[Question], salts: Sequence[bytes]) -> list[Passage]:
    """What opens hidden prompts; nothing where none is."""
    return [
        Passage(prompt=question.prompt, prompt_ids=list(question.ids[: question.first]), salt=salt.hex())
        for question, salt in zip(questions, salts, strict=False)
    ]


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


def _check_questions(public: CommitmentFile, questions: Sequence[Question]) -> None:
    """Raises `UsageError` where a question does not fit the model, or all are too much for one proof."""
    vocab, total = inference_program(public)[0].vocab, 0
    if not questions:
        raise UsageError("there is no prompt")
    for number, question in enumerate(questions, 1):
        ids, which = question.ids, f"prompt {number}: " if len(questions) > 1 else ""
        if any(not 0 <= i < vocab for i in ids):
            raise UsageError(f"{which}token ids are integers from 0 to {vocab - 1}")
        if not 1 <= question.first <= len(ids) or (question.first == len(ids)) != (question.generate > 0):
            raise UsageError(
                f"{which}a prompt of at least one token is needed, and an answer or a number of tokens to generate"
            )
        total += len(ids) + question.generate
    if total > MAX_IDS:
        raise UsageError(
            f"one proof covers at most {MAX_IDS} tokens, these are {total}",
            hint="prove some of the answers in another bundle" if len(questions) > 1 else None,
        )


def _broken(error: HurefError) -> ProverError:
    return ProverError(
        f"the finished proof does not verify ({error.message}); no bundle was written",
        hint="this is a bug in huref or a hardware fault; please report it",
    )


def _given(fingerprint: str | Path, folder: Path) -> Bundle:
    """A bundle of the same model that the proof of inference is added to."""
    read = read_bundle(fingerprint)
    verify(read, root=str(folder / form.COMMITMENT))
    return read


def _fingerprint(
    folder: Path, temporary: Path, key: SecretKey | None, device: str, progress: Progress
) -> tuple[Bundle, int]:
    """The bundle that the proof of inference is added to, and how many more proofs are left."""
    made = temporary / "fingerprint"
    proved = prove_fingerprint(None, made, commitment=folder, key=key, device=device, progress=progress)
    read = read_bundle(made)
    shutil.rmtree(made)
    return read, proved.proofs_left


def run_answers(
    opened: OpenedCommitment,
    questions: Sequence[Question],
    each: bool,
    progress: Progress,
    salts: Sequence[bytes] = (),
) -> tuple[InferenceStatement, Recorder]:
    """The statement of a run, and the run: answers are generated where there are none, and the gaps of all measured.
    Prompts are hidden where there are `salts`, a fresh one for each.

    Raises:
        UsageError: the texts are too long. ProverError: a value, or a gap, that no proof can hold.
    """
    (shape, facts), weights = inference_program(opened.public), opened.source.weights
    with progress.stage("run") as step:
        every = _generated(opened, questions, step)
        draft = InferenceStatement(
            model_id=opened.public.model_id,
            answers=[
                _draft(ids, question.first, salt)
                for ids, question, salt in zip_longest(every, questions, salts)
            ],
        )
        program = compile_inference(shape, facts, *draft.lengths)
        relations = prepare_inference(draft, opened.public).relations
        ran = [i for ids in every for i in ids[:-1]]
        run = Recorder(program, relations, weights, ran, draft.claims().positions)
        run.hide(salts)
        run.run()
        answers, at = [], 0
        for number, (unsaid, question, ids) in enumerate(
            zip(draft.answers, questions, every, strict=True), 1
        ):
            logits = run.logits[at : at + unsaid.claimed]
            at += unsaid.claimed
            which = f"answer {number}" if len(questions) > 1 else "the answer"
            answers.append(_measured(which, question, unsaid, ids, logits, each, facts.logits))
    said = InferenceStatement(model_id=opened.public.model_id, answers=answers)
    if len(said.encode()) > form.CAPS[form.INFERENCE]:
        raise UsageError(
            "the texts are too long for a bundle", hint="give token ids, or prove fewer answers at a time"
        )
    return said, run


def _draft(ids: list[int], first: int, salt: bytes | None) -> Answer:
    """A sequence of which nothing is claimed yet; with a salt its prompt is hidden."""
    shown, digest = (ids, None) if salt is None else (ids[first:], prompt_digest(salt, ids[:first]))
    return Answer(ids=shown, first=first, prompt_digest=digest, gaps=[0], odds=1, prompt=None, answer=None)


def _measured(
    which: str, question: Question, draft: Answer, ids: list[int], logits: Ints, each: bool, unit: int
) -> Answer:
    """An answer with the gaps of its tokens, from the logits (claims × vocabulary) at this unit. `ids` are those of the
    whole sequence.
    """
    claims = list(enumerate(draft.answer_ids))
    gaps = measured_gaps(logits, claims)
    if max(gaps) > MAX_GAP:
        raise ProverError(
            f"a token of {which} is {max(gaps) * 2.0**-unit:.1f} logits below the model's best one",
            hint="the answer is another model's, or was cut into tokens in another way",
        )
    gaps = gaps if each else [max(gaps)]
    odds, answer = claimed_odds(logits, claims, gaps, unit), _text(question, ids)
    prompt = None if draft.hidden else question.prompt
    return draft.model_copy(update={"gaps": gaps, "odds": odds, "prompt": prompt, "answer": answer})


def _text(question: Question, ids: Sequence[int]) -> str | None:
    """The text of an answer, which was given or follows from the ids."""
    if not question.generate:
        return question.answer
    return None if question.told is None else question.told(ids)


def _generated(
    opened: OpenedCommitment, questions: Sequence[Question], step: Callable[[str], None]
) -> list[list[int]]:
    """The token ids of all questions with their answers; the model's own ones, of which every token is the best one,
    where none is given.
    """
    (shape, facts), weights = inference_program(opened.public), opened.source.weights
    found = [[int(i) for i in question.ids] for question in questions]
    for count in sorted({question.generate for question in questions} - {0}):
        asked = [number for number, question in enumerate(questions) if question.generate == count]
        made = generate(shape, facts, weights, [found[number] for number in asked], count, step)
        for number, answer in zip(asked, made, strict=True):
            found[number] += answer
    return found


def prove_statement(
    opened: OpenedCommitment, statement: InferenceStatement, run: Recorder, progress: Progress
) -> tuple[bytes, int]:
    """The proof's bytes, checked, and how many more proofs are left."""
    setup, weights = prepare_inference(statement, opened.public), opened.source.weights
    run.claim(statement.claims())
    with opened.lock(progress.warn) as budget:
        queries = setup.geometry.weights.queries
        counter = budget.reserve(queries)
        seed = fresh_proof_seed(budget.seed, counter, statement.digest())
        encoded, positions = statement.encode(), OpenedPositions()
        with progress.stage("prove") as step:
            stepped = released_at(step, opened.committed.data)
            proof = prove_relations(setup, encoded, weights, run.take(), opened.committed, seed, stepped)
        try:
            verify_relations(setup, encoded, opened.committed.root, proof, setup.knobs.security, positions)
        except HurefError as error:
            raise _broken(error) from error
        budget.settle(np.asarray(positions.found))
        return proof, budget.remaining // queries
