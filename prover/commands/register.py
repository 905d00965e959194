"""The model owner's commands. Heavy imports (torch, numba) happen inside the commands."""

from __future__ import annotations

COMMANDS = {
    "tokens": "tokens",
    "fingerprint": "fingerprint",
    "commit": "commit",
    "range": "range",
    "prove": "prove",
    "prove-inference": "prove_inference",
    "restore": "restore",
    "export": "export",
    "ask": "ask",
    "audit": "audit",
    "demo": "demo",
    "generator": "generator",
    "warmup": "warmup",
}
"""Names of commands and groups, in the order of the help, and the module here that registers each."""
