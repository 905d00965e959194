"""Maps of files in parts: the same results as from memory, pages given back, and nothing lost that was written."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import numpy as np
import pytest

from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import P
from huref.prover.commitment.committed import commit, with_random_rows
from huref.prover.commitment.leaf_cache import digest_of
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.devices.matrix import StackedMatrix
from huref.prover.kernels import mapped
from huref.prover.kernels.field.small import small_matvec, small_vecmat
from huref.prover.kernels.mapped import release, row_parts, strided_parts
from huref.prover.kernels.transforms import few_points

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def on_disk(path: Path, values: np.ndarray, mode: str = "c") -> np.ndarray:
    """A map of a file with these values."""
    np.save(path, values)
    return np.lib.format.open_memmap(path, mode=mode)


def file_pages() -> int:
    """Bytes of mapped files in this process's memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssFile"))


@LINUX
@pytest.mark.parametrize("mode", ["c", "r", "r+"])
def test_pages_are_given_back(tmp_path: Path, mode: str) -> None:
    size = 1 << 26
    matrix = on_disk(tmp_path / "m.npy", np.arange(size, dtype=np.int8).reshape(-1, 1024), mode)
    view = np.lib.stride_tricks.as_strided(matrix.reshape(-1), (2, size // 2), (size // 2, 1))
    before = file_pages()
    total = int(view.sum(dtype=np.int64))
    touched = file_pages()
    assert touched - before > size * 0.9
    release(view[:, : size // 8])  # from the first byte to that of the second half
    assert file_pages() < touched - size * 0.5
    release(view)
    assert file_pages() < before + size * 0.1
    assert int(view.sum(dtype=np.int64)) == total


def test_what_was_written_stays(tmp_path: Path) -> None:
    matrix = on_disk(tmp_path / "m.npy", np.zeros((300, 1000), np.int8), "r+")
    matrix[17] = 5
    release(matrix[17])
    assert (matrix[17] == 5).all() and int(matrix.sum()) == 5000
    assert int(np.load(tmp_path / "m.npy").sum()) == 5000


def test_other_memory_is_left_alone() -> None:
    """An anonymous map, above all, whose pages would come back as zeros."""
    anonymous = np.frombuffer(mmap.mmap(-1, 1 << 20), np.uint8)
    for array in (anonymous, anonymous[4096:], np.ones(1 << 20, np.uint8), np.ones((0, 4))):
        if array is not anonymous and array.flags.owndata is False:
            array[:] = 1
        expected = array.copy()
        release(array)
        assert np.array_equal(array, expected)
    assert int(anonymous.sum()) == (1 << 20) - 4096


def test_parts_cover_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.zeros((100, 64), np.int8)
    matrix = on_disk(tmp_path / "m.npy", values)
    assert list(row_parts(values[:0])) == [] and list(row_parts(matrix)) == [(0, 100)]
    monkeypatch.setattr(mapped, "PART_BYTES", 640)
    assert list(row_parts(values)) == [(0, 100)]
    monkeypatch.setattr(mapped, "PART_BYTES", 64 * 30)
    assert list(row_parts(matrix)) == [(0, 30), (30, 60), (60, 90), (90, 100)]
    monkeypatch.setattr(mapped, "PART_BYTES", 1)
    assert list(row_parts(matrix))[:2] == [(0, 1), (1, 2)]


@pytest.mark.parametrize("rows", [100, 97, 64])
def test_strided_parts_cover_the_rows(tmp_path: Path, rows: int) -> None:
    """Every 32nd row belongs together."""
    values = np.zeros((rows, 64), np.int8)
    matrix = on_disk(tmp_path / "m.npy", values)
    assert list(strided_parts(values, 32, 1)) == list(strided_parts(matrix, 32, matrix.nbytes)) == [(0, 32)]
    for size, most in ((10 * 64, 10 * 32 // rows), (1, 1)):
        seen = np.zeros(rows, int)
        for start, stop in strided_parts(matrix, 32, size):
            assert stop - start <= most
            for first in range(start, rows, 32):
                seen[first : first + stop - start] += 1
        assert (seen == 1).all()


@LINUX
def test_pages_of_strided_parts_are_given_back(tmp_path: Path) -> None:
    matrix = on_disk(tmp_path / "m.npy", np.ones((1 << 14, 1 << 12), np.int8))
    before, most = file_pages(), 0
    for start, stop in strided_parts(matrix, 1 << 12, 1 << 23):
        for first in range(start, len(matrix), 1 << 12):
            assert matrix[first : first + stop - start].all()
        most = max(most, file_pages() - before)
    assert most < 3 << 23
    assert file_pages() - before < 1 << 22


def test_kernels_give_the_same_from_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products, values at points, leaf digests and the digest of all bytes, in parts of 37 rows."""
    draw = np.random.default_rng(1)
    values = draw.integers(-128, 128, (1000, 64), dtype=np.int8)
    matrix = on_disk(tmp_path / "m.npy", values)
    monkeypatch.setattr(mapped, "PART_BYTES", 37 * 64)
    monkeypatch.setattr(few_points, "_PART_BYTES", 37 * 64)
    assert len(list(row_parts(matrix))) == 28
    across, down = (draw.integers(0, P, (5, n), dtype=np.uint32) for n in (64, 1000))
    assert np.array_equal(small_matvec(matrix, across), small_matvec(values, across))
    assert np.array_equal(small_vecmat(down, matrix), small_vecmat(down, values))
    points = draw.integers(1, P, 9).astype(np.uint64)
    random = draw.integers(0, P, (5, 64), dtype=np.uint32)
    found = few_points.evaluate_integers([matrix, random], points)
    assert np.array_equal(found, few_points.evaluate_integers([values, random], points))
    roots = set()
    for segment in (matrix, values):
        stacked = with_random_rows(StackedMatrix([segment]), 24, SecretSeed(b"r" * 32), "rows")
        domain = CodeDomain.for_length(stacked.rows)
        roots.add(commit(stacked, domain, b"s" * 32).root)
    assert len(roots) == 1 and digest_of(matrix) == digest_of(values)
