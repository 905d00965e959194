"""The cnn encoder: its sites against an independent oracle, its bounds, its symmetries, how it separates."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from huref.circuits.fingerprint import encoder_cnn
from huref.circuits.fingerprint.encoder import standardize
from huref.circuits.fingerprint.sketch import segments
from huref.circuits.program.bounds import FIELD_PRIME
from huref.circuits.program.evaluate import accumulate, canonical_shift, run
from huref.circuits.program.program import Conv, MatMul, Program, Site, View, Weight
from huref.common.errors import Malformed, Unsupported
from huref.prover.run.executor import execute
from huref.prover.train import encoder as training
from huref.prover.train.random_terms import random_pair

NAMES = tuple(f"t{t}" for t in range(6))
INNER = 24
Ints = NDArray[np.int64]


def oracle_accumulator(conv: Conv, planes: Ints) -> Ints:
    """The IR's defining sum with integer windows, (rows y × columns o·out_size + x)."""
    size = conv.in_size + 2 * conv.padding
    padded = np.zeros((conv.in_channels, size, size), dtype=np.int64)
    inner = slice(conv.padding, conv.padding + conv.in_size)
    padded[:, inner, inner] = planes
    out = np.zeros((conv.out_size, conv.out_channels * conv.out_size), dtype=np.int64)
    flat = conv.weights.astype(np.int64).reshape(conv.out_channels, -1)
    for y in range(conv.out_size):
        for x in range(conv.out_size):
            top, left = conv.stride * y, conv.stride * x
            window = padded[:, top : top + conv.kernel, left : left + conv.kernel]
            out[y, x :: conv.out_size] = flat @ window.reshape(-1)
    return out


def oracle_requantize(acc: Ints, site: Site) -> tuple[int, Ints]:
    """The smallest shift with Σ|out| < 26·N over the calibration rows, and the activation at it."""
    for shift in range(31):
        h = acc if shift == 0 else np.floor_divide(acc + 2 ** (shift - 1), 2**shift)
        out = np.minimum(np.maximum(h, site.low), site.clamp)
        rows = out[: site.calibration_rows]
        if np.abs(rows).sum() < 26 * rows.size:
            return shift, out
    raise AssertionError("no shift")


def oracle_outputs(
    sites: tuple[Site, ...], terms: list[Ints]
) -> tuple[dict[str, int], dict[str, Ints], Ints]:
    """Shifts, activations and v of the encoder alone."""
    planes = np.stack(terms)
    shifts: dict[str, int] = {}
    outs: dict[str, Ints] = {}
    for site in sites:
        assert isinstance(site.acc, Conv)
        shift, out = oracle_requantize(oracle_accumulator(site.acc, planes), site)
        shifts[site.name], outs[site.name] = shift, out
        planes = np.stack(np.split(out, site.acc.out_channels, axis=1))
    return shifts, outs, planes.sum((1, 2))


def term_site(name: str, clamp: int) -> Site:
    bound = INNER << 14
    return Site(name, MatMul(View("x"), View(f"w{name}"), INNER), 256, 256, clamp, -clamp, bound, 16)


@pytest.fixture(scope="module")
def program() -> Program:
    """Six terms x·wᵀ, then the encoder."""
    clamp = encoder_cnn.input_clamp(FIELD_PRIME)
    sites, output = encoder_cnn.cnn_sites(NAMES, clamp, 256, FIELD_PRIME)
    weights = (Weight("x", 256, INNER), *(Weight(f"w{name}", 256, INNER) for name in NAMES))
    return Program(weights, (*(term_site(name, clamp) for name in NAMES), *sites), output)


@pytest.fixture(scope="module")
def weights() -> dict[str, NDArray[np.int8]]:
    rng = np.random.default_rng(5)
    heavy = {name: rng.standard_t(4, (256, INNER)) * 20 for name in ("x", *(f"w{n}" for n in NAMES))}
    return {name: np.clip(np.rint(values), -127, 127).astype(np.int8) for name, values in heavy.items()}


def encode(terms: NDArray[np.int64], shifts: dict[str, int] | None = None) -> tuple[Ints, dict[str, int]]:
    """v and shifts of the encoder's sites on (6, 256, 256) integer terms, by the reference executor."""
    sites, output = encoder_cnn.cnn_sites(NAMES, 2047, 256, FIELD_PRIME)
    values: dict[str, NDArray[np.integer]] = dict(zip(NAMES, terms, strict=True))
    found: dict[str, int] = {}
    for site in sites:
        acc = accumulate(site, values)
        shift = canonical_shift(site, acc[: site.calibration_rows]) if shifts is None else shifts[site.name]
        found[site.name] = shift
        values[site.name] = np.clip((acc + ((1 << shift) >> 1)) >> shift, site.low, site.clamp)
    last = values[output.sources[0]] * output.sign[0]
    return np.bincount(output.bucket[0].ravel(), last.ravel(), 512).astype(np.int64), found


def random_terms(seed: int) -> NDArray[np.int64]:
    anchors, _ = random_pair(1, torch.Generator().manual_seed(seed))
    return anchors[0].numpy().astype(np.int64)


