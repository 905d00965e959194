"""The verifier's library: `from verifier import verify, inspect, Verdict`; imported only when used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verifier.inspection import Inspection, inspect
    from verifier.verdict import Verdict
    from verifier.verification import verify

__all__ = ["Inspection", "Verdict", "inspect", "verify"]

_PLACES = {
    "Inspection": "verifier.inspection",
    "Verdict": "verifier.verdict",
    "inspect": "verifier.inspection",
    "verify": "verifier.verification",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PLACES[name]), name)
