"""The verifier of a program's run: bytes in, nothing or an error out (protocol §10)."""

from __future__ import annotations

from huref.circuits.argument.proof import Setup
from huref.circuits.argument.security import SecurityReport, security_report
from huref.common.argument.transcript import Recorder, Transcript
from huref.common.errors import Rejected
from huref.verifier.argument.channel import VerifierChannel
from huref.verifier.argument.opening import Roots, verify_opening
from huref.verifier.argument.reduce import reduce_to_claims


def verify_program(
    setup: Setup,
    statement: bytes,
    weights_root: bytes,
    proof: bytes,
    min_security: int = 100,
    recorder: Recorder | None = None,
) -> SecurityReport:
    """Check a proof that the committed weights give `setup.public`; returns the recomputed security report.

    `statement` is the canonical encoding of the public statement, `weights_root` the commitment it names.

    Raises:
        Rejected: a check failed; its path says which.
        Malformed: the proof's bytes have the wrong form.
    """
    report = security_report(setup.layout, setup.geometry, setup.knobs)
    if report.bits < min_security:
        raise Rejected(
            "security",
            "the proof is below the demanded level",
            expected=min_security,
            got=round(report.bits, 2),
        )
    channel = VerifierChannel(Transcript(recorder), proof, setup.layout.pads)
    reduced = reduce_to_claims(channel, setup, statement, weights_root)
    roots = Roots(weights_root, reduced.proof_root)
    verify_opening(
        channel, setup.layout, setup.geometry, roots, reduced.claims, reduced.columns, setup.knobs.grinding
    )
    channel.finish()
    return report
