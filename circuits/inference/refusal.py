"""What is said of a text that has no proof under a commitment (docs/inference.md §5)."""

from __future__ import annotations

from huref.common.errors import ProverError


def no_proof(what: str) -> ProverError:
    """A value is beyond what the units of the commitment leave room for; `what` names its site."""
    return ProverError(
        what,
        hint="this text has no proof under this commitment: it leads to larger values than the texts that its units "
        "were calibrated on (docs/inference.md, section 5)",
    )
