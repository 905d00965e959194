"""Commitments: streamed digests equal the definition, openings verify, hash kernels equal hashlib."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import P, to_field
from huref.common.algebra.ntt import encode_columns
from huref.common.argument.merkle import BLOCK_COLUMNS, MerkleTree, leaf_digests, verify_multiproof
from huref.common.errors import ProverError
from huref.prover.commitment.committed import commit, with_random_rows
from huref.prover.commitment.randomness import SecretSeed, fresh_proof_seed
from huref.prover.devices.matrix import StackedMatrix
from huref.prover.kernels.hashing import sha256 as kernel
from huref.prover.kernels.hashing.leaves import hash_level

SALT = bytes(range(32))
SEED = SecretSeed(b"s" * 32)
DTYPES = [np.int8, np.int16, np.int32, np.uint32]


def padded(message: bytes) -> np.ndarray:
    """SHA-256 padding, as words in memory order."""
    size = 8 * len(message)
    message += b"\x80"
    message += b"\0" * ((56 - len(message)) % 64) + size.to_bytes(8, "big")
    return np.frombuffer(message, dtype=np.uint32).copy()


@pytest.mark.parametrize("length", [0, 1, 55, 56, 63, 64, 65, 119, 120, 500])
def test_compression_equals_hashlib(length: int) -> None:
    messages = [bytes((i * 7 + s) % 256 for i in range(length)) for s in range(8)]
    data = np.concatenate([padded(m) for m in messages])
    stride = len(data) // 8
    states = np.tile(kernel.IV, (4, 8)).reshape(-1)
    for block in range(0, stride, 16):
        kernel.compress8(states, 0, data, block, stride)
        kernel.compress8_portable(states, 64, data, block, stride)
        for i in range(8):
            kernel.compress(states, 128 + 8 * i, data, block + i * stride)
            kernel.compress_portable(states, 192 + 8 * i, data, block + i * stride)
    digests = [states[8 * i : 8 * i + 8].astype(">u4").tobytes() for i in range(32)]
    assert digests == 4 * [sha256(m).digest() for m in messages]


@pytest.mark.parametrize("count", [2, 6, 20000])
def test_level_kernel_builds_the_same_tree(count: int) -> None:
    digests = np.random.default_rng(count).integers(0, 256, (count, 32), dtype=np.uint8)
    assert MerkleTree(digests, hash_level).root == MerkleTree(digests).root


def check(matrix: StackedMatrix, rate_inv: int = 4, opened: int = 6) -> None:
    """The tree by the definition (numpy code, hashlib leaves) is the committed one, and openings verify."""
    domain = CodeDomain.for_length(matrix.rows, rate_inv)
    committed = commit(matrix, domain, SALT)
    plain = np.concatenate([to_field(segment) for segment in matrix.segments])
    code = encode_columns(plain, domain)
    everything = committed.open(range(domain.n))
    assert np.array_equal(everything.values, code)
    digests = leaf_digests(range(domain.n), everything.salts, code)
    words = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32)
    assert committed.root == MerkleTree(words).root
    assert len(np.unique(everything.salts, axis=0)) == domain.n
    positions = sorted(np.random.default_rng(0).choice(domain.n, min(opened, domain.n), replace=False))
    opening = committed.open(positions)
    assert opening.values.dtype == np.uint64
    digests = leaf_digests(positions, opening.salts, opening.values)
    verify_multiproof(committed.root, domain.n, positions, digests, opening.nodes)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(0, 12),
    st.sampled_from([1, 2, 4]),
    st.sampled_from(DTYPES),
    st.integers(0, 99),
)
def test_any_shape(rows: int, random_rows: int, rate_inv: int, dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 40))
    low, high = (
        (0, P) if dtype is np.uint32 else (max(np.iinfo(dtype).min, 1 - P), min(np.iinfo(dtype).max, P - 1))
    )
    entries = rng.integers(low, high, (rows, width), endpoint=dtype is not np.uint32).astype(dtype)
    entries[0, 0] = low
    matrix = with_random_rows(StackedMatrix([entries]), random_rows, SEED, f"rows {seed}")
    check(matrix, rate_inv)


@pytest.mark.parametrize("width", [*range(1, 18), 32, BLOCK_COLUMNS - 1, BLOCK_COLUMNS, BLOCK_COLUMNS + 1])
def test_every_padding_of_a_block(width: int) -> None:
    rng = np.random.default_rng(width)
    check(StackedMatrix([rng.integers(-128, 128, (5, width), dtype=np.int8)]))


@pytest.mark.parametrize("blocks", [2, 3, 4])
def test_several_blocks(blocks: int) -> None:
    rng = np.random.default_rng(blocks)
    check(StackedMatrix([rng.integers(-128, 128, (3, blocks * BLOCK_COLUMNS - 7), dtype=np.int8)]))


def test_segments_of_different_types() -> None:
    rng = np.random.default_rng(4)
    segments = [
        rng.integers(-100, 100, (rows, 21)).astype(dtype)
        for rows, dtype in zip((3, 8, 1), DTYPES[:3], strict=True)
    ]
    check(with_random_rows(StackedMatrix(segments), 4, SEED, "rows"))
    views = [np.asfortranarray(segment) for segment in segments]
    check(StackedMatrix(views))


def test_generic_matrix_object() -> None:
    """Anything with rows, width and columns() commits like the array it stands for."""
    entries = np.random.default_rng(5).integers(-128, 128, (30, 50), dtype=np.int16)

    class Doubled:
        rows, width = 30, 50

        def columns(self, start: int, stop: int) -> np.ndarray:
            return 2 * entries[:, start:stop]

    domain = CodeDomain.for_length(30)
    assert commit(Doubled(), domain, SALT).root == commit(StackedMatrix([2 * entries]), domain, SALT).root


def test_the_root_binds_everything() -> None:
    entries = np.random.default_rng(6).integers(-128, 128, (20, 20), dtype=np.int8)
    domain = CodeDomain.for_length(20)
    roots = {commit(StackedMatrix([entries]), domain, SALT).root}
    roots.add(commit(StackedMatrix([entries]), domain, SALT[::-1]).root)
    roots.add(commit(StackedMatrix([entries[:, :19]]), domain, SALT).root)
    changed = entries.copy()
    changed[7, 11] ^= 1
    roots.add(commit(StackedMatrix([changed]), domain, SALT).root)
    roots.add(commit(StackedMatrix([entries[:, ::-1].copy()]), domain, SALT).root)
    assert len(roots) == 5
    assert commit(StackedMatrix([entries]), domain, SALT).root in roots


def test_bad_input_is_an_error() -> None:
    domain = CodeDomain.for_length(4)
    good = np.zeros((4, 3), dtype=np.int32)
    for value in (P, -P, np.iinfo(np.int32).max):
        bad = good.copy()
        bad[2, 1] = value
        with pytest.raises(ProverError, match="not in F"):
            commit(StackedMatrix([bad]), domain, SALT)
    with pytest.raises(ValueError, match="fit"):
        commit(StackedMatrix([good[:3]]), domain, SALT)
    with pytest.raises(ValueError, match="salt seed"):
        commit(StackedMatrix([good]), domain, b"short")
    with pytest.raises(ValueError, match="entries must be"):
        commit(StackedMatrix([good.astype(np.float32)]), domain, SALT)
    with pytest.raises(ValueError, match="one width"):
        StackedMatrix([good, good[:, :2]])
    committed = commit(StackedMatrix([good]), domain, SALT)
    for positions in ([1, 0], [0, 0], [domain.n], [-1]):
        with pytest.raises(ValueError, match="sorted"):
            committed.open(positions)


@pytest.mark.slow
def test_large_commitment_opens() -> None:
    """2^22 entries over several cosets and threads, spot-checked by evaluation."""
    rng = np.random.default_rng(7)
    matrix = with_random_rows(
        StackedMatrix([rng.integers(-128, 128, (1 << 15, 128), dtype=np.int8)]), 300, SEED, "z"
    )
    domain = CodeDomain.for_length(matrix.rows)
    committed = commit(matrix, domain, SALT)
    positions = sorted(rng.choice(domain.n, 118, replace=False))
    opening = committed.open(positions)
    digests = leaf_digests(positions, opening.salts, opening.values)
    verify_multiproof(committed.root, domain.n, positions, digests, opening.nodes)
    column = np.concatenate([to_field(s[:, 77]) for s in matrix.segments]).tolist()
    for row in (0, 60, 117):
        x, value = int(domain.points(np.array([positions[row]]))[0]), 0
        for coefficient in reversed(column):
            value = (value * x + coefficient) % P
        assert value == opening.values[row, 77]


def test_streams_are_labelled_prefix_stable_and_uniform() -> None:
    long = SEED.field_elements("a", 40000)
    assert long.dtype == np.uint32
    assert int(long.max()) < P
    assert np.array_equal(SEED.field_elements("a", 1000), long[:1000])
    assert not np.array_equal(SEED.field_elements("b", 1000), long[:1000])
    assert not np.array_equal(SEED.derive("x").field_elements("a", 1000), long[:1000])
    counts = np.bincount((long // (P // 16)).clip(0, 15), minlength=16)
    assert np.sum((counts - 2500.0) ** 2 / 2500) < 50  # chi-square, 15 degrees of freedom
    assert SEED.k_elements("a", 3).tolist() == long[:15].reshape(3, 5).tolist()
    assert SEED.field_elements("a", 0).size == 0


def test_proof_seeds_depend_on_every_input() -> None:
    fixed = b"r" * 32
    seeds = {
        fresh_proof_seed(SEED, 1, bytes(32), test_only_os_randomness=fixed).value,
        fresh_proof_seed(SEED, 2, bytes(32), test_only_os_randomness=fixed).value,
        fresh_proof_seed(SEED.derive("other"), 1, bytes(32), test_only_os_randomness=fixed).value,
        fresh_proof_seed(SEED, 1, b"d" * 32, test_only_os_randomness=fixed).value,
        fresh_proof_seed(SEED, 1, bytes(32), test_only_os_randomness=b"q" * 32).value,
        fresh_proof_seed(SEED, 1, bytes(32)).value,
        fresh_proof_seed(SEED, 1, bytes(32)).value,
    }
    assert len(seeds) == 7
    again = fresh_proof_seed(SEED, 1, bytes(32), test_only_os_randomness=fixed)
    assert again.value in seeds
    with pytest.raises(ValueError, match="digest"):
        fresh_proof_seed(SEED, 1, b"")


@pytest.mark.parametrize("entry", [P, -P, -P - 1])
def test_entries_outside_the_field_beside_other_columns(entry: int) -> None:
    """Columns are read 64 at a time, so those of a narrow matrix come together with the ones beside it."""
    values = np.zeros((20, 32), np.int32)
    values[7, 3] = entry
    matrix = StackedMatrix([np.zeros((4, 32), np.int16), values], beside=np.zeros((24, 5), np.uint32))
    with pytest.raises(ProverError, match="not in F"):
        commit(matrix, CodeDomain.for_length(24), bytes(32))
