"""Why a private state that is put back is refused: forced through, it gives the committed weights away.

The attack sees the public bundles alone. Every proof shows leaves of W, values of its column polynomials at known
points (protocol §4.1, §7.3); with k' different ones these polynomials are interpolated, and their low coefficients
are the weights. One honest budget never shows more than z - 1 of them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from huref.circuits.statement import prepare_statement
from huref.common.algebra.field import P
from huref.common.errors import ProverError
from huref.common.files.bundle import PROOF
from huref.prover.commitment import seal
from huref.prover.owner import Options, commit, prove
from huref.verifier import verify
from tests.support import tiny_models

pytestmark = pytest.mark.slow
Field = NDArray[np.uint64]


def shown(bundle: Path) -> dict[int, Field]:
    """The leaves of W that a bundle opens, (w,) each, by position."""
    seen: dict[tuple[str, str], bytes] = {}

    def keep(kind: str, label: str, data: bytes) -> None:
        seen[kind, label] = data

    verify(bundle, recorders={PROOF: keep})
    positions = np.frombuffer(seen["challenge", "opening.weights"], "<i8")
    leaves = np.frombuffer(seen["absorb", "opening.weights.leaves"], "<u4").astype(np.uint64)
    return dict(zip(positions.tolist(), leaves.reshape(len(positions), -1), strict=True))


def inverse(values: Field) -> Field:
    """1/x in F of every entry, as x^(p-2)."""
    out, base = np.ones_like(values), values
    for bit in bin(P - 2)[:1:-1]:
        out = out * base % np.uint64(P) if bit == "1" else out
        base = base * base % np.uint64(P)
    return out


def interpolate(points: Field, values: Field) -> Field:
    """Coefficients (n, columns) of the polynomials of degree < n through values (n, columns): Newton's form, opened."""
    n, p, c = len(points), np.uint64(P), values.copy()
    for step in range(1, n):
        gaps = inverse((points[step:] + p - points[:-step]) % p)
        c[step:] = (c[step:] + p - c[step - 1 : -1]) % p * gaps[:, None] % p
    out = np.zeros_like(c)
    for k in range(n - 1, -1, -1):  # out = out·(X - points[k]) + c[k]
        shifted = np.vstack([np.zeros_like(out[:1]), out[:-1]])
        out = (shifted + p - out * points[k] % p) % p
        out[0] = (out[0] + c[k]) % p
    return out


def test_a_roll_back_that_is_forced_through_gives_the_weights_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 40}
    checkpoint = tiny_models.build("llama", tmp_path / "model", 0, vocab_size=600, **sizes)
    folder, backup = tmp_path / "c", tmp_path / "backup"
    opened = commit(checkpoint, folder, Options("paper", proofs=1))
    private, integers = folder / "private", opened.committed.data.copy()
    shutil.copytree(folder, backup)

    def proof(name: str) -> Path:
        return prove(None, tmp_path / name, commitment=folder).path

    first = proof("0.huref")
    shutil.rmtree(private)
    shutil.copytree(backup / "private", private)
    with pytest.raises(ProverError, match="put back"):
        proof("1.huref")

    monkeypatch.setattr(seal.SealedFile, "examine", lambda self: None)
    geometry = opened.committed.geometry.code
    leaves = shown(first)
    assert len(leaves) <= geometry.random - 1, "what one honest budget shows"
    bundles = 1
    while len(leaves) < geometry.k_prime:
        shutil.rmtree(private)
        shutil.copytree(backup / "private", private)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / f"home{bundles}"))  # and no mark outside
        leaves |= shown(proof(f"{bundles}.huref"))
        bundles += 1
        assert bundles < 60

    verdict = verify(first)
    public = prepare_statement(verdict.statement, verdict.commitment).geometry.weights
    assert public == geometry, "the attacker knows the code"
    chosen = sorted(leaves)[: geometry.k_prime]
    points = public.domain.points(np.array(chosen)).astype(np.uint64)
    found = interpolate(points, np.array([leaves[position] for position in chosen]))[: public.rows]
    signed = np.where(found > P // 2, found.astype(np.int64) - P, found.astype(np.int64))
    assert np.array_equal(signed, integers), f"all {integers.size} weights, from {bundles} bundles"
