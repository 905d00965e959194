"""What a model's owner does, as a library: commit to a checkpoint, and prove its fingerprint.

Nothing appears under a bundle's name before its own verification passed, and positions that were drawn count
as opened even when the bundle is then not written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.proof import Setup
from huref.circuits.argument.security import security_report
from huref.circuits.challenge import most_challenges
from huref.circuits.commitment import MAX_PROOFS, pinned_profile
from huref.circuits.fingerprint.hardened import constants as hardened
from huref.circuits.fingerprint.paper import EQUAL_TERM_WEIGHTS
from huref.circuits.fingerprint.profiles import get_profile
from huref.circuits.statement import needs_range, prepare_statement
from huref.common.errors import HurefError, ProverError, UsageError
from huref.common.files.atomic import new_folder
from huref.common.files.bundle import PROOF, RANGE
from huref.common.files.commitment_file import MAX_TOKENS, CommitmentFile
from huref.common.files.keys import SecretKey
from huref.common.image.registry import by_name, embedded
from huref.common.params import Knobs
from huref.prover import bundle
from huref.prover.argument.prove import prove as prove_program
from huref.prover.checkpoint.families import open_model
from huref.prover.checkpoint.formats.base import Checkpoint
from huref.prover.commitment import folder as commitment_folder
from huref.prover.commitment.folder import OpenedCommitment, Source, describe_files
from huref.prover.commitment.positions import OpenedPositions
from huref.prover.commitment.randomness import fresh_proof_seed
from huref.prover.commitment.tokenizer_place import TokenizerPlace
from huref.prover.devices.choose import choose
from huref.prover.devices.cluster import on_cluster
from huref.prover.devices.interface import Device
from huref.prover.inference_facts import find_inference, plan_inference
from huref.prover.kernels.mapped import released_at
from huref.prover.progress import Progress
from huref.prover.ranges import ensure_range, read_range
from huref.prover.run.fidelity import FloatReference, measure
from huref.prover.run.fingerprint import find_tokens, quantize_model
from huref.prover.run.program import fit_term_weights, run_program
from huref.prover.run.whole import fill_whole, remaker
from huref.verifier.verdict import Verdict
from huref.verifier.verification import verify

DEFAULT_SECURITY = 100
DEFAULT_PROOFS = 256
COMMITMENT_SUFFIX = ".commitment"


@dataclass(frozen=True)
class Options:
    """What a commitment is made with; None takes the default, or what an existing commitment has.

    `profile`: "hardened" or "paper" or a versioned name; `tokens`: what `--tokens` names; `k`: number of rarest tokens
    (`paper`); `security`: 100 or 128 bits; `proofs`: how many proofs the commitment must outlive; `owner`:
    the public key (hex) that must sign every bundle, written into the commitment; `keep`: "weights", or "recipe" to
    make the integers of a whole model again from the checkpoint whenever they are needed; `inference`: whether the
    model gets an inference program (default: where one is known for it).
    """

    profile: str | None = None
    tokens: Path | None = None
    k: int | None = None
    security: int | None = None
    proofs: int | None = None
    owner: str | None = None
    keep: str | None = None
    inference: bool | None = None


@dataclass(frozen=True)
class Proved:
    """A bundle that was written and verified. `remaining` positions, enough for `proofs_left` proofs, can still be
    opened on the commitment, and `challenges_left` further challenges answered.
    """

    path: Path
    commitment: Path
    verdict: Verdict
    remaining: int
    proofs_left: int
    challenges_left: int
    seconds: Mapping[str, float]


def commit(
    checkpoint: Checkpoint | str | Path,
    out: str | Path,
    options: Options | None = None,
    *,
    device: str = "auto",
    scheduler: str | None = None,
    progress: Progress | None = None,
    prove_range: bool = True,
) -> OpenedCommitment:
    """Quantize a checkpoint, commit to it, and write the commitment's folder `out`.

    Without `prove_range` the range proof of a whole model is left to `huref.prover.ranges.ensure_range`.

    `device` is a name for `huref.prover.devices.choose`, `scheduler` the address of a cluster that encodes and hashes
    instead and sees the weights (docs/cluster.md); the result depends on neither.

    Raises:
        UsageError: an option is impossible or `out` exists. Other `HurefError`s: the checkpoint cannot be read,
            or the cluster cannot be reached.
    """
    options, progress = options or Options(), progress or Progress()
    with on_cluster(scheduler, choose(device)) as place:
        opened, _ = _commit(checkpoint, Path(out), options, place, progress, with_reference=False)
    if prove_range:
        ensure_range(opened, progress)
    return opened


def prove(
    checkpoint: Checkpoint | str | Path | None,
    out: str | Path,
    options: Options | None = None,
    *,
    commitment: str | Path | None = None,
    challenge: bytes = b"",
    key: SecretKey | None = None,
    replace_existing: bool = False,
    generator: str | None = None,
    device: str = "auto",
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Proved:
    """Prove a checkpoint's fingerprint and write the bundle `out`, verified.

    The commitment is read from the folder `commitment` (default: `out` with the suffix .commitment) and made
    first when there is none. With an existing commitment the checkpoint may be None; a checkpoint that is
    given must be the committed one. The tables are drawn from `challenge` (32 bytes; none for the public fingerprint).
    `generator` (default: the embedded one) draws the picture. `device` is a
    name for `huref.prover.devices.choose`; given the same randomness the proof does not depend on it. `scheduler`: as
    for `commit`, and for the weights' tree alone.

    Raises:
        UsageError: options do not fit the commitment, or `out` exists.
        ProverError: another checkpoint, an exhausted opening budget, or values too large for a proof.
    """
    picture = embedded() if generator is None else by_name(generator)
    out, options, progress = Path(out), options or Options(), progress or Progress()
    folder = Path(commitment) if commitment is not None else out.with_suffix(COMMITMENT_SUFFIX)
    if key is not None and not folder.exists():
        options = replace(options, owner=options.owner or key.public_key)
    place = choose(device)
    with new_folder(out, replace=replace_existing) as temporary:
        with on_cluster(scheduler, place) as tree_place:
            opened, reference = _open_or_commit(checkpoint, folder, options, key, tree_place, progress)
        ensure_range(opened, progress)
        with progress.stage("witness") as step:
            program, trace = run_program(opened.source, place.executor, step, challenge)
            fidelity = None
            if reference is not None:
                fidelity = measure(program, trace, reference, opened.source.steps)
        draft = bundle.draft(opened, challenge.hex() or None, trace, fidelity, picture, progress.seconds)
        setup = prepare_statement(draft.statement, opened.public)
        with opened.lock(progress.warn) as budget:
            queries = setup.geometry.weights.queries
            answered, most = _answer(opened, challenge)
            counter = budget.reserve(queries, answered, most)
            seed = fresh_proof_seed(budget.seed, counter, draft.statement.digest())
            with progress.stage("prove") as step:
                weights = dict(opened.source.weights)
                proof = prove_program(
                    setup,
                    draft.statement.encode(),
                    weights,
                    trace,
                    opened.committed,
                    seed,
                    released_at(step, opened.committed.data),
                )
            report = security_report(setup.layout, setup.geometry, setup.knobs)
            bundle.write(temporary, draft, proof, report, key, read_range(folder, opened.public))
            with progress.stage("self-verify"):
                verdict, positions = _verify_own(temporary, setup, picture.digest)
            budget.settle(positions)
            remaining, answers = budget.remaining, budget.answers_left(most, queries)
    return Proved(out, folder, verdict, remaining, remaining // queries, answers, progress.seconds)


def _answer(opened: OpenedCommitment, challenge: bytes) -> tuple[str | None, int]:
    """The challenge that counts as answered, and how many may be; `paper` has no tables to draw."""
    if not opened.source.profile.whole:
        return None, 0
    return challenge.hex(), most_challenges(opened.source.shape.hidden, hardened.OUTPUTS)


def _open_or_commit(
    checkpoint: Checkpoint | str | Path | None,
    folder: Path,
    options: Options,
    key: SecretKey | None,
    device: Device,
    progress: Progress,
) -> tuple[OpenedCommitment, FloatReference | None]:
    if not folder.exists():
        if checkpoint is None:
            raise UsageError(f"{folder}: no commitment there", hint="give a checkpoint to commit to")
        return _commit(checkpoint, folder, options, device, progress, with_reference=True)
    with progress.stage("load"):
        public = commitment_folder.read_public(folder)
        _check_options(public, options, folder)
        check_key(public, key, folder)
        if checkpoint is not None:
            check_sources(public, checkpoint, folder)
    return open_commitment(folder, device, checkpoint, progress), None


def open_commitment(
    folder: Path, device: Device, checkpoint: Checkpoint | str | Path | None, progress: Progress
) -> OpenedCommitment:
    """Read a commitment's folder; where it keeps a recipe, `checkpoint` is the committed one's place if that changed.

    Raises:
        ProverError: another checkpoint. Otherwise as `huref.prover.commitment.folder.load`.
    """
    with progress.stage("commit") as step:
        return commitment_folder.load(folder, device, remaker(checkpoint, step))


def _commit(
    checkpoint: Checkpoint | str | Path,
    folder: Path,
    options: Options,
    device: Device,
    progress: Progress,
    *,
    with_reference: bool,
) -> tuple[OpenedCommitment, FloatReference | None]:
    profile = get_profile(options.profile or "hardened")
    security = DEFAULT_SECURITY if options.security is None else options.security
    proofs = DEFAULT_PROOFS if options.proofs is None else options.proofs
    if security not in (100, 128):
        raise UsageError(f"security {security}: choose 100 or 128 bits")
    if not 1 <= proofs <= MAX_PROOFS:
        raise UsageError(f"{proofs} proofs: choose 1 to {MAX_PROOFS}")
    if options.k is not None and options.k > MAX_TOKENS:
        raise UsageError(f"K = {options.k}: at most {MAX_TOKENS} tokens")
    if options.keep not in (None, "weights", "recipe"):
        raise UsageError(f"keep {options.keep!r}: choose weights or recipe")
    if options.keep == "recipe" and not profile.whole:
        raise UsageError(f"profile {profile.name} keeps its few weights", hint="leave --keep out")
    if folder.exists():
        raise UsageError(f"{folder} exists already", hint=_existing_hint(folder))
    with progress.stage("load"):
        model = open_model(checkpoint)
        tokens, k, p = find_tokens(model, profile, options.tokens, options.k, None)
        source = Source(profile, model.shape, k, p, tokens, {}, {}, (), owner=options.owner)
        source.program()  # too large a model is refused before its files are read
        source = replace(source, files=describe_files(model, profile))
        calibration = plan_inference(model, profile, options.tokens, options.inference, progress)
    recipe = Path(os.path.abspath(_place(checkpoint))) if options.keep == "recipe" else None
    knobs = Knobs(security=security, proofs=proofs)
    with commitment_folder.create(folder, source, knobs, recipe=recipe) as draft:
        with progress.stage("quantize") as step:
            if profile.whole:
                fill_whole(model, draft.weights, step)
                reference, steps, term_weights = None, dict[str, float](), EQUAL_TERM_WEIGHTS
            else:
                program = source.program()
                reference = FloatReference(program) if with_reference else None
                _, steps = quantize_model(
                    model,
                    program,
                    np.array(tokens.ids),
                    space=draft.weights,
                    reference=reference,
                    progress=step,
                )
                term_weights = fit_term_weights(
                    profile, draft.program, draft.weights, steps, device.executor, step
                )
        facts = find_inference(calibration, draft.weights, options.inference, progress)
        if facts is not None and calibration is not None:
            place = TokenizerPlace(calibration.tokenizer, calibration.digest)
            place.write(draft.temporary / commitment_folder.PRIVATE)
        with progress.stage("commit"):
            opened = draft.finish(steps, term_weights, device, facts)
    return opened, reference


def _place(checkpoint: Checkpoint | str | Path) -> Path:
    return checkpoint.path if isinstance(checkpoint, Checkpoint) else Path(checkpoint)


def _existing_hint(folder: Path) -> str:
    """What to do where a commitment is there already: perhaps one whose range proof was interrupted."""
    try:
        unfinished = needs_range(commitment_folder.read_public(folder)) and not (folder / RANGE).exists()
    except HurefError:
        unfinished = False
    if unfinished:
        return f"a commitment is never overwritten; this one lacks its range proof: huref range {folder}"
    return "a commitment is never overwritten"


def _verify_own(folder: Path, setup: Setup, generator: str) -> tuple[Verdict, NDArray[np.int64]]:
    """Verify a bundle of ours; also the positions it opens of the weights' commitment."""
    opened = OpenedPositions()
    try:
        verdict = verify(
            folder,
            min_security=setup.knobs.security,
            require_image=True,
            generator=generator,
            recorders={PROOF: opened},
        )
    except HurefError as error:
        raise ProverError(
            f"the finished proof does not verify ({error.message}); no bundle was written",
            hint="this is a bug in huref or a hardware fault; please report it",
        ) from error
    return verdict, opened.found


