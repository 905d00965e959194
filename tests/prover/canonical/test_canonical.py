"""Pinned arithmetic and the canonical form: terms stay, rewrites vanish, every bit is reproducible."""

from __future__ import annotations

import subprocess
import sys
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from huref.circuits.fingerprint.profiles import HARDENED, PAPER, Profile
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.model.rotary import rotary_planes
from huref.prover.canonical.canonical import canonical_embedding, canonical_layer
from huref.prover.checkpoint.families import LayerTensors
from huref.prover.kernels import pinned
from tests import ROOT
from tests.support.shapes import SMOL

SHAPE = replace(SMOL, hidden=48, heads=4, kv_heads=2, head_dim=8, ffn=20, vocab=300, layers=2, rotary_dim=8)


def layer(shape: ModelShape, seed: int = 0) -> LayerTensors:
    rng = np.random.default_rng(seed)

    def rows(n: int) -> np.ndarray:
        return rng.normal(size=(n, shape.hidden)).astype(np.float32)

    gains = [rng.uniform(0.5, 2, shape.hidden).astype(np.float32) for _ in range(2)]
    pre = shape.norm_position == "pre"
    return LayerTensors(
        q=rows(shape.q_rows),
        k=rows(shape.kv_rows),
        v=rows(shape.kv_rows),
        o=rows(shape.q_rows),
        up=rows(shape.ffn),
        gate=rows(shape.ffn),
        down=rows(shape.ffn),
        attn_gain=gains[0] if pre else None,
        ffn_gain=gains[1] if pre else None,
        attn_stream_gain=None if pre else gains[0],
        ffn_stream_gain=None if pre else gains[1],
    )


def terms(x: np.ndarray, named: dict[str, np.ndarray], shape: ModelShape) -> list[np.ndarray]:
    """The three K×K terms straight from the definition, with repeated kv heads."""

    def expand(rows: np.ndarray) -> np.ndarray:
        heads = rows.reshape(shape.kv_heads, shape.head_dim, -1)
        return np.repeat(heads, shape.group, axis=0).reshape(shape.q_rows, -1)

    q, k, v, o = named["q"], expand(named["k"]), expand(named["v"]), named["o"]
    return [(x @ a.T) @ (x @ b.T).T for a, b in ((q, k), (v, o), (named["up"], named["down"]))]


def balanced_factors(stored: np.ndarray, grouped: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    out = stored.copy(), grouped.copy()
    pinned.balance_factors(*out, "vo")
    return out


def canonical_tensors(tensors: LayerTensors, shape: ModelShape, profile: Profile) -> dict[str, np.ndarray]:
    """The canonical rows by name; `tensors` stay as they are."""
    return dict(canonical_layer(deepcopy(tensors), shape, profile))


def single(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32)


def test_tree_sum_is_a_sum() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 576):
        x = rng.normal(size=(5, n))
        np.testing.assert_allclose(pinned.tree_sum(x), x.sum(axis=1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("width", [1, 2, 48, 64, 576])
def test_mix_is_orthogonal_and_spreads(width: int) -> None:
    mixed = pinned.mix(np.eye(width, dtype=np.float32), "hidden")
    np.testing.assert_allclose(mixed @ mixed.T, np.eye(width), atol=1e-6)
    if width >= 48:
        assert np.abs(mixed).max() < 0.5


@pytest.mark.parametrize(("n", "rank"), [(4, 4), (6, 3), (8, 0)])
def test_balanced_factors_keep_the_product(n: int, rank: int) -> None:
    rng = np.random.default_rng(2)
    stored = rng.normal(size=(3, n, rank)) @ rng.normal(size=(3, rank, 40)) if rank else np.zeros((3, n, 40))
    stored, grouped = single(stored), single(rng.normal(size=(3, 2, n, 40)))
    left, right = balanced_factors(stored, grouped)
    before = np.einsum("hnd,hgne->hgde", stored, grouped)
    np.testing.assert_allclose(np.einsum("hnd,hgne->hgde", left, right), before, atol=2e-5)
    np.testing.assert_allclose((left**2).sum(axis=(1, 2)), (right**2).sum(axis=(1, 2, 3)), rtol=1e-5)
    product = np.concatenate([before[:, 0], before[:, 1]], axis=2)
    sigma = np.linalg.svd(product)[1][:, :n]
    np.testing.assert_allclose(np.linalg.svd(left)[1] ** 2, sigma, atol=2e-5 * max(1.0, sigma.max()))


def test_balanced_factors_forget_the_factorization() -> None:
    rng = np.random.default_rng(3)
    stored, grouped = single(rng.normal(size=(2, 6, 40))), single(rng.normal(size=(2, 3, 6, 40)))
    left, right = balanced_factors(stored, grouped)
    u, v = (np.linalg.qr(rng.normal(size=(6, 6)))[0] for _ in range(2))
    bad = u @ np.diag(np.logspace(0, 3, 6)) @ v
    again = balanced_factors(single(bad @ stored), single(np.linalg.inv(bad).T @ grouped))
    np.testing.assert_allclose(again[0], left, atol=1e-3)  # float32 inputs, of condition 10³
    np.testing.assert_allclose(again[1], right, atol=1e-3)


def test_rotary_planes() -> None:
    planes, rest = rotary_planes(SHAPE)
    assert planes.tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]] and rest.size == 0
    partial = replace(SHAPE, rotary="interleaved", rotary_dim=4)
    planes, rest = rotary_planes(partial)
    assert planes.tolist() == [[0, 1], [2, 3]] and rest.tolist() == [4, 5, 6, 7]
    planes, rest = rotary_planes(replace(SHAPE, rotary_dim=4, rotary_sections=2))
    assert planes.tolist() == [[0, 2], [1, 3], [4, 6], [5, 7]] and rest.size == 0
    assert rotary_planes(replace(SHAPE, rotary=None, rotary_dim=0))[1].size == 8


