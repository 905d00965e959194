"""`--scheduler`: a cluster gives the root of a single process, sees no salts, and fails with one clear line."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pytest
from typer.testing import CliRunner

from huref.common.algebra.domain import CodeDomain
from huref.common.cli import app, register
from huref.common.errors import ExitCode, InputOutputError, ProverError, UsageError
from huref.prover import owner
from huref.prover.commitment import folder as commitment_folder
from huref.prover.commitment.committed import commit, with_random_rows
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.commitment.weights import commit_weights
from huref.prover.devices import cluster
from huref.prover.devices.cluster import ClusterDevice, on_cluster, scheduler_address
from huref.prover.devices.compiled import COMPILED
from huref.prover.devices.matrix import Matrix, StackedMatrix
from huref.verifier import verify
from tests.conftest import Made
from tests.proof.programs import everything, secret
from tests.support import tiny_models

if not any(command.name == "prove" for command in app.registered_commands):
    register(app)

SALT = bytes(range(100, 132))
SEED = SecretSeed(b"s" * 32)


def three_blocks(rows: int = 40) -> tuple[StackedMatrix, CodeDomain]:
    """int8 entries and random rows, in two whole column blocks and a short one."""
    entries = np.random.default_rng(rows).integers(-128, 128, (rows, 2 * 256 + 90), dtype=np.int8)
    matrix = with_random_rows(StackedMatrix([entries]), 12, SEED, "rows")
    return matrix, CodeDomain.for_length(matrix.rows)


class Done:
    """A future whose task ran at once."""

    def __init__(self, client: Local, value: Any) -> None:
        self.client, self.value = client, value

    def result(self, timeout: float) -> Any:
        self.client.running -= 1
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


class Local:
    """A client without a cluster: tasks and their results pass through pickle. `change` acts on digests."""

    def __init__(self, workers: int = 2, change: Callable[[Any], Any] = lambda digests: digests) -> None:
        self.workers, self.change = workers, change
        self.sent: list[bytes] = []
        self.pieces: list[int] = []
        self.running = self.most = 0

    def nthreads(self) -> dict[str, int]:
        return {str(worker): 1 for worker in range(self.workers)}

    def submit(self, task: Callable[..., Any], first: Any, *arguments: Any, pure: bool) -> Done:
        assert not pure, "columns are not hashed to name a task"
        if task is cluster._keep:
            self.sent.append(pickle.dumps(first))
            self.pieces.append(first.nbytes)
            return Done(self, task(pickle.loads(self.sent[-1])))
        self.sent.append(pickle.dumps(arguments))
        value = task([piece.value for piece in first], *pickle.loads(self.sent[-1]))
        self.running += 1
        self.most = max(self.most, self.running)
        return Done(self, self.change(value))


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_tasks_give_the_same_root_and_few_are_in_flight(
    monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(cluster, "_PIECE_BYTES", 3000)
    matrix, domain = three_blocks()
    client = Local(workers)
    found = commit(matrix, domain, SALT, ClusterDevice(client, COMPILED))
    assert found.root == commit(matrix, domain, SALT).root
    assert client.most == min(2 * max(1, workers), 3 * domain.c)
    assert max(client.pieces) <= 3000 < sum(client.pieces) == sum(s.nbytes for s in matrix.segments)


def test_other_matrices() -> None:
    """A matrix that only gives columns, and one of a single narrow block."""

    class Columns:
        def __init__(self, matrix: StackedMatrix) -> None:
            self.rows, self.width, self.columns = matrix.rows, matrix.width, matrix.columns

    narrow = StackedMatrix([np.random.default_rng(1).integers(-9, 9, (6, 5), dtype=np.int8)])
    for matrix in (three_blocks()[0], narrow):
        domain = CodeDomain.for_length(matrix.rows)
        found = commit(Columns(matrix), domain, SALT, ClusterDevice(Local(), COMPILED))
        assert found.root == commit(matrix, domain, SALT).root
    with pytest.raises(ValueError, match="columns"):
        commit(StackedMatrix([narrow.segments[0][:, :0]]), domain, SALT, ClusterDevice(Local(), COMPILED))


def test_salts_and_seeds_are_not_sent() -> None:
    """Nor anything of a proof: a commitment leaves the cluster as soon as it has its root."""
    matrix, domain = three_blocks()
    client = Local()
    committed = commit(matrix, domain, SALT, ClusterDevice(client, COMPILED))
    assert committed.device is COMPILED
    opening = committed.open(range(domain.n))
    for data in client.sent:
        assert SALT not in data and SEED.value not in data
        assert not any(salt.tobytes() in data for salt in opening.salts)
    assert any(matrix.segments[1][:, :256].tobytes() in data for data in client.sent), "random rows are"


def test_wrong_digests_are_noticed() -> None:
    def wrong(digests: np.ndarray) -> np.ndarray:
        return digests ^ np.uint32(1)

    def failing(error: Exception) -> Callable[[Any], Any]:
        return lambda _: error

    matrix, domain = three_blocks()
    for change, kind, message in (
        (wrong, ProverError, "wrong digests"),
        (lambda digests: digests[:-8], ProverError, "no digests"),
        (lambda digests: digests.astype(float), ProverError, "no digests"),
        (failing(ModuleNotFoundError("No module named 'prover'")), ProverError, "cannot run huref"),
        (failing(distributed.KilledWorker("task", "worker", 3)), ProverError, "keep dying"),
        (failing(CancelledError()), InputOutputError, "scheduler was lost"),
        (failing(ProverError("entry is not in F")), ProverError, "not in F"),
    ):
        with pytest.raises(kind, match=message):
            commit(matrix, domain, SALT, ClusterDevice(Local(change=change), COMPILED))


def lying(number: int, share: float) -> Callable[[Any], Any]:
    """Answers of which one, the given one in order, is wrong in a share of its points."""
    answers = 0

    def change(digests: np.ndarray) -> np.ndarray:
        nonlocal answers
        answers += 1
        if answers - 1 != number:
            return digests
        points = np.random.default_rng(number).random(len(digests) // 8) < share
        return np.where(np.repeat(points, 8), digests ^ np.uint32(1 << 7), digests)

    return change


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_single_lie_is_found_whichever_task_it_is_in(share: float) -> None:
    matrix, domain = three_blocks(2000)
    for number in range(0, 3 * domain.c):
        client = Local(change=lying(number, share))
        with pytest.raises(ProverError, match="wrong digests"):
            commit(matrix, domain, SALT, ClusterDevice(client, COMPILED))


def commit_whole(
    checkpoint: Path, folder: Path, client: Local | None, monkeypatch: pytest.MonkeyPatch
) -> dict[str, bytes]:
    """A whole-model commitment with a pinned seed, on a client's workers or here; its files."""
    with monkeypatch.context() as patch:
        patch.setattr(SecretSeed, "fresh", classmethod(lambda _: SEED))
        patch.setenv("XDG_STATE_HOME", str(folder.with_name(f"state-{folder.name}")))
        if client is not None:
            place = ClusterDevice(client, COMPILED)
            patch.setattr(owner, "on_cluster", lambda *_: nullcontext(place))
        owner.commit(checkpoint, folder, owner.Options(proofs=4), prove_range=False)
    files = ("commitment.json", "private/weights.npy", "private/steps.json")
    return {name: (folder / name).read_bytes() for name in files}