def test_executors_agree_with_the_oracle(program: Program, weights: dict[str, NDArray[np.int8]]) -> None:
    traces = [
        run(program, weights),
        *(execute(program, weights, device=name) for name in ("cpu", "torch-cpu")),
    ]
    reference = traces[0]
    terms = [reference.sites[name].out.astype(np.int64) for name in NAMES]
    shifts, outs, v = oracle_outputs(program.sites[len(NAMES) :], terms)
    for name, out in outs.items():
        for trace in traces:
            assert trace.sites[name].shift == shifts[name]
            np.testing.assert_array_equal(trace.sites[name].out, out)
    for trace in traces:
        np.testing.assert_array_equal(trace.v, v)


def test_geometry_follows_the_ir(program: Program) -> None:
    sites = program.sites[len(NAMES) :]
    assert [site.rows for site in sites] == [64, 16, 4, 2]
    assert [site.calibration_rows for site in sites] == [16, 16, 4, 2]
    assert [site.low for site in sites[:3]] == [0, 0, 0] and sites[3].low == -sites[3].clamp
    for site in sites:
        assert isinstance(site.acc, Conv)
        assert site.cols == site.acc.out_channels * site.acc.out_size
        assert site.acc.in_size + 2 * site.acc.padding - site.acc.kernel == site.acc.stride * (site.rows - 1)
    counts = np.bincount(program.output.bucket[0].ravel(), minlength=512)
    assert (counts == 4).all() and (program.output.sign[0] == 1).all()


def test_static_bounds_are_attained_and_below_half_the_modulus(program: Program) -> None:
    """Extreme entries with the signs of the heaviest output channel's weights reach the bound exactly."""
    for site in program.sites[len(NAMES) :]:
        conv = site.acc
        assert isinstance(conv, Conv) and 2 * site.bound < FIELD_PRIME
        heaviest = int(np.abs(conv.weights.astype(np.int64)).sum((1, 2, 3)).argmax())
        planes = np.zeros((conv.in_channels, conv.in_size, conv.in_size), dtype=np.int64)
        start = conv.stride - conv.padding  # the window of position (1, 1)
        inside = slice(start, start + conv.kernel)
        visible = planes[:, inside, inside].shape[1]  # the smallest layer's window hangs over the edge
        signs = np.sign(conv.weights[heaviest].astype(np.int64))[:, :visible, :visible]
        planes[:, inside, inside] = 2047 * signs
        reached = int(oracle_accumulator(conv, planes)[1, heaviest * conv.out_size + 1])
        if visible == conv.kernel:
            assert reached == site.bound
        assert reached <= site.bound
    assert program.output.bound == 4 * program.sites[-1].clamp


def test_clamps_follow_the_rule_for_a_smaller_modulus() -> None:
    gains = [encoder_cnn.gain(kernel) for kernel in encoder_cnn.kernels()]
    prime = 2 * max(gains) * 300  # admits 255 at the layer with the largest gain, not 511
    sites, _ = encoder_cnn.cnn_sites(NAMES, 255, 256, prime)
    for site, gain in zip(sites, [*gains[1:], 4], strict=True):
        assert 2 * gain * site.clamp < prime
        assert site.clamp == 2047 or 2 * gain * (2 * site.clamp + 1) >= prime
    assert min(site.clamp for site in sites) == 255
    with pytest.raises(Unsupported, match="cnn1"):
        encoder_cnn.cnn_sites(NAMES, 2047, 256, 2 * gains[0] * 2047)
    with pytest.raises(Unsupported, match="below p/2"):
        encoder_cnn.input_clamp(2 * gains[0])


@pytest.mark.parametrize("p", [32, 64, 128, 512])
def test_other_sizes_are_unsupported(p: int) -> None:
    with pytest.raises(Unsupported) as caught:
        encoder_cnn.cnn_sites(NAMES, 2047, p, FIELD_PRIME)
    assert caught.value.hint is not None and "sketch" in caught.value.hint


def test_a_power_of_two_in_the_input_changes_only_the_first_shift() -> None:
    terms = random_terms(1)
    v, shifts = encode(terms)
    doubled, moved = encode(2 * terms)
    np.testing.assert_array_equal(doubled, v)
    assert moved == {**shifts, "cnn1": shifts["cnn1"] + 1}


def test_terms_do_not_mix() -> None:
    terms = random_terms(2)
    v, shifts = encode(terms)
    for t, segment in list(enumerate(segments(6)))[1::3]:
        changed = terms.copy()
        changed[t] = -terms[t].T
        other, _ = encode(changed, shifts)
        kept = np.ones(512, dtype=bool)
        kept[segment] = False
        np.testing.assert_array_equal(other[kept], v[kept])
        assert (other[segment] != v[segment]).mean() > 0.9


def test_a_term_may_change_its_scale() -> None:
    """A derivative that crosses a shift's threshold halves one term: the fingerprint stays."""
    terms = random_terms(3)
    halved = terms.copy()
    halved[2] = np.rint(terms[2] / 2).astype(np.int64)
    a, b = (standardize(encode(x)[0], "cnn") for x in (terms, halved))
    assert float(a @ b) / 512 > 0.98  # rounding alone; without segments of their own scale it would be 0.95