def check_key(public: CommitmentFile, key: SecretKey | None, folder: Path) -> None:
    """Bundles are signed by the key that the commitment names, and by no other. Raises `UsageError`."""
    owner = public.directory.owner
    if owner is None and key is not None:
        raise UsageError(
            f"{folder} names no owner, so its bundles are not signed",
            hint="leave --key out, or commit again with --owner",
        )
    if owner is not None and (key is None or key.public_key != owner):
        raise UsageError(
            f"bundles of {folder} must be signed by its owner {owner}",
            hint="give the owner's key file with --key",
        )


def _check_options(public: CommitmentFile, options: Options, folder: Path) -> None:
    """Options that were given must be those of the commitment."""
    wanted = {
        "profile": get_profile(options.profile).name if options.profile else None,
        "k": options.k,
        "security": options.security,
        "proofs": options.proofs,
    }
    for name, value in wanted.items():
        if value is not None and value != getattr(public.directory, name):
            raise UsageError(
                f"{folder} was made with {name} {getattr(public.directory, name)}, not {value}",
                hint="make a new commitment for other parameters",
            )
    if options.inference not in (None, public.directory.inference is not None):
        raise UsageError(
            f"{folder} was made {'without' if options.inference else 'with'} an inference program",
            hint="make a new commitment for other parameters",
        )
    if options.tokens is not None:
        raise UsageError(f"the tokens of {folder} are fixed", hint="leave --tokens out")


def check_sources(public: CommitmentFile, checkpoint: Checkpoint | str | Path, folder: Path) -> None:
    """ProverError unless a checkpoint's files are those that the commitment in `folder` names."""
    if (
        list(describe_files(open_model(checkpoint), pinned_profile(public.directory.profile)))
        != public.sources
    ):
        raise ProverError(
            f"{_place(checkpoint)} is not the checkpoint that {folder} commits to",
            hint="commit to this checkpoint first, or leave it out to prove the committed one",
        )