def test_a_whole_model_is_the_same_on_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte of it; a worker that lies leaves nothing, and none is sent a seed or a salt."""
    checkpoint = tiny_models.build("llama", tmp_path / "model", 0)
    client = Local()
    ours = commit_whole(checkpoint, tmp_path / "a", None, monkeypatch)
    assert ours == commit_whole(checkpoint, tmp_path / "b", client, monkeypatch)
    derived = [SEED.value, SEED.derive("weights.salts").value]
    assert client.sent and not any(secret in data for data in client.sent for secret in derived)
    assert not (tmp_path / "b" / "private" / "leaves").exists(), (
        "the next command makes them here, as a check"
    )
    assert commitment_folder.load(tmp_path / "b").public.root in ours["commitment.json"].decode()
    with pytest.raises(ProverError, match="wrong digests"):
        commit_whole(checkpoint, tmp_path / "d", Local(change=lying(3, 0.5)), monkeypatch)
    assert not [path for path in tmp_path.iterdir() if path.name.strip(".").startswith("d")]


def test_a_cluster_that_stays_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "WORKERLESS_SECONDS", 0.0)
    client = Local(workers=0, change=lambda _: TimeoutError())
    with pytest.raises(InputOutputError, match="no worker"):
        commit(*three_blocks(), SALT, ClusterDevice(client, COMPILED))


def test_addresses() -> None:
    assert scheduler_address("dask://cluster.example:8786") == "tcp://cluster.example:8786"
    assert scheduler_address("tcp://10.0.0.1:1") == "tcp://10.0.0.1:1"
    assert scheduler_address("tls://[::1]:8786") == "tls://[::1]:8786"
    for wrong in ("", "host:8786", "dask://host", "dask://:1", "http://host:1", "dask://host:99999",
                  "dask://host:x", "dask://me@host:1", "dask://host:1/x", "dask://[::1", "inproc://1"):  # fmt: skip
        with pytest.raises(UsageError, match="no scheduler address"):
            scheduler_address(wrong)


def huref(*args: object) -> tuple[int, str]:
    """Exit code and stderr of a command."""
    done = CliRunner().invoke(app, [str(a) for a in args])
    assert not isinstance(done.exception, Exception), done.exception
    return done.exit_code, done.stderr


def test_one_clear_line(tiny: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{listening.getsockname()[1]}"
    order = ("commit", tiny.checkpoint, "--out", tmp_path / "c", "--scheduler")
    code, said = huref(*order, f"dask://{closed}")
    assert code == ExitCode.IO and "error: no scheduler answers at" in said and "hint: " in said
    code, said = huref(*order, f"tls://{closed}")
    assert code == ExitCode.USAGE and "error: tls:// needs certificates" in said and "hint: " in said
    code, said = huref(*order, "nonsense")
    assert code == ExitCode.USAGE and "error: no scheduler address: 'nonsense'" in said
    monkeypatch.setitem(sys.modules, "distributed", None)
    code, said = huref(*order, f"dask://{closed}")
    assert code == ExitCode.USAGE and "pip install 'huref[cluster]'" in said
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def two_workers() -> Iterator[str]:
    """A local cluster of two worker processes; its address as users write it."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as local:
        yield local.scheduler_address.replace("tcp://", "dask://")


