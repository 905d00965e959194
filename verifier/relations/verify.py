"""The verifier of a proof of relations: bytes in, nothing or an error out (protocol §13)."""

from __future__ import annotations

from huref.circuits.argument.security import SecurityReport
from huref.circuits.relations.security import relation_security
from huref.circuits.relations.setup import RelationSetup
from huref.common.argument.transcript import Recorder, Transcript
from huref.verifier.argument.channel import VerifierChannel
from huref.verifier.argument.verify import require_level, verify_reduced
from huref.verifier.relations.reduce import reduce_relations


def verify_relations(
    setup: RelationSetup,
    statement: bytes,
    weights_root: bytes,
    proof: bytes,
    min_security: int = 100,
    recorder: Recorder | None = None,
) -> SecurityReport:
    """Check a proof that integers exist which satisfy all relations with the committed weights.

    That the weights are in range is not checked here (protocol §6.8).

    Raises:
        Rejected: a check failed; its path says which. Malformed: the proof's bytes have the wrong form.
    """
    report = relation_security(setup)
    require_level(report, min_security)
    channel = VerifierChannel(Transcript(recorder), proof, setup.layout.pads)
    reduced = reduce_relations(channel, setup, statement, weights_root)
    verify_reduced(channel, setup.layout, setup.geometry, weights_root, reduced, setup.knobs)
    return report
