"""What a failed check means, in plain words: one vocabulary for the terminal, JSON and HTML."""

from __future__ import annotations

from huref.common.text import shorten

WORD = "REJECTED"
"""The one word for a well-formed input that does not hold what it says."""
CLAIMED = "Claimed, not proven"
"""Heading of what a bundle that failed says of itself."""

_LESS = "The proof of inference holds, but shows less about its tokens than you ask for."
_MEANINGS: dict[str, str] = {
    "files": "A file is not the one that the bundle's manifest lists: it was changed or exchanged after the bundle was "
    "made.",
    "statement": "The statement contradicts itself or the files beside it.",
    "expect": "The bundle is about something else than what you expect. It may be valid for another model or from "
    "another signer.",
    "expect.inference": "The bundle has no proof of inference, so it shows nothing of what you ask about an answer.",
    "expect.prompts": "The proof of inference answers other prompts than you asked, or not all of them.",
    "expect.opening": "The file that you give does not open the prompts of this bundle: it is another bundle's, or was "
    "changed.",
    "expect.max_gap": _LESS,
    "expect.min_argmax": _LESS,
    "expect.min_probability": _LESS,
    "directory": "commitment.json contradicts itself: something in it is not what follows from the rest.",
    "fingerprint": "fingerprint.json does not describe what the proof is about.",
    "security": "The proof is weaker than you ask for, or the bundle says that it is stronger than it is.",
    "image": "The picture is not shown to be the one that the fingerprint draws. Don't trust the picture.",
    "signature": "The owner's signature is not of this bundle: somebody changed the bundle or copied the signature.",
    "audit": "What an auditor signed or recomputed is not this bundle.",
    "range": "The proof that all committed numbers are in range is weaker than you ask for.",
    "inference": "The proof of inference does not hold: the tokens are not shown to be what the committed model gives.",
    "inference.prompt": "The prompt that the owner shows is not the one behind which the answer was proven. Don't "
    "trust the answer.",
    "sources": "A checkpoint file is not the one that the owner says the weights were read from.",
    "envelope": "The signed statement is not about this bundle, or not signed by the key that you name.",
    "registry": "The registry does not show what you ask for, or contradicts its own log. Don't rely on its word.",
}
_PROOF = (
    "The proof does not prove the statement: the fingerprint is not shown to come from the committed weights."
)


def meaning(path: str) -> str:
    """Plain words for the failure of the check at dotted `path`; paths of no other kind are the proof's own."""
    return _MEANINGS.get(path) or _MEANINGS.get(path.split(".")[0], _PROOF)


def rejection_lines(path: str, reason: str, expected: object = None, got: object = None) -> list[str]:
    """A rejection for people: the word, what it means, then the check, what it expected and what it got."""
    lines = [WORD, f"  {meaning(path)}", f"  check     {path}: {reason}"]
    lines += [] if expected is None else [f"  expected  {shorten(expected)}"]
    return lines + ([] if got is None else [f"  got       {shorten(got)}"])