def test_the_network_is_odd() -> None:
    terms = random_terms(4)
    a, b = (standardize(encode(x)[0], "cnn") for x in (terms, -terms))
    assert float(a @ b) / 512 < -0.995


def test_integer_and_float_outputs_agree() -> None:
    for seed in range(4):
        terms = random_terms(10 + seed)
        exact = encoder_cnn.float_outputs(terms * np.array([1, 7, 0.3, 1e-3, 50, 1]).reshape(6, 1, 1))
        a, b = standardize(encode(terms)[0], "cnn"), standardize(exact, "cnn")
        assert float(a @ b) / 512 >= 0.99


def test_random_models_are_separated_and_look_gaussian() -> None:
    count = 6
    anchors, noised = random_pair(count, torch.Generator().manual_seed(99))
    v = np.stack(
        [standardize(encode(x)[0], "cnn") for x in torch.cat([anchors, noised]).numpy().astype(np.int64)]
    )
    cosines = v @ v.T / 512
    related = np.diagonal(cosines[:count, count:])
    unrelated = cosines[:count, :count][~np.eye(count, dtype=bool)]
    assert related.min() > 0.75 and related.mean() > 0.84  # embeddings carry 40 % noise
    assert np.abs(unrelated).max() < 0.2 and np.sqrt(np.mean(unrelated**2)) < 0.06
    entries = np.sort(v[:count].ravel())
    gaussian = 0.5 * (1 + torch.erf(torch.from_numpy(entries) / 2**0.5).numpy())
    distance = np.abs(gaussian - (np.arange(entries.size) + 0.5) / entries.size).max()
    assert distance < 0.035  # Kolmogorov–Smirnov, 3072 entries: 0.029 at the 1 % level if independent


def test_shipped_weights_have_the_pinned_digest_and_structure() -> None:
    stored = encoder_cnn.read_stored(str(Path(encoder_cnn.__file__).parent / "data" / "encoder_cnn.npz"))
    assert encoder_cnn.weights_digest(stored) == encoder_cnn.DIGEST
    full = encoder_cnn.kernels()
    assert all(kernel.dtype == np.int8 and int(kernel.min()) >= -127 for kernel in full)
    assert all(following.shape[1] == len(kernel) for kernel, following in pairwise(full))
    assert Path(encoder_cnn.__file__).parent.joinpath("data/encoder_cnn.npz").stat().st_size < 4 << 20
    changed = (stored[0].copy(), *stored[1:])
    changed[0].flat[0] ^= 1
    assert encoder_cnn.weights_digest(changed) != encoder_cnn.DIGEST
    reshaped = (stored[0].reshape(1, 2, 8, 8), *stored[1:])
    assert encoder_cnn.weights_digest(reshaped) != encoder_cnn.DIGEST


def test_damaged_weight_files_are_malformed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = Path(encoder_cnn.__file__).parent / "data" / "encoder_cnn.npz"
    arrays = dict(np.load(good))
    cases = {
        "absent.npz": None,
        "truncated.npz": good.read_bytes()[:5000],
        "text.npz": b"not an archive",
        "zip.npz": b"PK\x03\x04 not an archive",
    }
    for name, data in cases.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(Malformed):
            encoder_cnn.read_stored(str(tmp_path / name))
    for key, value in {
        "conv1": arrays["conv1"].astype(np.int16),
        "conv2": arrays["conv2"][:, :2],
        "conv3": np.full_like(arrays["conv3"], -128),
        "conv4": np.array([object()]),
    }.items():
        np.savez(tmp_path / "bad.npz", **{**arrays, key: value})
        with pytest.raises(Malformed):
            encoder_cnn.read_stored(str(tmp_path / "bad.npz"))
    monkeypatch.setattr(encoder_cnn, "DIGEST", "0" * 64)
    encoder_cnn.kernels.cache_clear()
    with pytest.raises(Malformed, match="pinned digest"):
        encoder_cnn.kernels()
    encoder_cnn.kernels.cache_clear()


@pytest.mark.slow
def test_training_runs_is_repeatable_and_rounds_faithfully() -> None:
    settings = {"steps": 2, "batch": 4, "samples": 128, "seed": 3, "device": torch.device("cpu")}
    stored, floats = training.train(**settings)  # type: ignore[arg-type]
    again, _ = training.train(**settings)  # type: ignore[arg-type]
    assert encoder_cnn.weights_digest(stored) == encoder_cnn.weights_digest(again)
    assert [array.shape for array in stored] == list(encoder_cnn.STORED_SHAPES)
    anchors, _ = random_pair(2, torch.Generator().manual_seed(1))
    integer = training.by_segment([training.integer_forward(encoder_cnn.expand(stored), x) for x in anchors])
    exact = training.by_segment(
        [training.integer_forward(encoder_cnn.expand(tuple(floats)), x, rounding=False) for x in anchors]
    )
    assert float((integer * exact).sum(1).min()) >= 0.99
