"""Opening the registry that a command was given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from huref.verifier.registry.store import Store


@contextmanager
def opened(place: str, log_key: str | None) -> Iterator[Store]:
    """A registry's file, or the checked copy of one at an address, while the block lasts."""
    from huref.common.files.keys import read_public_key
    from huref.verifier.registry.replica import open_registry

    store = open_registry(place, None if log_key is None else read_public_key(log_key))
    try:
        yield store
    finally:
        store.close()
