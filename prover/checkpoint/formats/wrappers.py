"""Names under which training wrappers store a model's tensors, brought back to the model's own."""

from __future__ import annotations

from collections.abc import Iterable

from huref.common.errors import Malformed

_ANYWHERE = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""torch.compile, FSDP and activation checkpointing put these in front of the module that they wrap."""
_LEADING = ("module.", "base_model.model.")
"""DataParallel; PEFT."""


def plain_name(name: str) -> str:
    """`name` without the wrappers' parts."""
    for part in _ANYWHERE:
        name = name.replace(part, "")
    while name.startswith(_LEADING):
        name = name.removeprefix(_LEADING[0]).removeprefix(_LEADING[1])
    return name


def plain_names(source: object, stored: Iterable[str]) -> dict[str, str]:
    """Map from plain names to stored ones. Raises `Malformed` if two are the same tensor."""
    found: dict[str, str] = {}
    for name in stored:
        plain = plain_name(name)
        if plain in found:
            raise Malformed(f"{source}: {found[plain]} and {name} are the same tensor, {plain}")
        found[plain] = name
    return found
