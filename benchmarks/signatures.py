"""CPU time of checking an owner's signature and 1 or 64 auditors' with either library.

Run as `python -m benchmarks.signatures`. Both libraries check the same signatures in one run. Writes
results/signatures.json; seconds of CPU, the fastest of three.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from py_ecc.bls.g2_primitives import G2_to_signature
from py_ecc.bls.hash_to_curve import hash_to_G2
from py_ecc.optimized_bls12_381 import multiply

from benchmarks.environment import best_cpu_time, store
from huref.common.files import bls
from huref.common.files.identity import AUDIT_TAG, MAX_AUDITORS

MESSAGE = AUDIT_TAG + bytes(range(32))


def signatures(number: int) -> tuple[list[bytes], list[bytes]]:
    """Keys and signatures of MESSAGE, made with one hash to the curve."""
    point = hash_to_G2(MESSAGE, bls.DST, sha256)
    secrets = [int.from_bytes(sha256(bytes([i])).digest(), "big") % bls.GROUP_ORDER for i in range(number)]
    return (
        [bls.public_key(secret) for secret in secrets],
        [bytes(G2_to_signature(multiply(point, secret))) for secret in secrets],
    )


def measure() -> dict[str, Any]:
    """CPU seconds by library: one signature, an aggregate of 1, and of MAX_AUDITORS."""
    keys, shares = signatures(MAX_AUDITORS)
    found: dict[str, Any] = {}
    for name, library in (("py_ecc", bls.Reference()), ("py_arkworks_bls12381", bls.Fast())):
        found[name] = {"owner": _cpu(library, keys[:1], [1], shares[0])}
        for number in (1, MAX_AUDITORS):
            weights = bls.coefficients(keys[:number])
            total = library.combine(shares[:number], weights)
            found[name][f"auditors_{number}"] = _cpu(library, keys[:number], weights, total)
    return found


def _cpu(library: bls.Backend, keys: list[bytes], weights: list[int], signature: bytes) -> float:
    def run() -> None:
        if not library.holds(keys, weights, MESSAGE, signature):
            raise ValueError("a good signature was refused")

    return round(best_cpu_time(run), 5)


if __name__ == "__main__":
    store("signatures", {"cpu_seconds": measure()})
