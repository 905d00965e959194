"""The model owner's library: `from huref.prover import commit, prove, Options, Proved`; imported only when used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huref.prover.owner import Options, Proved, commit, prove

__all__ = ["Options", "Proved", "commit", "prove"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from huref.common.installation import missing_package

    try:
        from huref.prover import owner
    except ImportError as error:
        raise (missing_package(error) or error) from None

    return getattr(owner, name)
