"""The third party's and the auditor's commands; no torch, no numba."""

from __future__ import annotations

COMMANDS = {
    "verify": "verify",
    "inspect": "inspect",
    "compare": "compare",
    "challenge": "challenge",
    "identify": "identify",
    "registry": "registry",
    "pack": "pack",
    "unpack": "pack",
    "statement": "statement",
    "card": "card",
    "stamp": "stamp",
    "keygen": "keys",
    "pubkey": "keys",
}
"""Names of commands and groups, in the order of the help, and the module here that registers each."""
