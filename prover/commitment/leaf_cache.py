"""The leaf digests of the weights' tree, kept beside the weights so that a proof need not encode them again.

The file is only a shortcut: it names the weights and the seed that it belongs to, and where these differ, or the
digests do not give the published root, the tree is made anew. 32 bytes a leaf, as secret as the salts in it.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.common.argument.merkle import DIGEST_BYTES, Digests
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.kernels.mapped import release
from huref.prover.kernels.threads import run_tasks

FILE_NAME = "leaves"
_TAG = b"huref/leaf-cache/3"
_PART = 1 << 22


def write(private: Path, digest: bytes, seed: SecretSeed, leaves: Digests) -> None:
    """Write the cache for weights of this digest into a folder that is not yet public under its name.

    It is durable when this returns.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(private / FILE_NAME, flags, 0o600), "wb") as file:
        file.write(_origin(digest, seed))
        np.ascontiguousarray(leaves).tofile(file)
        file.flush()
        os.fsync(file.fileno())


def read(private: Path, digest: bytes, seed: SecretSeed, count: int) -> Digests | None:
    """The `count` leaf digests of weights of this digest and this seed, (count, 32), a map of the file; None if they
    are not there.
    """
    path = private / FILE_NAME
    try:
        if path.stat().st_size != (1 + count) * DIGEST_BYTES:
            return None
        stored = np.memmap(path, np.uint8, "c").reshape(-1, DIGEST_BYTES)
    except (OSError, ValueError):
        return None
    return stored[1:] if stored[0].tobytes() == _origin(digest, seed) else None


def digest_of(weights: NDArray[Any]) -> bytes:
    """A digest of the stacked weights' type, shape and bytes, taken in parts. It hides nothing: keep it private."""
    flat = np.ascontiguousarray(weights).reshape(-1).view(np.uint8)
    parts = [(flat[start : start + _PART],) for start in range(0, len(flat), _PART)]
    header = f"{weights.dtype}|{weights.shape}|".encode()
    digests = run_tasks(_digest, parts)
    return sha256(_TAG + header + b"".join(digests)).digest()


def _origin(digest: bytes, seed: SecretSeed) -> bytes:
    return sha256(_TAG + seed.value + digest).digest()


def _digest(part: NDArray[np.uint8]) -> bytes:
    digest = sha256(part.data).digest()
    release(part)
    return digest
