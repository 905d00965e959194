"""Merkle trees: format, multi-proofs, and every way a multi-proof can be wrong (protocol §4, §10, §11)."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref.common.algebra.field import P
from huref.common.argument import merkle
from huref.common.argument.merkle import MerkleTree, verify_multiproof
from huref.common.errors import Rejected


def tree_of(n: int, digest_bytes: int = 32) -> MerkleTree:
    leaves = np.random.default_rng(n).integers(0, 256, (n, 32), dtype=np.uint8)
    return MerkleTree(leaves, digest_bytes=digest_bytes)


def leaves(tree: MerkleTree, indices: list[int]) -> list[bytes]:
    return [tree.levels[0][i].tobytes() for i in indices]


def reference_root(digests: list[bytes], size: int) -> bytes:
    """The root by the definition: pad to a power of two, hash pairs; `size` bytes of every digest stay."""

    def kept(message: bytes) -> bytes:
        return sha256(message).digest()[:size] + bytes(32 - size)

    while len(digests) & (len(digests) - 1):
        digests = [*digests, kept(b"huref/merkle/empty/1".ljust(64, b"\0"))]
    while len(digests) > 1:
        header = b"huref/merkle/node/1".ljust(64, b"\0")
        digests = [kept(header + digests[i] + digests[i + 1]) for i in range(0, len(digests), 2)]
    return digests[0]


@pytest.mark.parametrize("size", [32, 26])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 6, 7, 8, 9, 40, 41, 56])
def test_root_by_definition(n: int, size: int) -> None:
    tree = tree_of(n, size)
    whole = np.random.default_rng(n).integers(0, 256, (n, 32), dtype=np.uint8)
    assert tree.root == reference_root([leaf.tobytes()[:size] + bytes(32 - size) for leaf in whole], size)
    assert tree.depth == (0 if n == 1 else (n - 1).bit_length())


def test_leaf_format() -> None:
    """A leaf hashes its tag, index, salt and block digests; a block its tag, number, columns and values."""
    width = merkle.BLOCK_COLUMNS + 3
    values = np.random.default_rng(0).integers(0, P, (1, width), dtype=np.uint64)
    salt = np.arange(merkle.SALT_BYTES, dtype=np.uint8)
    digests = b""
    for block, (start, stop) in enumerate([(0, merkle.BLOCK_COLUMNS), (merkle.BLOCK_COLUMNS, width)]):
        header = b"huref/merkle/block/1".ljust(48, b"\0")
        header += block.to_bytes(8, "little") + (stop - start).to_bytes(8, "little")
        message = b"".join(int(v).to_bytes(4, "little") for v in values[0, start:stop])
        digests += sha256(header + message).digest()
    header = b"huref/merkle/leaf/1".ljust(40, b"\0") + (9).to_bytes(8, "little") + salt.tobytes()
    assert len(header) == 64
    assert merkle.leaf_digests([9], salt[None], values) == [sha256(header + digests).digest()]


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 70), st.sampled_from([26, 32]), st.data())
def test_multiproofs_verify(n: int, size: int, data: st.DataObject) -> None:
    tree = tree_of(n, size)
    indices = sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1)))
    nodes = tree.prove(indices)
    assert len(nodes) == merkle.proof_length(n, indices)
    assert {len(node) for node in nodes} <= {size}
    whole = np.random.default_rng(n).integers(0, 256, (n, 32), dtype=np.uint8)
    opened = [whole[i].tobytes() for i in indices]
    verify_multiproof(tree.root, n, indices, opened, nodes, digest_bytes=size)


def test_a_short_digest_is_not_a_shorter_one_or_a_whole_one() -> None:
    """The length is the caller's, every byte that is kept counts, and a root has zeros behind it."""
    tree = tree_of(11, 26)
    indices = [1, 4, 10]
    digests, nodes = leaves(tree, indices), tree.prove(indices)

    def rejected(path: str, root: bytes, opened: list[bytes], given: list[bytes], size: int = 26) -> None:
        with pytest.raises(Rejected) as caught:
            verify_multiproof(root, 11, indices, opened, given, digest_bytes=size)
        assert caught.value.path == path

    rejected("merkle.nodes", tree.root, digests, nodes, 32)
    rejected("merkle.nodes", tree.root, digests, nodes, 25)
    rejected("merkle.root", tree.root, digests, [node[:25] for node in nodes], 25)
    rejected("merkle.root", tree.root, digests, [node + bytes(6) for node in nodes], 32)
    rejected("merkle.root", tree.root[:26] + b"\1".ljust(6, b"\0"), digests, nodes)
    for part in (0, 25):
        changed = bytearray(nodes[0])
        changed[part] ^= 1
        rejected("merkle.root", tree.root, digests, [bytes(changed), *nodes[1:]])
        changed = bytearray(digests[0])
        changed[part] ^= 1
        rejected("merkle.root", tree.root, [bytes(changed), *digests[1:]], nodes)
    beyond = digests[0][:26] + b"\1" * 6  # what is not kept of a leaf's hash
    verify_multiproof(tree.root, 11, indices, [beyond, *digests[1:]], nodes, digest_bytes=26)


