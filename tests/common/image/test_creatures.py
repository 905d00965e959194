"""The embedded renderer: painting against plain oracles, traits that are smooth and independent, pinned pictures."""

from __future__ import annotations

import ast
import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from huref.common.errors import UsageError
from huref.common.image import creature, registry
from huref.common.image.creature import curves, draw, traits
from huref.common.image.creature.draw import Creatures, draw_creature, reference_latent
from huref.common.image.creature.raster import FULL, SIZE, Canvas, coverage, coverages, soft
from huref.common.image.creature.traits import NAMES, UNIT, read_traits
from huref.common.image.generator import render


def _latent(seed: int) -> np.ndarray:
    return np.rint(np.random.default_rng(seed).standard_normal(512) * 4096).astype(np.int64)


def test_pictures_are_pinned() -> None:
    """A change of any pixel must change the generator's name; so REFERENCE is part of its digest."""
    picture = draw_creature(reference_latent())
    assert picture.shape == (SIZE, SIZE, 3)
    assert hashlib.sha256(picture.tobytes()).hexdigest() == draw.REFERENCE
    assert Creatures().digest == registry.embedded().digest == PINNED


PINNED = "ad1223b5a805046985e43fe877de942426a811dcd8781df9b2ee8378731d4bf1"


def test_the_name_depends_on_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Creatures().digest
    for name, value in (("VERSION", 2), ("SEED", b"x"), ("NAMES", NAMES[::-1]), ("REFERENCE", "1" * 64)):
        with monkeypatch.context() as patch:
            patch.setattr(draw, name, value)
            assert Creatures().digest != before


INTEGER_ONLY = {
    "int64", "int32", "uint8", "array", "asarray", "concatenate", "stack", "zeros", "empty", "arange", "repeat",
    "cumsum", "pad", "abs", "minimum", "maximum", "clip", "where", "add",
    "ascontiguousarray", "unpackbits", "frombuffer",
}  # fmt: skip
"""Of numpy: what gives integers for integers, whatever the machine."""


def test_no_floating_point_in_the_renderer() -> None:
    """Same bytes everywhere: no true division, no float, no matrix product, of numpy and math only what is exact."""
    files = sorted(Path(creature.__file__).parent.glob("*.py"))
    assert len(files) >= 10
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            where = (path.name, getattr(node, "lineno", 0))
            if isinstance(node, ast.BinOp | ast.AugAssign):
                assert not isinstance(node.op, ast.Div | ast.MatMult), where
            if isinstance(node, ast.Constant):
                assert not isinstance(node.value, float | complex), where
            if isinstance(node, ast.Name):
                assert node.id not in ("float", "round", "pow"), where
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np":
                assert node.attr in INTEGER_ONLY, (*where, node.attr)
            if isinstance(node, ast.ImportFrom) and node.module == "math":
                assert [alias.name for alias in node.names] == ["isqrt"], where


def test_sines_are_exact_to_the_last_bit_of_the_table() -> None:
    angles = np.arange(0, curves.TURN, 7)
    wanted = np.sin(angles * 2 * math.pi / curves.TURN) * 16384
    assert np.abs(curves.sine(angles) - wanted).max() < 1.2
    assert (
        np.abs(
            curves.cosine(angles + 5 * curves.TURN) - np.cos(angles * 2 * math.pi / curves.TURN) * 16384
        ).max()
        < 1.2
    )