@pytest.mark.parametrize(
    "shape",
    [
        SHAPE,
        replace(SHAPE, rotary_dim=4),
        replace(SHAPE, rotary=None, rotary_dim=0),
        replace(SHAPE, norm="layer"),
        replace(SHAPE, norm="layer", norm_position="post"),
    ],
)
def test_terms_are_those_of_the_folded_model(shape: ModelShape) -> None:
    tensors = layer(shape)
    rows = np.random.default_rng(9).normal(size=(30, shape.hidden)).astype(np.float32)
    named = {name: getattr(tensors, name).astype(np.float64) for name in ("q", "k", "v", "o", "up", "down")}
    for name in ("q", "k", "v", "up"):
        gain = tensors.ffn_gain if name == "up" else tensors.attn_gain
        if gain is not None:
            named[name] *= gain
        stream = tensors.ffn_stream_gain if name == "up" else tensors.attn_stream_gain
        if shape.norm == "layer" and stream is not None:
            u = 1 / stream.astype(np.float64)
            named[name] -= np.outer(named[name] @ u / (u @ u), u)
    x = rows.astype(np.float64)
    if shape.norm == "layer":
        x -= x.mean(axis=1, keepdims=True)
    expected = terms(x, named, shape)
    canonical = canonical_tensors(tensors, shape, HARDENED)
    found = terms(canonical_embedding(rows, shape, HARDENED), canonical, shape)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6 * np.abs(other).max())


def test_balanced_norms_and_dead_neurons() -> None:
    tensors = layer(SHAPE)
    tensors.up[3] = 0
    tensors.down[3] *= 1e6
    named = canonical_tensors(tensors, SHAPE, HARDENED)
    np.testing.assert_allclose((named["up"] ** 2).sum(1), (named["down"] ** 2).sum(1), rtol=1e-6)
    assert not named["down"][3].any()


def test_paper_profile_is_raw_up_to_neuron_scales() -> None:
    tensors = layer(SHAPE)
    named = canonical_tensors(tensors, SHAPE, PAPER)
    for name in ("q", "k", "v", "o", "gate"):
        assert np.array_equal(named[name], getattr(tensors, name))
    product = np.einsum("fi,fj->fij", named["up"], named["down"])
    np.testing.assert_allclose(
        product, np.einsum("fi,fj->fij", tensors.up, tensors.down), rtol=1e-5, atol=1e-6
    )


def test_qk_norm_ignores_the_scale_of_a_head() -> None:
    shape = replace(SHAPE, qk_norm=True)
    tensors = layer(shape)
    scaled = replace(tensors, q=tensors.q.copy(), k=tensors.k * np.float32(4))
    scaled.q[: shape.head_dim] *= np.float32(64)
    other = canonical_tensors(scaled, shape, HARDENED)
    for name, one in canonical_tensors(tensors, shape, HARDENED).items():
        np.testing.assert_allclose(one, other[name], atol=1e-7)


def test_bits_are_those_of_plain_numpy_on_any_number_of_threads() -> None:
    """The kernels, interpreted operation by operation, against the compiled ones."""
    code = (
        "import hashlib, numpy as np\n"
        "from dataclasses import replace\n"
        "from tests.prover.canonical.test_canonical import SHAPE, layer\n"
        "from huref.circuits.fingerprint.profiles import HARDENED\n"
        "from huref.prover.canonical.canonical import canonical_layer\n"
        "from huref.prover.canonical.quantize import quantize\n"
        "d = hashlib.sha256()\n"
        "for shape in (SHAPE, replace(SHAPE, norm='layer', rotary_dim=2, head_dim=6)):\n"
        "    for name, t in canonical_layer(layer(shape), shape, HARDENED):\n"
        "        d.update(t.tobytes() + quantize(name, t, 8, 8.0).values.tobytes())\n"
        "print(d.hexdigest())"
    )
    digests = set()
    for settings in ({}, {"HUREF_THREADS": "1"}, {"HUREF_THREADS": "3"}, {"NUMBA_DISABLE_JIT": "1"}):
        root = ROOT
        done = subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"PATH": "/usr/bin:/bin", **settings},
            cwd=root,
        )
        digests.add(done.stdout)
    assert len(digests) == 1
