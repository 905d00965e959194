"""`paper`: static bounds, sizes and the compiler; profiles by name, lookup tables' heights, how v is read."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from huref.circuits.argument.proof import PublicInputs, prepare
from huref.circuits.fingerprint.clamps import calibration_rows
from huref.circuits.fingerprint.outputs import output_segments, standardize
from huref.circuits.fingerprint.paper import block_sketch, compile_paper
from huref.circuits.fingerprint.profiles import HARDENED, PAPER, get_profile
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.program.bounds import FIELD_PRIME, fits, site_height, table_height
from huref.circuits.program.program import GatedMatMul, MatMul, Program, SketchSum
from huref.common.errors import Malformed, Unsupported, UsageError
from huref.common.params import Knobs
from tests.support.shapes import SEVEN_B, SEVENTY_B, SMOL


def dense(sketch: SketchSum, rows: int, k: int) -> np.ndarray:
    matrix = np.zeros((rows, k), dtype=np.int64)
    np.add.at(matrix, (sketch.row, sketch.token), sketch.sign)
    return matrix


def worst(program: Program, name: str) -> int:
    return program.weight[name].bound if name in program.weight else program.site[name].clamp


def test_blocks_are_runs_of_tokens() -> None:
    sketch = block_sketch("x", 512, 256)
    assert (sketch.token == np.arange(512)).all() and (sketch.row == np.arange(512) // 2).all()
    assert (sketch.sign == 1).all()
    with pytest.raises(UsageError, match="blocks"):
        block_sketch("x", 100, 64)


@pytest.mark.parametrize("shape", [SMOL, replace(SMOL, gated=False), SEVEN_B, SEVENTY_B])
def test_every_static_bound_holds(shape: ModelShape) -> None:
    program = compile_paper(shape, 4096, 256)
    for site in program.sites:
        acc = site.acc
        assert site.rows & (site.rows - 1) == 0
        if isinstance(acc, SketchSum):
            expected = int(np.abs(dense(acc, site.rows, 4096)).sum(axis=1).max()) * 128
        elif isinstance(acc, MatMul):
            expected = acc.inner * worst(program, acc.left.source) * worst(program, acc.right.source)
        else:
            assert isinstance(acc, GatedMatMul)
            expected = (
                acc.inner * worst(program, acc.left) * worst(program, acc.gate) * worst(program, acc.up)
            )
        assert site.bound == expected and 2 * site.bound < FIELD_PRIME
        assert 63 <= site.clamp <= 2047 and (site.clamp + 1) & site.clamp == 0
        rows = site.calibration_rows
        assert rows & (rows - 1) == 0 and 1 <= rows <= min(16, site.rows)
        assert 2 * rows * site.cols * site.clamp < FIELD_PRIME
    assert 2 * program.output.bound < FIELD_PRIME
    assert compile_paper(shape, 4096, 256) == program


def test_clamps_are_the_largest_that_fit_and_shared() -> None:
    program = compile_paper(SEVEN_B, 4096, 256)
    for site in program.sites:
        if isinstance(site.acc, MatMul) and site.acc.right.source in program.site:
            left, right = (program.site[view.source].clamp for view in (site.acc.left, site.acc.right))
            assert left == right
            assert not fits(site.acc.inner * (2 * left + 1) ** 2)
    gate, up = (program.weight[f"l31.{name}"].bound for name in ("gate", "up"))
    assert not fits(4096 * gate * up * (2 * program.site["ys"].clamp + 1))


def test_names_and_order() -> None:
    paper = compile_paper(SMOL, 4096, 256)
    assert [w.name for w in paper.weights[:4]] == ["x", "l28.q", "l28.k", "l28.v"]
    assert [s.name for s in paper.sites[:5]] == ["ys", "yt", "l28.qa", "l28.ka", "l28.qk"]
    assert paper.output.sources == ("l28.qk", "l28.vo", "l28.ud", "l29.qk", "l29.vo", "l29.ud")
    acc = paper.site["l28.qk"].acc
    assert isinstance(acc, MatMul) and acc.right.kind == "tile" and acc.right.group == 3
    assert isinstance(paper.site["l28.ua"].acc, GatedMatMul)
    assert paper.weight["l28.gate"].bits + paper.weight["l28.up"].bits == 14
    assert paper.site["l28.ua"].target == 8 and paper.site["l28.qa"].target == 26


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 50000}, "K = 50000"),
        ({"k": 4095}, "blocks"),
        ({"p": 48}, "power of two"),
        ({"shape": replace(SMOL, layers=1)}, "2 layers"),
        ({"shape": replace(SEVENTY_B, hidden=1 << 17)}, "bit widths"),
        ({"shape": replace(SEVENTY_B, gated=False, ffn=1 << 24)}, "ud|ua|da"),
        ({"p": 128}, "256 blocks"),
        ({"term_weights": (1, 2, 3, 4, 5, 128)}, "term weights"),
        ({"term_weights": (1, 2, 3, 4, 5)}, "term weights"),
    ],
)
def test_refusals(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"shape": SMOL, "k": 4096, "p": 256}
    with pytest.raises((UsageError, Unsupported), match=message):
        compile_paper(**(arguments | change))  # type: ignore[arg-type]


def test_profiles_by_name() -> None:
    assert get_profile("hardened") is HARDENED and get_profile("paper-1") is PAPER
    with pytest.raises(UsageError, match="no profile"):
        get_profile("soft")


def test_table_height_is_the_largest_sound_power_of_two() -> None:
    for bound in (2048, 600_000_000, FIELD_PRIME // 2):
        for shift in range(0, 31):
            height = table_height(bound, shift)
            half = (1 << shift) >> 1
            if height:
                assert bound + (height << shift) + half < FIELD_PRIME
            if height < 1 << 15:
                assert bound + (max(1, 2 * height) << shift) + half >= FIELD_PRIME


def test_table_heights_check_the_shifts() -> None:
    program = compile_paper(SMOL, 4096, 256)
    shifts = dict.fromkeys(program.site, 9)
    assert {site_height(site, shifts[site.name]) for site in program.sites} == {1 << 15}
    sums = dict.fromkeys(program.site, (0, None))
    for wrong, message in (
        ({"ys": 25}, "ys: no sound clamp table"),
        ({"ys": -1}, "ys: shift -1 is not between 0 and 30"),
        ({"ys": 31}, "ys: shift 31 is not between 0 and 30"),
        ({"zz": 1}, "exactly the program's sites"),
    ):
        with pytest.raises(Malformed, match=message):
            prepare(program, PublicInputs(shifts | wrong, sums, ()), Knobs())
    with pytest.raises(UsageError, match="calibration"):
        calibration_rows(256, FIELD_PRIME // 2, 2047)


def test_standardize_is_exact_and_blind_to_the_scale_of_a_term() -> None:
    rng = np.random.default_rng(0)
    v = rng.integers(-(10**6), 10**6, 512)
    z = standardize(v, HARDENED)
    assert abs(z.mean()) < 1e-12 and abs(z.std() - 1) < 1e-12
    np.testing.assert_allclose(z, standardize(v.astype(float), HARDENED), atol=1e-12)
    scaled = v.copy()
    scaled[output_segments(HARDENED)[1]] *= 2
    np.testing.assert_allclose(standardize(scaled, HARDENED), z, atol=1e-12)
    whole = standardize(v, PAPER)
    np.testing.assert_allclose(whole, (v - v.mean()) / v.std(), atol=1e-12)
    assert (standardize(np.full(512, 7), PAPER) == 0).all()


def test_the_program_needs_neither_torch_nor_numba() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['numba'] = None\n"
        "import huref.circuits.whole, huref.circuits.program.evaluate\n"
        "import huref.common.files.fingerprint_file\n"
        "assert not any(name.startswith('huref.prover') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
