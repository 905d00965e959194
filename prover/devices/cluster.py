"""Leaf digests of the weights' commitment made by a `distributed` cluster (docs/cluster.md, protocol §4).

A task is one column block on one coset: it encodes the columns and gives back 32 bytes per point. The
coordinator absorbs them in order and alone knows the salts, so the root is the one that a single process computes.
Columns travel in pieces of rows that are tasks themselves: the scheduler keeps them, so that what was lost with a
worker is sent and computed again. Only the tasks of a few blocks are in flight.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from random import SystemRandom
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import FArray
from huref.common.argument import merkle
from huref.common.argument.merkle import Digests, block_count
from huref.common.errors import InputOutputError, ProverError, UsageError
from huref.common.installation import MissingPackage
from huref.prover.devices.compiled import BlockHasher, ColumnBlock
from huref.prover.devices.interface import Device
from huref.prover.devices.matrix import Matrix, StackedMatrix, column_parts
from huref.prover.kernels.hashing.leaves import LeafHasher
from huref.prover.kernels.mapped import release

CONNECT_SECONDS = 10.0
WORKERLESS_SECONDS = 60.0  # how long a run waits for the first worker, or another one
_POLL_SECONDS = 5.0
_PIECE_BYTES = 1 << 23  # `distributed` advises against larger task arguments
_AHEAD = 2  # tasks in flight per worker
_CHECKED = 256  # leaves that are compared with their definition
_SCHEMES = {"dask": "tcp", "tcp": "tcp", "tls": "tls"}
_SAME_VERSION = "install the same huref on every machine of the cluster"


def scheduler_address(name: str) -> str:
    """The `distributed` address of dask://host:port (unencrypted, also tcp://) or tls://host:port.

    Raises:
        UsageError: another form.
    """
    wrong = UsageError(f"no scheduler address: {name!r}", hint="say dask://HOST:PORT or tls://HOST:PORT")
    try:
        parts = urlsplit(name)
        port = parts.port
    except ValueError:
        raise wrong from None
    more = parts.username or parts.path or parts.query or parts.fragment
    if parts.scheme not in _SCHEMES or not parts.hostname or not port or more:
        raise wrong
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{_SCHEMES[parts.scheme]}://{host}:{port}"


@contextmanager
def on_cluster(scheduler: str | None, local: Device) -> Iterator[Device]:
    """A device that makes leaf digests on the cluster of `scheduler` and does all else on `local`; None: `local`.

    Raises:
        UsageError: no address, `distributed` is not installed, or certificates for tls:// are missing.
        InputOutputError: no scheduler answers, it has no worker, or it is lost during the block.
    """
    if scheduler is None:
        yield local
        return
    address = scheduler_address(scheduler)
    try:
        import distributed
    except ImportError:
        raise MissingPackage("--scheduler needs the package distributed", "cluster") from None
    for name in ("distributed", "distributed.client", "distributed.core", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is raised
    if address.startswith("tls:") and not distributed.Security().get_connection_args("client")["ssl_context"]:
        hint = "set ca-file, client.cert and client.key under distributed.comm.tls (docs/cluster.md)"
        raise UsageError("tls:// needs certificates in dask's configuration", hint=hint)
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        hint = "start one with: dask scheduler"
        raise InputOutputError(f"no scheduler answers at {address} ({reason})", hint=hint) from None
    with client:
        yield ClusterDevice(client, local)


@dataclass(frozen=True)
class ClusterDevice:
    """Leaf digests on the workers of a `distributed.Client`; a device for the weights' commitment alone.

    Workers see columns of the matrix, random rows included, in the clear; never salts, seeds or proofs.
    """

    client: Any
    local: Device

    @property
    def executor(self) -> str:
        """As `Device.executor`: here."""
        return self.local.executor

    @property
    def for_proofs(self) -> Device:
        """As `Device.for_proofs`: pads and masks stay in this machine."""
        return self.local

    def encode_rows(self, matrix: Matrix, domain: CodeDomain, positions: Sequence[int]) -> FArray:
        """As `Device.encode_rows`: here."""
        return self.local.encode_rows(matrix, domain, positions)

    def hash_level(self, children: Digests) -> Digests:
        """As `Device.hash_level`: here."""
        return self.local.hash_level(children)

    def leaf_digests(self, matrix: Matrix, domain: CodeDomain, salt_header: bytes) -> Digests:
        """As `Device.leaf_digests`. Leaves of every task are compared with their definition before any is returned.

        Raises:
            InputOutputError: the scheduler is lost, or there is no worker for a minute.
            ProverError: an entry is not in (-p, p), workers keep dying, or they give wrong digests.
        """
        if matrix.width < 1:
            raise ValueError("a matrix without columns")
        hasher = LeafHasher(domain, block_count(matrix.width), salt_header)
        words = 8 * domain.subgroup
        for index, digests in enumerate(self._digests(matrix, domain)):
            block, coset = divmod(index, domain.c)
            if digests.dtype != np.uint32 or digests.shape != (words,):
                raise ProverError("a worker of the cluster gives no digests", hint=_SAME_VERSION)
            hasher.states(block)[coset * words : (coset + 1) * words] = digests
        leaves = hasher.finish()
        self._check(matrix, domain, salt_header, leaves)
        return leaves

    def _digests(self, matrix: Matrix, domain: CodeDomain) -> Iterator[npt.NDArray[Any]]:
        """Block digests of every block on every coset, in order."""
        window: deque[Any] = deque()
        for number in range(block_count(matrix.width)):
            block = ColumnBlock.of(matrix, number)
            pieces = [self.client.submit(_keep, piece, pure=False) for piece in _pieces(block)]
            for coset in range(domain.c):
                while len(window) >= _AHEAD * max(1, self._workers()):
                    yield self._result(window.popleft())
                task = self.client.submit(_digest, pieces, number, matrix.width, domain, coset, pure=False)
                window.append(task)
            del pieces
        while window:
            yield self._result(window.popleft())

    def _result(self, future: Any) -> npt.NDArray[Any]:
        import distributed

        deadline = monotonic() + WORKERLESS_SECONDS
        while True:
            try:
                return np.asarray(future.result(timeout=_POLL_SECONDS))
            except TimeoutError:
                if self._workers():
                    deadline = monotonic() + WORKERLESS_SECONDS
                elif monotonic() > deadline:
                    raise InputOutputError(
                        "the cluster has no worker", hint="start one: dask worker"
                    ) from None
            except distributed.KilledWorker:
                hint = "they may lack memory: docs/cluster.md says how much a task needs"
                raise ProverError("the cluster's workers keep dying at this task", hint=hint) from None
            except (ImportError, AttributeError) as error:
                raise ProverError(f"a worker cannot run huref ({error})", hint=_SAME_VERSION) from None
            except (CancelledError, OSError) as error:
                raise _lost(error) from None

    def _workers(self) -> int:
        try:
            return len(self.client.nthreads())
        except OSError as error:
            raise _lost(error) from None

    def _check(self, matrix: Matrix, domain: CodeDomain, salt_header: bytes, leaves: Digests) -> None:
        """Leaves at random points of every coset. A leaf hangs on all blocks, so every task's answer is looked at."""
        each = min(_CHECKED // domain.c, domain.subgroup)
        draw = SystemRandom()
        indices = [
            coset * domain.subgroup + point
            for coset in range(domain.c)
            for point in sorted(draw.sample(range(domain.subgroup), each))
        ]
        salts = b"".join(
            sha256(salt_header + index.to_bytes(8, "little")).digest()[: merkle.SALT_BYTES]
            for index in indices
        )
        rows = self.local.encode_rows(matrix, domain, indices)
        found = merkle.leaf_digests(
            indices, np.frombuffer(salts, np.uint8).reshape(-1, merkle.SALT_BYTES), rows
        )
        if found != [leaves[index].tobytes() for index in indices]:
            raise ProverError("the cluster's workers give wrong digests", hint=_SAME_VERSION)


def _pieces(block: ColumnBlock) -> Iterator[npt.NDArray[Any]]:
    """A block's columns alone, in runs of rows of one type and at most _PIECE_BYTES, copied."""
    first, stop = block.first, block.first + block.columns
    for part in column_parts(block.matrix, first, stop):
        rows = max(1, _PIECE_BYTES // (part.shape[1] * part.itemsize))
        for row in range(0, len(part), rows):
            piece = part[row : row + rows]
            yield np.array(piece)
            release(piece)


def _keep(piece: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """On a worker: hold a piece for the tasks that need it."""
    return piece


def _digest(
    pieces: list[npt.NDArray[Any]], number: int, width: int, domain: CodeDomain, coset: int
) -> npt.NDArray[np.uint32]:
    """On a worker: the digests of a column block on one coset, 8 words per point in transform order."""
    digests = np.empty(8 * domain.subgroup, dtype=np.uint32)
    block = ColumnBlock(StackedMatrix(pieces), 0, number, width)
    BlockHasher(domain).digest(block, range(coset, coset + 1), digests)
    return digests


def _lost(error: Exception) -> InputOutputError:
    return InputOutputError(f"the scheduler was lost ({type(error).__name__})")