def test_shared_and_padding_nodes_are_left_out() -> None:
    tree = tree_of(6)
    assert tree.prove([0, 1, 2, 3, 4, 5]) == []
    assert tree.prove([4, 5]) == [tree.levels[2][0].tobytes()]
    assert len(tree.prove([0])) == 3
    assert tree_of(1).prove([0]) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 70), st.data())
def test_any_changed_part_is_rejected(n: int, data: st.DataObject) -> None:
    tree = tree_of(n)
    indices = sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=n - 1)))
    digests, nodes = leaves(tree, indices), tree.prove(indices)
    parts = digests + nodes
    which = data.draw(st.integers(0, len(parts) - 1))
    bit = data.draw(st.integers(0, 255))
    changed = bytearray(parts[which])
    changed[bit // 8] ^= 1 << bit % 8
    parts[which] = bytes(changed)
    with pytest.raises(Rejected) as caught:
        verify_multiproof(
            tree.root, n, indices, parts[: len(digests)], parts[len(digests) :], path="opening.tree"
        )
    assert caught.value.path == "opening.tree.root"


def rejected_at(
    path: str, root: bytes, n: int, indices: list[int], digests: list[bytes], nodes: list[bytes]
) -> None:
    with pytest.raises(Rejected) as caught:
        verify_multiproof(root, n, indices, digests, nodes)
    assert caught.value.path == path


def test_wrong_shapes_are_rejected_where_they_are() -> None:
    tree = tree_of(11)
    indices = [1, 4, 10]
    digests, nodes = leaves(tree, indices), tree.prove(indices)
    for wrong in ([4, 1, 10], [1, 1, 10], [1, 4, 11], [-1, 4, 10], []):
        rejected_at("merkle.indices", tree.root, 11, wrong, digests, nodes)
    rejected_at("merkle.leaves", tree.root, 11, indices, digests[:2], nodes)
    rejected_at("merkle.leaves", tree.root, 11, indices, [digests[0][:31], *digests[1:]], nodes)
    rejected_at("merkle.nodes", tree.root, 11, indices, digests, nodes[:-1])
    rejected_at("merkle.nodes", tree.root, 11, indices, digests, [*nodes, bytes(32)])
    rejected_at("merkle.nodes", tree.root, 11, indices, digests, [nodes[0] + b"\0", *nodes[1:]])
    rejected_at("merkle.root", tree.root, 11, indices, digests, nodes[::-1])
    rejected_at("merkle.root", bytes(32), 11, indices, digests, nodes)
    rejected_at("merkle.root", tree.root, 11, [0, 4, 10], digests, nodes)


def test_path_of_another_index_or_length_is_rejected() -> None:
    tree = tree_of(16)
    digests, nodes = leaves(tree, [3]), tree.prove([3])
    rejected_at("merkle.root", tree.root, 16, [2], digests, nodes)
    rejected_at("merkle.nodes", tree.root, 32, [3], digests, nodes)
    inner = [tree.levels[1][1].tobytes()]
    rejected_at("merkle.root", tree.root, 8, [1], inner, [n.tobytes() for n in tree_of(8).levels[0][:3]])


def test_an_inner_node_is_not_a_leaf() -> None:
    """An inner node passed off as a leaf would need another n, and n is fixed by the caller."""
    tree = tree_of(16)
    inner = tree.levels[1][1].tobytes()
    rejected_at("merkle.nodes", tree.root, 16, [1], [inner], tree.prove([2])[1:])


def test_prover_refuses_bad_positions() -> None:
    tree = tree_of(9)
    for wrong in ([2, 1], [1, 1], [9], [-1], []):
        with pytest.raises(ValueError, match="sorted"):
            tree.prove(wrong)
    for shape in ((0, 32), (2, 31), (32,)):
        with pytest.raises(ValueError, match="shape"):
            MerkleTree(np.zeros(shape, dtype=np.uint8))


def test_domain_tags_differ_in_their_first_block() -> None:
    tags = [merkle.TAG_BLOCK, merkle.TAG_LEAF, merkle.TAG_NODE, merkle.TAG_EMPTY]
    assert len({tag.ljust(24, b"\0")[:24] for tag in tags}) == 4
    assert all(len(tag) <= 24 for tag in tags)
