"""The log's trees against RFC 6962's own recursion, its published roots, and every proof that is not one."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest

from huref.verifier.registry.merkle import (
    consistency_proof,
    consistent,
    included,
    inclusion_proof,
    leaf_hash,
    tree_root,
)

LEAVES = [leaf_hash(bytes([i]) * i) for i in range(21)]
PUBLISHED = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
"""Inputs and roots of the reference implementation of certificate transparency."""


def mth(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, literally, over leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def test_roots() -> None:
    for size in range(len(LEAVES) + 1):
        assert tree_root(LEAVES[:size]) == mth(LEAVES[:size])
    leaves = [leaf_hash(bytes.fromhex(text)) for text in PUBLISHED]
    assert {size: tree_root(leaves[:size]).hex() for size in ROOTS} == ROOTS


@pytest.mark.parametrize("size", range(1, 21))
def test_inclusion(size: int) -> None:
    root = tree_root(LEAVES[:size])
    for index in range(size):
        proof = inclusion_proof(LEAVES[:size], index)
        assert included(LEAVES[index], index, size, proof, root)
        assert not included(LEAVES[index], index, size, [*proof, bytes(32)], root)
        assert not included(LEAVES[index], index, size, proof, bytes(32))
        assert not included(bytes(32), index, size, proof, root)
        assert not included(LEAVES[index], size, size, proof, root)
        others = [other for other in range(size) if other != index]
        assert not any(included(LEAVES[index], other, size, proof, root) for other in others)
        for at in range(len(proof)):
            assert not included(LEAVES[index], index, size, [*proof[:at], bytes(32), *proof[at + 1 :]], root)
            assert not included(LEAVES[index], index, size, proof[:at] + proof[at + 1 :], root)
    with pytest.raises(IndexError):
        inclusion_proof(LEAVES[:size], size)


@pytest.mark.parametrize("size", range(0, 21))
def test_consistency(size: int) -> None:
    root = tree_root(LEAVES[:size])
    for old in range(size + 1):
        old_root, proof = tree_root(LEAVES[:old]), consistency_proof(LEAVES[:size], old)
        assert consistent(old, old_root, size, root, proof)
        assert not consistent(old, bytes(32), size, root, proof)
        assert not consistent(old, old_root, size, root, [*proof, bytes(32)])
        assert not consistent(size + 1, old_root, size, root, proof)
        if old:
            assert not consistent(old, old_root, size, bytes(32), proof)
        for at in range(len(proof)):
            assert not consistent(old, old_root, size, root, [*proof[:at], bytes(32), *proof[at + 1 :]])
            assert not consistent(old, old_root, size, root, proof[:at] + proof[at + 1 :])
    with pytest.raises(IndexError):
        consistency_proof(LEAVES[:size], size + 1)


def test_no_proof_at_all() -> None:
    for old in (1, 2, 3, 4, 5):
        assert not consistent(old, tree_root(LEAVES[:old]), 6, tree_root(LEAVES[:6]), [])
    assert not consistent(-1, tree_root([]), 6, tree_root(LEAVES[:6]), [])
    assert not included(LEAVES[5], -1, 6, inclusion_proof(LEAVES[:6], 5), tree_root(LEAVES[:6]))
    with pytest.raises(IndexError):
        inclusion_proof(LEAVES[:6], -1)
    with pytest.raises(IndexError):
        consistency_proof(LEAVES[:6], -1)


def test_a_proof_is_of_the_sizes_that_are_claimed() -> None:
    """A log that signs the root of one size as that of another, and gives the true root's own proof."""
    proof, root = inclusion_proof(LEAVES[:4], 3), tree_root(LEAVES[:4])
    assert included(LEAVES[3], 3, 4, proof, root)
    for index, size in ((0, 1), (1, 2)):
        assert not included(LEAVES[3], index, size, proof, root)
    for old, new, claims in (
        (7, 8, ((3, 4), (5, 6), (6, 7), (6, 8))),
        (1, 1, ((1, 2), (1, 3), (2, 3), (2, 4))),
    ):
        proof = consistency_proof(LEAVES[:new], old)
        roots = tree_root(LEAVES[:old]), tree_root(LEAVES[:new])
        assert consistent(old, roots[0], new, roots[1], proof)
        for claimed, size in claims:
            assert not consistent(claimed, roots[0], size, roots[1], proof)


def test_a_log_that_was_rewritten_is_not_consistent() -> None:
    changed = [*LEAVES[:3], bytes(32), *LEAVES[4:]]
    for old, size in pairwise(range(4, 21)):
        proof = consistency_proof(changed[:size], old)
        assert not consistent(old, tree_root(LEAVES[:old]), size, tree_root(changed[:size]), proof)
