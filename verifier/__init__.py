"""The verifier's library: `from huref.verifier import verify, inspect, Verdict`; imported only when used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huref.verifier.report.inspection import Inspection, inspect
    from huref.verifier.verdict import Verdict
    from huref.verifier.verification import verify

__all__ = ["Inspection", "Verdict", "inspect", "verify"]

_PLACES = {
    "Inspection": "huref.verifier.report.inspection",
    "Verdict": "huref.verifier.verdict",
    "inspect": "huref.verifier.report.inspection",
    "verify": "huref.verifier.verification",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PLACES[name]), name)
