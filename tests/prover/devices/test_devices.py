"""Devices: the GPU's code on CPU tensors gives the bytes of the compiled kernels, and `--device` is understood."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import P
from huref.common.argument.merkle import BLOCK_COLUMNS
from huref.common.cli import app, register
from huref.common.errors import ExitCode, ProverError, UsageError
from huref.prover.commitment import folder as commitment_folder
from huref.prover.commitment.committed import commit, with_random_rows
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.commitment.weights import commit_weights
from huref.prover.devices.choose import choose
from huref.prover.devices.compiled import COMPILED, CompiledDevice
from huref.prover.devices.interface import Device
from huref.prover.devices.matrix import StackedMatrix
from huref.prover.devices.memory import memory_errors
from huref.prover.devices.tensors import TensorDevice
from huref.prover.run.executor import execute
from tests.conftest import Made
from tests.proof.programs import Case, everything, secret, several, small_build

if not any(command.name == "prove" for command in app.registered_commands):
    register(app)

SALT = bytes(range(32))
SEED = SecretSeed(b"s" * 32)
LIMITS = {
    np.int8: (-128, 128),
    np.int16: (-(1 << 15), 1 << 15),
    np.int32: (1 - P, P),
    np.uint32: (0, P),
}
SMALL = TensorDevice("cpu", working_set=17 * 512, small_level=1, radix_bits=2)  # 17 rows at once
TENSORS = TensorDevice("cpu", working_set=1 << 16, small_level=1)


def entries(rng: np.random.Generator, rows: int, width: int, dtype: type) -> np.ndarray:
    """Uniform entries with both extremes among them."""
    low, high = LIMITS[dtype]
    values = rng.integers(low, high, (rows, width)).astype(dtype)
    values[0, 0], values[-1, -1] = low, high - 1
    return values


def same(matrix: StackedMatrix, domain: CodeDomain, device: TensorDevice) -> None:
    """Root, rows, salts and paths do not depend on the device."""
    expected, found = commit(matrix, domain, SALT), commit(matrix, domain, SALT, device)
    assert found.root == expected.root and found.device is device
    positions = sorted(np.random.default_rng(1).choice(domain.n, min(9, domain.n), replace=False).tolist())
    one, other = expected.open(positions), found.open(positions)
    assert np.array_equal(one.values, other.values) and one.values.dtype == other.values.dtype
    assert np.array_equal(one.salts, other.salts) and one.nodes == other.nodes


@settings(max_examples=10, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 45),
    st.integers(0, 9),
    st.sampled_from([1, 2, 4]),
    st.sampled_from(sorted(LIMITS, key=str)),
    st.sampled_from([SMALL, TENSORS]),
)
def test_any_shape(
    rows: int, width: int, random_rows: int, rate_inv: int, dtype: type, device: TensorDevice
) -> None:
    rng = np.random.default_rng(rows * 64 + width)
    matrix = with_random_rows(StackedMatrix([entries(rng, rows, width, dtype)]), random_rows, SEED, "rows")
    same(matrix, CodeDomain.for_length(matrix.rows, rate_inv), device)


@pytest.mark.parametrize("width", [13, 14, 16, *(k * BLOCK_COLUMNS + d for k in (1, 2) for d in (-1, 0, 1))])
def test_every_padding_of_a_block(width: int) -> None:
    matrix = StackedMatrix([entries(np.random.default_rng(width), 5, width, np.int8)])
    same(matrix, CodeDomain.for_length(5), TENSORS)


@pytest.mark.parametrize(("k_prime", "a", "c"), [(1, 0, 5), (7, 0, 8), (40, 3, 5), (17, 2, 6), (600, 7, 7)])
def test_codes_longer_and_shorter_than_a_coset(k_prime: int, a: int, c: int) -> None:
    matrix = StackedMatrix([entries(np.random.default_rng(a), k_prime, 19, np.uint32)])
    same(matrix, CodeDomain(a, c, k_prime), TENSORS)


def test_segments_of_different_types_and_orders() -> None:
    rng = np.random.default_rng(4)
    parts = [entries(rng, 3 + i, 21, dtype) for i, dtype in enumerate(LIMITS)]
    same(StackedMatrix(parts), CodeDomain.for_length(18), TENSORS)
    same(StackedMatrix([np.asfortranarray(part) for part in parts]), CodeDomain.for_length(18), SMALL)


def test_bad_input_is_an_error() -> None:
    domain = CodeDomain.for_length(4)
    good = np.zeros((4, 3), dtype=np.int32)
    for value in (P, -P, np.iinfo(np.int32).max, np.iinfo(np.int32).min):
        bad = good.copy()
        bad[2, 1] = value
        with pytest.raises(ProverError, match="not in F"):
            commit(StackedMatrix([bad]), domain, SALT, TENSORS)
    for word in (P, 1 << 31, (1 << 32) - 1):
        with pytest.raises(ProverError, match="not in F"):
            commit(StackedMatrix([np.full((4, 1), word, np.uint32)]), domain, SALT, TENSORS)
    with pytest.raises(ValueError, match="fit"):
        commit(StackedMatrix([good[:3]]), domain, SALT, TENSORS)
    with pytest.raises(ValueError, match="entries must be"):
        commit(StackedMatrix([good.astype(np.float32)]), domain, SALT, TENSORS)


class Counting:
    """A device that counts what it is asked for."""

    executor = "torch-cpu"

    def __init__(self, device: Device) -> None:
        self.device, self.asked = device, Counter[str]()

    @property
    def for_proofs(self) -> Device:
        return self

    def leaf_digests(self, *arguments):  # type: ignore[no-untyped-def]
        self.asked["leaves"] += 1
        return self.device.leaf_digests(*arguments)

    def encode_rows(self, *arguments):  # type: ignore[no-untyped-def]
        self.asked["rows"] += 1
        return self.device.encode_rows(*arguments)

    def hash_level(self, *arguments):  # type: ignore[no-untyped-def]
        self.asked["levels"] += 1
        return self.device.hash_level(*arguments)


def prove_on(case: Case, device: Device) -> bytes:
    """Commit, execute and prove on a device with fixed seeds."""
    commitment = commit_weights(case.program, case.weights, case.knobs, secret(1), device)
    trace = execute(case.program, case.weights, device=device.executor)
    return case.prove(commitment=commitment, trace=trace)


@pytest.mark.parametrize("make", [everything, lambda: several([(40, 24), (9, 33)], 16, bits=(3, 5))])
def test_proofs_are_the_same_bytes_and_every_commitment_is_made_on_the_device(make) -> None:  # type: ignore[no-untyped-def]
    device = Counting(TensorDevice("cpu", working_set=1 << 20, small_level=64))
    with small_build(levels=3):
        case = make()
        proof = prove_on(case, device)
        assert proof == case.prove()
        case.verify(proof)
    assert device.asked["leaves"] == device.asked["rows"] == 5  # W, A and three levels
    assert device.asked["levels"] > 20


def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose("cpu") is COMPILED and isinstance(choose("auto"), CompiledDevice | TensorDevice)
    assert (choose("cpu").executor, choose("torch-cpu").executor) == ("cpu", "torch-cpu")
    assert TensorDevice("cuda:1").executor == "cuda:1" and isinstance(choose("torch-cpu"), TensorDevice)
    for name in ("quantum", "", "meta", "cuda:x", "cuda:99"):
        with pytest.raises(UsageError, match="no device"):
            choose(name)
    monkeypatch.setattr("huref.prover.devices.choose._has_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose("auto") is COMPILED
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", lambda *_, device, **__: torch.zeros(1))
    assert choose("auto") == TensorDevice("cuda") and choose("cuda:1") == TensorDevice("cuda:1")


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a GPU where there is none")
@pytest.mark.parametrize("command", ["commit", "prove", "fingerprint"])
def test_a_gpu_that_is_not_there_is_one_line(command: str, tiny: Made, tmp_path: Path) -> None:
    out = tmp_path / "out.huref"
    done = invoke(command, tiny.checkpoint, "--out", out, "--device", "cuda")
    assert done.exit_code == ExitCode.USAGE
    assert "error: no device 'cuda' here" in done.stderr and "Traceback" not in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_commit_on_tensors_from_the_command_line(tiny: Made, tmp_path: Path) -> None:
    """The folder's tree, recomputed by the compiled kernels, has the root that the tensors gave."""
    folder = tmp_path / "a.commitment"
    options = ("--proofs", 2, "--device", "torch-cpu")
    done = invoke("commit", tiny.checkpoint, "--out", folder, *options)
    assert done.exit_code == 0, done.output
    loaded = commitment_folder.load(folder)  # ProverError if the root were another
    assert loaded.committed.committed.device is COMPILED


def test_too_little_memory_is_one_line() -> None:
    with pytest.raises(ProverError, match="'cuda' has too little memory"), memory_errors("cuda"):
        raise torch.OutOfMemoryError