def test_coverage_of_boxes_is_exact() -> None:
    box = curves.points(
        [
            (10 * 256 + 64, 20 * 256),
            (15 * 256 + 128, 20 * 256),
            (15 * 256 + 128, 23 * 256 + 128),
            (10 * 256 + 64, 23 * 256 + 128),
        ]
    )
    mask = coverage([box])
    assert mask is not None
    row = [192, 256, 256, 256, 256, 128]
    plane = mask.whole()
    assert plane[20, 10:16].tolist() == row and plane[23, 10:16].tolist() == [x // 2 for x in row]
    assert plane.sum() == sum(row) * 7 // 2 and (plane[24:] == 0).all() and (plane[:20] == 0).all()


def test_coverage_adds_up_to_areas() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        corners = rng.integers(-40 * 256, 560 * 256, (3, 2))
        mask = coverage([corners])
        inside = np.clip(corners, 0, SIZE * 256)
        if not np.array_equal(inside, corners):
            continue
        a, b = corners[1] - corners[0], corners[2] - corners[0]
        area = abs(int(a[0]) * int(b[1]) - int(a[1]) * int(b[0])) / 2 / 65536
        assert mask is not None and abs(mask.cover.sum() / FULL - area) < 0.01 * area + 12


def test_overlapping_outlines_are_one_shape_and_far_ones_nothing() -> None:
    first, second = curves.ellipse(5000, 5000, 2000, 2000), curves.ellipse(6000, 5000, 2000, 2000)
    both = coverage([first, second])
    one, two = coverage([first]), coverage([second])
    assert both is not None and one is not None and two is not None
    assert (both.whole() >= np.maximum(one.whole(), two.whole())).all() and both.cover.max() == FULL
    for x, y in ((-90000, 0), (190000, 0), (0, -90000), (0, 190000)):
        assert coverage([first + np.array([x, y])]) is None
    cut = coverage([curves.ellipse(0, 0, 20000, 20000)])
    assert cut is not None and cut.cover[0, 0] == FULL


def test_shapes_cut_at_once_are_those_cut_alone() -> None:
    round_ = curves.ellipse(5000, 5000, 2000, 2000)
    moves = (
        (0, 0),
        (-90000, 0),
        (120000, 3000),
        (190000, 0),
        (-6000, 0),
        (0, 190000),
        (0, -90000),
        (40, 128000),
    )
    shapes = [[round_ + np.array(move)] for move in moves]
    shapes.insert(3, [round_, round_ + np.array([1500, 700])])
    found = coverages(shapes)
    assert sum(mask is None for mask in found) == 4
    for mask, outlines in zip(found, shapes, strict=True):
        alone = coverage(outlines)
        assert (mask is None) == (alone is None)
        if mask is not None and alone is not None:
            assert (mask.top, mask.left) == (alone.top, alone.left)
            assert np.array_equal(mask.cover, alone.cover) and mask.cover.any()


def test_blur_keeps_the_mass_and_layers_mix() -> None:
    plane = np.zeros((SIZE, SIZE), dtype=np.int32)
    plane[200:220, 200:220] = FULL
    blurred = soft(plane, 6)
    assert 0 < blurred.max() <= FULL and blurred[210, 190] > 0
    assert not blurred[:, :188].any() and not blurred[:188].any()  # two boxes reach 12 pixels
    assert abs(int(blurred[210, 190]) - int(blurred[210, 229])) <= 1
    assert abs(int(blurred.sum()) - int(plane.sum())) < plane.sum() * 0.05
    canvas = Canvas((100, 0, 255))
    canvas.fill(coverage([curves.ellipse(256 * 256, 256 * 256, 9000, 9000)]), (200, 50, 5), opacity=128)
    assert canvas.picture()[256, 256].tolist() == [150, 25, 130] and canvas.picture()[0, 0].tolist() == [
        100,
        0,
        255,
    ]
    canvas.darken(plane, 128)
    assert canvas.picture()[210, 210, 0] < 80


def _raw(z: np.ndarray[Any, Any]) -> list[int]:
    traits = read_traits(z)
    return [traits.raw(name) for name in NAMES]


def test_traits_are_independent_smooth_and_bounded() -> None:
    basis = np.zeros((512, len(NAMES)))
    for index in range(512):
        z = np.zeros(512, dtype=np.int64)
        z[index] = 400
        basis[index] = _raw(z)
    directions = basis / np.linalg.norm(basis, axis=0)
    assert np.abs(directions.T @ directions - np.eye(len(NAMES))).max() < 0.05
    assert np.abs(np.abs(directions) * math.sqrt(512) - 1).max() < 0.1
    values = np.array([_raw(_latent(seed)) for seed in range(300)]) / UNIT
    assert np.abs(values).max() < 1 and np.abs(values.mean(0)).max() < 0.2
    assert values.std(0).min() > 0.4
    near = np.rint(_latent(1) * 0.9999 + _latent(2) * 0.0141).astype(np.int64)
    change = np.array(_raw(near)) - np.array(_raw(_latent(1)))
    assert 0 < np.abs(change).max() < UNIT // 15


def test_every_trait_is_drawn() -> None:
    """Each trait, moved alone, changes the picture."""
    z = _latent(6)
    base = read_traits(z)
    picture = draw_creature(z)
    unseen = []
    for name in NAMES[::7]:
        value = base.raw(name)
        moved = traits.Traits(
            {**{n: base.raw(n) for n in NAMES}, name: value - UNIT if value > 0 else value + UNIT}
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(draw, "read_traits", lambda z, moved=moved: moved)
            if np.array_equal(draw_creature(z), picture):
                unseen.append(name)
    assert not unseen


def test_lengths() -> None:
    assert draw_creature(_latent(1)[:256]).shape == (SIZE, SIZE, 3)
    assert draw_creature(np.concatenate([_latent(1), _latent(2)])).shape == (SIZE, SIZE, 3)
    for count in (0, 1, 128, 511, 513):
        with pytest.raises(UsageError, match="256, 512"):
            draw_creature(np.ones(count, dtype=np.int64))


@pytest.mark.parametrize("kind", ["low", "high", "mixed", "one entry"])
def test_extreme_creatures_are_drawn(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every trait at its end, and a v that is zero but in one place, give a picture without over- or underflow."""
    with np.errstate(all="raise"):
        if kind == "one entry":
            picture = render([0] * 100 + [10**30] + [0] * 411)
        else:
            ends = {"low": [1 - UNIT], "high": [UNIT - 1], "mixed": [1 - UNIT, UNIT - 1, 0]}[kind]
            values = {name: ends[index % len(ends)] for index, name in enumerate(NAMES)}
            monkeypatch.setattr(draw, "read_traits", lambda z: traits.Traits(values))
            picture = draw_creature(_latent(1))
    assert picture.shape == (SIZE, SIZE, 3) and picture.std() > 20
    centre = picture[226:346, 196:316].astype(int)
    assert centre.std() > 15 and (picture[0, 0] == picture[0, -1]).all()