@pytest.mark.slow
def test_two_worker_processes_give_the_same_root(two_workers: str) -> None:
    matrix, domain = three_blocks(2000)
    case = everything()
    with on_cluster(two_workers, COMPILED) as device:
        assert len(device.client.nthreads()) == 2
        assert commit(matrix, domain, SALT, device).root == commit(matrix, domain, SALT).root
        found = commit_weights(case.program, case.weights, case.knobs, secret(1), device)
    assert found.root == commit_weights(case.program, case.weights, case.knobs, secret(1)).root
    with pytest.raises(ProverError, match="not in F"), on_cluster(two_workers, COMPILED) as device:
        commit(StackedMatrix([np.full((4, 1), 2**31, np.uint32)]), CodeDomain.for_length(4), SALT, device)


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(two_workers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the columns that it held and the tasks that it had."""
    matrix, domain = three_blocks(2000)
    result, calls = ClusterDevice._result, 0

    def kill_one(device: ClusterDevice, future: Any) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 3:
            os.kill(next(iter(device.client.run(os.getpid).values())), signal.SIGKILL)
        return result(device, future)

    monkeypatch.setattr(ClusterDevice, "_result", kill_one)
    with on_cluster(two_workers, COMPILED) as device:
        before = set(device.client.run(os.getpid).values())
        assert commit(matrix, domain, SALT, device).root == commit(matrix, domain, SALT).root
        assert calls == 3 * domain.c
        assert set(device.client.run(os.getpid).values()) != before


@pytest.mark.slow
def test_commands_on_a_cluster(
    two_workers: str, tiny: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commitment is the one that a single process recomputes; a proof sends the weights' matrix alone."""
    heights: list[int] = []
    leaf_digests = ClusterDevice.leaf_digests

    def record(device: ClusterDevice, matrix: Matrix, *arguments: Any) -> Any:
        heights.append(matrix.rows)
        return leaf_digests(device, matrix, *arguments)

    monkeypatch.setattr(ClusterDevice, "leaf_digests", record)
    folder, bundle = tmp_path / "c", tmp_path / "b.huref"
    code, said = huref("commit", tiny.checkpoint, "--out", folder, "--scheduler", two_workers)
    assert code == 0, said
    opened = commitment_folder.load(folder)
    code, said = huref("prove", "--commitment", folder, "--out", bundle, "--scheduler", two_workers)
    assert code == 0, said
    assert verify(bundle).model_id == opened.public.model_id
    assert heights == [opened.committed.committed.matrix.rows] * 2
