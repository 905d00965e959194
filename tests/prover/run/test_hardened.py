"""`hardened-2` on tiny models: the definition recomputed slowly, and what leaves the function alone leaves e alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from huref.circuits.fingerprint.hardened.constants import OUTPUTS
from huref.circuits.fingerprint.hardened.program import Sizes
from huref.circuits.fingerprint.hardened.tables import output_map, pool_count, segments, sketches
from huref.circuits.fingerprint.hardened.vector import picture_vector, similarity
from huref.circuits.fingerprint.profiles import HARDENED
from huref.circuits.program.bounds import fits
from huref.circuits.program.influence import (
    LOWER_QUARTILE,
    Cap,
    bounded,
    find_cap,
    likeness,
    lost,
    multipliers,
    shared,
)
from huref.circuits.program.measured import Ratio
from huref.common.errors import UsageError
from huref.prover.checkpoint.families import open_model
from huref.prover.derivatives.invariances import attack
from huref.prover.derivatives.padding import ADDITIONS
from huref.prover.derivatives.store import load_model, save_model
from huref.prover.run.fingerprint import derive
from tests.support.hardened_reference import Run, evaluate, ratio
from tests.support.hardened_rows import CommittedRows, read_rows
from tests.support.tiny_models import build

TOKENS = [b" token %d" % i for i in range(300)]
IDS = np.arange(300)
IDLE = [name for name in ADDITIONS if not any(word in name for word in ("cancelling", "10⁻⁶", "heads"))]
"""A model of three layers has no majority against eight that write a little, nor a number of heads that leaves room."""


def run(rows: CommittedRows, challenge: bytes = b"", tokens: list[bytes] = TOKENS) -> Run:
    left, right = sketches(tokens, pool_count(len(tokens)), challenge)
    return evaluate(rows, rows.sizes(left, right), left, right, challenge)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("llama", tmp_path_factory.mktemp("hardened") / "llama")


@pytest.fixture(scope="module")
def base(llama: Path) -> tuple[CommittedRows, Run]:
    rows = read_rows(open_model(llama), IDS)
    return rows, run(rows)


def test_every_site_follows_from_its_inputs(base: tuple[CommittedRows, Run]) -> None:
    rows, found = base
    sites, sizes = found.sites, found.sizes
    for name, site in sizes.sites.items():
        assert sites[name].shape == (site.rows, site.cols) and np.abs(sites[name]).max() <= site.clamp
        total, above = found.sums[name]
        living = {"qs": "qk", "qa": "qk", "oa": "vo", "ua": "ud"}.get(name)
        entries = site.calibration * (found.caps[living].alive if living else site.cols)
        target = {"qs": 5, "ks": 5, "qa": 16, "oa": 16, "ua": 16}.get(name, 52 if name[0] == "y" else 26)
        assert total == np.abs(sites[name][: site.calibration]).sum() < target * entries
        assert above is None or above >= target * entries

    def rounded(name: str, acc: np.ndarray) -> np.ndarray:
        s, clamp = found.shifts[name], sizes.sites[name].clamp
        assert np.abs(acc).max() <= sizes.sites[name].bound
        return np.clip(np.floor_divide(acc + (1 << s) // 2, 1 << s), -clamp, clamp)

    left, _ = sketches(TOKENS, pool_count(len(TOKENS)), b"")
    x = rows.embedding().astype(np.int64) * found.multipliers["x"][:, None]
    acc = np.zeros((left.pools, x.shape[1]), np.int64)
    for pool, sign, row in zip(left.pool, left.sign, x, strict=True):
        acc[pool] += len(x) * sign * row - sign * x.sum(axis=0)
    assert np.array_equal(rounded("ys", acc), sites["ys"])
    w = found.ratios["ys1"][2]
    assert np.array_equal(rounded("ys1", 64 * sites["ys"] - w * sites["z1"]), sites["ys1"])
    down = np.concatenate([rows.rows(n, "down") for n in range(rows.layers)]).astype(np.int64)
    assert np.array_equal(rounded("uc", sites["ua"] @ down), sites["uc"])
    assert np.array_equal(rounded("ud", sites["uc"] @ sites["yt"].T), sites["ud"])
    up = np.concatenate([rows.rows(n, "up") for n in range(rows.layers)]).astype(np.int64)
    s, acc = found.shifts["ua"], sites["ys2"] @ up.T
    h = np.floor_divide(acc + (1 << s) // 2, 1 << s)
    out = np.clip(np.floor_divide(h * found.multipliers["ud"] + 128, 256), -127, 127)
    assert np.array_equal(out, sites["ua"])
    e = np.zeros(OUTPUTS, np.int64)
    for term, name in enumerate(("qk", "vo", "ud")):
        place, sign = output_map(term, left.pools, b"")
        entries = 64 * sites[name]
        if name == "ud":
            entries -= found.ratios["ud"][2] * sites["gram"]
        np.add.at(e, place, sign * entries)
    assert np.array_equal(e, found.e) and np.abs(e).max() <= sizes.output_bound
    assert picture_vector(e).tolist() == e.reshape(512, 8).sum(axis=1).tolist()


@pytest.mark.parametrize(
    "name", ["permute_neurons", "permute_heads", "permute_hidden", "mix_values", "rescale_neurons"]
)
def test_rewrites_that_leave_the_function_alone(
    llama: Path, base: tuple[CommittedRows, Run], tmp_path: Path, name: str
) -> None:
    changed = save_model(attack(load_model(llama), name, 3), tmp_path / "changed")
    other = run(read_rows(open_model(changed), IDS))
    assert similarity(base[1].e, other.e).overall > 0.97


@pytest.mark.parametrize("name", IDLE)
def test_parts_that_do_nothing_count_nothing(
    llama: Path, base: tuple[CommittedRows, Run], tmp_path: Path, name: str
) -> None:
    changed = save_model(ADDITIONS[name](load_model(llama), 5), tmp_path / "changed")
    other = run(read_rows(open_model(changed), IDS))
    assert similarity(base[1].e, other.e).overall > 0.97


def test_another_challenge_and_another_model_have_nothing_in_common(
    base: tuple[CommittedRows, Run], tmp_path: Path
) -> None:
    rows, found = base
    assert abs(similarity(found.e, run(rows, bytes(32)).e).overall) < 0.1
    other = read_rows(open_model(build("llama", tmp_path / "other", 1)), IDS)
    assert abs(similarity(found.e, run(other).e).overall) < 0.1


def test_a_tokens_place_is_its_own() -> None:
    left, right = sketches(TOKENS, 32, bytes(32))
    fewer, _ = sketches(TOKENS[7:], 32, bytes(32))
    assert np.array_equal(left.pool[7:], fewer.pool) and np.array_equal(left.sign[7:], fewer.sign)
    assert not np.array_equal(left.pool, right.pool)
    with pytest.raises(UsageError, match="32 bytes"):
        sketches(TOKENS, 32, b"short")


def test_caps() -> None:
    influence = np.array([-200, -20, -19, -19, -18, -18, -18, -17])
    cap = find_cap(influence)
    assert cap == Cap(-18, 7, 4, 1) and cap.canonical() and cap.part() == 2
    assert not Cap(-19, 7, 6, 4).canonical() and not Cap(-17, 7, 1, 0).canonical()
    times = multipliers(influence, cap, 8, interpolated=True)
    assert (
        times[0] == 0 and times[-1] == round(256 * 2 ** (-2 / 16)) and times[4] == round(128 * 2 ** (-2 / 16))
    )
    assert multipliers(np.array([-10]), cap, 8, interpolated=True).tolist() == [256]
    rows = multipliers(np.array([-16, -17, -18, -19, -21, -23, -100]), cap, 3, interpolated=False)
    assert rows.tolist() == [8, 8, 4, 2, 1, 0, 0]
    quarter = find_cap(influence, LOWER_QUARTILE)
    assert quarter == Cap(-19, 7, 6, 4) and quarter.canonical(LOWER_QUARTILE) and not quarter.canonical()
    assert quarter.part(LOWER_QUARTILE) == 16 * (4 * 6 - 3 * 7) // (4 * 2) and not cap.canonical(
        LOWER_QUARTILE
    )
    empty = find_cap(np.array([-100, -100]))
    assert empty.canonical() and multipliers(np.array([-100]), empty, 8, interpolated=True).tolist() == [0]


def test_shares() -> None:
    """What a gate takes, how alike two heads are, and what is left of a head that is like others."""
    assert lost(np.array([0, 1, 2, 3, 4, 7, 8, 256]), 8).tolist() == [-128, -3, -2, -2, -1, -1, 0, 0]
    full = 7200
    assert likeness(np.array([-full, 0, full // 2, full, 2 * full]), full, 16).tolist() == [0, 0, 1, 16, 16]
    alike = np.arange(0, 16 * 256 + 1)
    found = shared(np.full(len(alike), 256), alike)
    exact = 256 / np.maximum(alike / 16, 1.0)
    assert (found >= exact * 2**-0.251 - 0.5).all() and (found <= exact * 2**0.251 + 0.5).all()
    assert (np.diff(found) <= 0).all()
    assert found[:20].tolist() == [256] * 20 and found[[32, 48, 16 * 256]].tolist() == [128, 91, 1]
    assert shared(np.array([0, 1, 100]), np.array([16, 64, 32])).tolist() == [0, 0, 50]
    heads = np.array([16 * 32, 16 * 64, 16 * 256])  # sums of 16 rows each
    assert bounded(np.array([32, 64, 256]), heads, 65536, 16 * 32).tolist() == [32, 32, 32]
    assert bounded(np.array([32, 64, 256]), heads, 32768, 16 * 32).tolist() == [32, 64, 64]


@pytest.mark.parametrize("challenge", [b"", bytes(range(32))])
def test_the_program_that_is_proven_gives_the_same(llama: Path, challenge: bytes) -> None:
    """Every site, shift, sum, cap and ratio of what is compiled for proofs, and all outputs."""
    found = derive(open_model(llama), HARDENED, challenge=challenge)
    tokens = found.tokens
    rows = read_rows(open_model(llama), np.array(tokens.ids))
    left, right = sketches(tokens.token_bytes, found.p, challenge)
    slow = evaluate(rows, rows.sizes(left, right), left, right, challenge)
    assert found.trace.v.tolist() == slow.e.tolist() and found.trace.shifts == slow.shifts
    assert found.trace.sums == slow.sums
    for name, site in found.trace.sites.items():
        assert np.array_equal(site.out, slow.sites[name]), name
    caps = {"rows": "x"}
    for name, cap in found.trace.caps.items():
        term = name.removesuffix(".multipliers")
        assert cap == slow.caps[caps.get(term, term)], name
    assert found.trace.ratios == {name: (a, b) for name, (a, b, _) in slow.ratios.items()}
    for name, row in found.trace.shares.items():
        term, kind = name.split(".")
        assert np.array_equal(row, (slow.heads if kind == "heads" else slow.shares)[term]), name


def test_ratios() -> None:
    assert [ratio(a, 4) for a in (4, 2, -2, 100, -100, 0)] == [64, 32, -32, 255, -255, 0] and ratio(5, 0) == 0
    assert ratio(1, 128) == 1 and ratio(-1, 128) == 0  # halves up
    proven = Ratio("r", "a", "b", 1, 6, 255)
    pairs = [(a, b) for a in range(-40, 41) for b in range(9)] + [(10**9, 7), (-(10**9), 7)]
    assert [proven.weight(pair) for pair in pairs] == [ratio(*pair) for pair in pairs]


@pytest.mark.parametrize(
    ("hidden", "heads", "ffn"), [(576, 17280, 46080), (4096, 131072, 352256), (8192, 655360, 2293760)]
)
def test_bounds_of_real_sizes(hidden: int, heads: int, ffn: int) -> None:
    left, right = sketches([b"%d" % i for i in range(4500)], 128, b"")
    sizes = Sizes(hidden, 128, (heads, heads, ffn), max(left.bound, right.bound), 32, 64, 4)
    small = {"qs": 15, "ks": 15, "scores": 15, "alike": 16}
    assert all(fits(s.bound) and s.clamp >= small.get(s.name, 63) for s in sizes.sites.values())
    assert fits(sizes.output_bound) and sizes.ratio_rows >= 1 and sizes.compared_rows >= 1
    assert [run.stop - run.start for run in segments()] == [1368, 1368, 1360]
