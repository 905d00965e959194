"""Search for a proof-of-work nonce (protocol §1); the check is `huref.common.argument.transcript.grinding_holds`."""

from __future__ import annotations

from typing import Any

import numpy as np

from huref.common.errors import ProverError
from huref.prover.kernels.hashing.sha256 import IV, compress8
from huref.prover.kernels.jit import kernel
from huref.prover.kernels.threads import run_tasks, thread_count

_PREFIX = b"huref/grind\x00"
_NONCE_WORD = 11  # the nonce follows the 12-byte prefix and the 32-byte seed
_CHUNK = 1 << 17


@kernel
def _search(message: Any, initial: Any, bits: int, start: int, count: int) -> int:
    """Eight nonces at a time; `count` is a multiple of eight."""
    data, states = np.empty(8 * 16, np.uint32), np.empty(8 * 8, np.uint32)
    for i in range(8):
        for j in range(16):
            data[16 * i + j] = message[j]
    for first in range(start, start + count, 8):
        for i in range(8):
            data[16 * i + _NONCE_WORD] = np.uint32((first + i) & 0xFFFFFFFF)
            data[16 * i + _NONCE_WORD + 1] = np.uint32((first + i) >> 32)
            for j in range(8):
                states[8 * i + j] = initial[j]
        compress8(states, np.int64(0), data, np.int64(0), np.int64(16))
        for i in range(8):
            if states[8 * i] >> np.uint32(32 - bits) == 0:
                return first + i
    return -1


def grind(seed: bytes, bits: int) -> int:
    """The smallest nonce of its search chunk whose hash starts with `bits` zero bits, 1 ≤ bits ≤ 32."""
    if not 1 <= bits <= 32 or len(seed) != 32:
        raise ProverError(f"cannot grind {bits} bits on a {len(seed)}-byte seed")
    block = _PREFIX + seed + bytes(8)
    padded = block + b"\x80" + bytes(55 - len(block)) + (8 * len(block)).to_bytes(8, "big")
    message = np.frombuffer(padded, dtype=np.uint32).copy()
    start, threads = 0, thread_count()
    while True:
        tasks = [(message, IV, bits, start + i * _CHUNK, _CHUNK) for i in range(threads)]
        found = [nonce for nonce in run_tasks(_search, tasks) if nonce >= 0]
        if found:
            return int(min(found))
        start += threads * _CHUNK
