"""The verifier of a program's run: bytes in, nothing or an error out (protocol §10)."""

from __future__ import annotations

from huref.circuits.argument.opening import Rowed
from huref.circuits.argument.proof import Setup
from huref.circuits.argument.security import SecurityReport, security_report
from huref.common.argument.transcript import Recorder, Transcript
from huref.common.errors import Rejected
from huref.common.params import Knobs, OpeningGeometry
from huref.verifier.argument.channel import VerifierChannel
from huref.verifier.argument.opening import Roots, verify_opening
from huref.verifier.argument.reduce import Reduced, reduce_to_claims


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
    require_level(report, min_security)
    channel = VerifierChannel(Transcript(recorder), proof, setup.layout.pads)
    reduced = reduce_to_claims(channel, setup, statement, weights_root)
    verify_reduced(channel, setup.layout, setup.geometry, weights_root, reduced, setup.knobs)
    return report


def require_level(report: SecurityReport, min_security: int) -> None:
    """Raise `Rejected` unless a proof reaches the demanded level."""
    if report.bits < min_security:
        raise Rejected(
            "security",
            "the proof is below the demanded level",
            expected=min_security,
            got=round(report.bits, 2),
        )


def verify_reduced(
    channel: VerifierChannel,
    layout: Rowed,
    geometry: OpeningGeometry,
    weights_root: bytes,
    reduced: Reduced,
    knobs: Knobs,
) -> None:
    """Open the claims that a proof was reduced to, and require that it ends there. Raises as `verify_program`."""
    roots = Roots(weights_root, reduced.proof_root)
    verify_opening(channel, layout, geometry, roots, reduced.claims, reduced.columns, knobs)
    channel.finish()
