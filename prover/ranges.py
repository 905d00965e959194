"""The range proof of a commitment, made once and kept beside commitment.json (protocol §6.8)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from huref.circuits.program.evaluate import Trace
from huref.circuits.statement import needs_range, prepare_range
from huref.common.errors import HurefError, ProverError
from huref.common.files.atomic import write_file
from huref.common.files.bundle import CAPS, RANGE
from huref.common.files.capped import read_capped
from huref.common.files.commitment_file import CommitmentFile
from huref.prover.argument.prove import prove as prove_program
from huref.prover.commitment.folder import OpenedCommitment
from huref.prover.commitment.positions import OpenedPositions
from huref.prover.commitment.randomness import fresh_proof_seed
from huref.prover.kernels.mapped import released_at
from huref.prover.progress import Progress
from huref.verifier.argument.verify import verify_program
from huref.verifier.ranges import verify_range


def read_range(folder: Path, public: CommitmentFile) -> bytes | None:
    """The commitment's range proof, verified; None where its statements need none.

    Raises:
        ProverError: it is not there, or does not hold.
    """
    if not needs_range(public):
        return None
    path = folder / RANGE
    hint = f"make it again: huref range {folder}"
    if not path.exists():
        raise ProverError(f"{path}: there is no range proof yet", hint=hint)
    proof = read_capped(path, CAPS[RANGE])
    try:
        verify_range(public, proof, public.directory.security)
    except HurefError as error:
        raise ProverError(f"{path}: {error.message}", hint=hint) from None
    return proof


def ensure_range(opened: OpenedCommitment, progress: Progress, *, again: bool = False) -> bool:
    """Make the range proof where it is needed and missing, or `again`; whether one was made.

    Spends one proof of the commitment's budget.

    Raises:
        ProverError: the budget is spent, or an entry is no byte.
    """
    path = opened.folder / RANGE
    if not needs_range(opened.public) or (path.exists() and not again):
        return False
    statement, setup = prepare_range(opened.public)
    with opened.lock(progress.warn) as budget:
        counter = budget.reserve(setup.geometry.weights.queries)
        seed = fresh_proof_seed(budget.seed, counter, statement.digest())
        nothing = Trace({}, np.zeros(0, np.int64))
        with progress.stage("range") as step:
            weights = opened.committed
            stepped = released_at(step, weights.data)
            proof = prove_program(setup, statement.encode(), {}, nothing, weights, seed, stepped)
        positions = OpenedPositions()
        try:
            verify_program(
                setup, statement.encode(), opened.committed.root, proof, setup.knobs.security, positions
            )
        except HurefError as error:
            raise ProverError(
                f"the finished range proof does not verify ({error.message}); it was not written",
                hint="this is a bug in huref or a hardware fault; please report it",
            ) from error
        write_file(path, proof)
        budget.settle(positions.found)
    return True
