"""The integer renderer: arithmetic against plain oracles, invariances, files, PNG, and the verifier's verdict."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref.common.errors import Malformed, Rejected, Unsupported, UsageError
from huref.common.image import fixed, registry
from huref.common.image.generator import render
from huref.common.image.png import png_bytes
from huref.common.image.show import grid, side_by_side, terminal_picture
from huref.common.image.weights_io import MAGIC, digest, dump_weights, load_weights
from huref.verifier.image import check_image
from tests.support.small_generator import small_weights

V = [int(x) for x in np.random.default_rng(5).integers(-(10**9), 10**9, 512)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-(2**80), 2**80), min_size=2, max_size=40))
def test_standardize_is_correctly_rounded(v: list[int]) -> None:
    mean = Fraction(sum(v), len(v))
    variance = sum((x - mean) ** 2 for x in v) / len(v)
    if variance == 0:
        with pytest.raises(UsageError):
            fixed.standardize(v)
        return
    for x, z in zip(v, fixed.standardize(v), strict=True):
        assert (x - mean > 0) >= (z > 0)
        squared = (x - mean) ** 2 / variance * 4096**2
        low, high = max(Fraction(0), abs(int(z)) - Fraction(1, 2)), abs(int(z)) + Fraction(1, 2)
        assert low**2 <= squared <= high**2


def test_convolutions_match_plain_sums() -> None:
    rng = np.random.default_rng(1)
    weight = rng.integers(-127, 128, (3, 2, 3, 3))
    taps = weight.transpose(2, 3, 0, 1).reshape(9, 3, 2).astype(float)
    x = rng.integers(-(10**6), 10**6, (2, 5, 5))
    plain = np.zeros((3, 7, 7), dtype=np.int64)
    spread = np.zeros((3, 11, 11), dtype=np.int64)
    for a in range(3):
        for b in range(3):
            part = np.einsum("oi,ihw->ohw", weight[:, :, a, b], x)
            plain[:, 2 - a : 7 - a, 2 - b : 7 - b] += part
            spread[:, a : a + 10 : 2, b : b + 10 : 2] += part
    assert np.array_equal(fixed.convolve(taps, x), plain[:, 1:-1, 1:-1])
    kernel = np.outer([1, 3, 3, 1], [1, 3, 3, 1])
    padded = np.pad(spread, ((0, 0), (1, 1), (1, 1)))
    smooth = sum(kernel[i, j] * padded[:, i : i + 10, j : j + 10] for i in range(4) for j in range(4))
    assert np.array_equal(fixed.convolve_doubling(taps, x), smooth)


def test_demodulation_is_an_integer_reciprocal_root() -> None:
    style, squares = np.array([3, -70000, 5]), np.array([[1, 2, 3], [0, 0, 0], [10**8, 10**8, 7]])
    for factor, row in zip(fixed.demodulation(style, squares), squares, strict=True):
        total = sum(int(s) ** 2 * int(q) for s, q in zip(style, row, strict=True))
        assert factor == (math.isqrt(2**80 // total) if total else 0)


def test_render_ignores_mean_and_scale_and_depends_on_v() -> None:
    picture = render(V)
    resolution = registry.embedded().weights.resolution
    assert picture.shape == (resolution, resolution, 3) and picture.dtype == np.uint8
    assert np.array_equal(render([3 * x + 10**15 for x in V]), picture)
    other = render([-x for x in V])
    assert np.abs(other.astype(int) - picture.astype(int)).mean() > 5
    assert picture.std() > 10


def test_render_refuses_unusable_vectors() -> None:
    with pytest.raises(UsageError):
        render(V[:-1])
    with pytest.raises(UsageError):
        render([7] * 512)


def test_weight_file_is_canonical() -> None:
    data = dump_weights(small_weights())
    assert dump_weights(load_weights(data)) == data and len(digest(data)) == 64
    spaced = data.replace(b'"z_dim":512', b'"z_dim": 512', 1)
    header = len(MAGIC)
    length = int.from_bytes(data[header : header + 4], "little") + 1
    spaced = spaced[:header] + length.to_bytes(4, "little") + spaced[header + 4 :]
    for broken in (
        data[:-1],
        data + b"\0",
        b"x" + data,
        data[:40],
        spaced,
        data.replace(b"z_dim", b"y_dim", 1),
    ):
        with pytest.raises(Malformed):
            load_weights(broken)


@pytest.mark.parametrize("name", ["", "a b", "x\n", "\x1b[2J", "x" * 65, "genuine. VERIFIED", "é"], ids=ascii)
def test_a_generator_has_a_plain_name(name: str) -> None:
    """It stands in the verdict's first heading, where only our own words belong."""
    with pytest.raises(Malformed, match="name"):
        load_weights(dump_weights(replace(small_weights(), name=name)))


def test_weights_too_large_for_exact_sums_are_refused() -> None:
    weights = small_weights()
    layer = weights.mapping[0]
    huge = replace(layer, multiplier=np.full_like(layer.multiplier, 2**31 - 1))
    with pytest.raises(Malformed, match=r"mapping\.0"):
        load_weights(dump_weights(replace(weights, mapping=(huge, *weights.mapping[1:]))))


def test_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    name, published = registry.embedded().digest, png_bytes(render(V))
    good = check_image(V, published, name)
    assert good.status == "matches"
    good.require()
    altered = bytearray(published)
    altered[5000] ^= 1
    bad = check_image(V, bytes(altered), name)
    assert bad.status == "differs"
    with pytest.raises(Rejected, match="image"):
        bad.reject_difference()
    missing = check_image(V, published, "0" * 64)
    assert missing.status == "not checked" and missing.hint is not None
    missing.reject_difference()
    with pytest.raises(Rejected, match="not checked"):
        missing.require()
    with pytest.raises(Malformed):
        check_image(V, published, "../../etc/passwd")


def test_user_generators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    data = dump_weights(replace(small_weights(), name="mine"))
    one = registry.add(data)
    assert registry.find(one.digest) is not None
    assert registry.by_name("mine").digest == one.digest == registry.by_name(one.digest[:8]).digest
    with pytest.raises(Unsupported):
        registry.by_name("nobody")
    assert one.exact and render(V, one).shape == (32, 32, 3)
    half = registry.Installed("0" * 64, replace(small_weights(), truncation=32768))
    assert not np.array_equal(render(V, one), render(V, half))
    (registry.user_folder() / (one.digest + registry.SUFFIX)).write_bytes(data[:-1] + b"\7")
    with pytest.raises(Malformed):
        registry.find(one.digest)


def test_pictures_for_people() -> None:
    rng = np.random.default_rng(4)
    one, two = (rng.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(2))
    joined = side_by_side([one, two], gap=3)
    assert np.array_equal(joined[:, :16], one) and np.array_equal(joined[:, 19:], two)
    assert (joined[:, 16:19] == 255).all()
    sheet = grid([one, two, one], columns=2)
    assert np.array_equal(sheet[:16, 16:], two) and (sheet[16:, 16:] == 255).all()
    lines = terminal_picture(one, columns=8).split("\n")
    assert len(lines) == 4 and all(line.count("\u2580") == 8 for line in lines)
    red, green, blue = one[1, 1]
    assert lines[0].startswith(f"\x1b[38;2;{red};{green};{blue}m")
