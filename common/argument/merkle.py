"""Salted SHA-256 Merkle trees over matrix rows, and their multi-proofs (protocol §4).

Every hash starts with a full 64-byte header, so that a kernel can start from one compression:

    block digest  H(tag_block padded to 48 | block number u64 | columns in block u64 | values, 4 bytes each)
    leaf digest   H(tag_leaf padded to 40 | leaf index u64 | salt 16 | block digests in order)
    node digest   H(tag_node padded to 64 | left 32 | right 32)
    empty digest  H(tag_empty padded to 64)

Values and integers in headers are little-endian. A row of `width` values is cut into blocks of
`BLOCK_COLUMNS`. The n
leaves are padded with the empty digest to a power of two. A multi-proof for sorted distinct indices lists,
level by level from the leaves and left to right, the siblings that cannot be computed: neither from the
opened leaves nor because they lie wholly in the padding.

A tree may have *short* digests: of leaves, nodes and padding the first `digest_bytes` bytes are kept, and zeros
stand for the rest, wherever they are hashed again and in the root. A path lists what is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from huref.common.algebra.field import FArray, encode_f
from huref.common.errors import Rejected

DIGEST_BYTES = 32
SALT_BYTES = 16
BLOCK_COLUMNS = 256
TAG_BLOCK = b"huref/merkle/block/1"
TAG_LEAF = b"huref/merkle/leaf/1"
TAG_NODE = b"huref/merkle/node/1"
TAG_EMPTY = b"huref/merkle/empty/1"

NODE_HEADER = TAG_NODE.ljust(64, b"\0")
EMPTY_LEAF = sha256(TAG_EMPTY.ljust(64, b"\0")).digest()

Digests = npt.NDArray[np.uint8]


def block_header(block: int, columns: int) -> bytes:
    """The 64 bytes before the values of block number `block`, which has `columns` columns."""
    return TAG_BLOCK.ljust(48, b"\0") + block.to_bytes(8, "little") + columns.to_bytes(8, "little")


def leaf_header(index: int, salt: bytes) -> bytes:
    """The 64 bytes before the block digests of leaf `index`."""
    return TAG_LEAF.ljust(40, b"\0") + index.to_bytes(8, "little") + salt


def block_count(width: int) -> int:
    """Number of column blocks of a row with `width` values."""
    return -(-width // BLOCK_COLUMNS)


def depth_of(n: int) -> int:
    """Path length ceil(log2 n) of a tree with n >= 1 leaves."""
    return (n - 1).bit_length()


def leaf_digest(index: int, salt: bytes, row: bytes, width: int) -> bytes:
    """Digest of the leaf at `index` whose `width` values are the canonical bytes `row`."""
    digests = []
    for block in range(block_count(width)):
        start = block * BLOCK_COLUMNS
        columns = min(BLOCK_COLUMNS, width - start)
        values = row[4 * start : 4 * (start + columns)]
        digests.append(sha256(block_header(block, columns) + values).digest())
    return sha256(leaf_header(index, salt) + b"".join(digests)).digest()


def leaf_digests(indices: Sequence[int], salts: npt.NDArray[np.uint8], values: FArray) -> list[bytes]:
    """Digests of opened leaves: salts (t, 16) bytes, values (t, width) canonical."""
    width = values.shape[1]
    return [
        leaf_digest(int(index), salts[row].tobytes(), encode_f(values[row]), width)
        for row, index in enumerate(indices)
    ]


def node_digest(left: bytes, right: bytes) -> bytes:
    """Digest of an inner node."""
    return sha256(NODE_HEADER + left + right).digest()


def shortened(digest: bytes, digest_bytes: int) -> bytes:
    """The first `digest_bytes` bytes of a digest, and zeros up to 32."""
    return digest[:digest_bytes].ljust(DIGEST_BYTES, b"\0")


def empty_digests(depth: int, digest_bytes: int = DIGEST_BYTES) -> list[bytes]:
    """Digest of a wholly padded subtree of each height 0..depth."""
    digests = [shortened(EMPTY_LEAF, digest_bytes)]
    for _ in range(depth):
        digests.append(shortened(node_digest(digests[-1], digests[-1]), digest_bytes))
    return digests


class MerkleTree:
    """A tree whose levels are kept; `levels[0]` holds the n leaf digests, shape (count, 32) bytes each.

    Subtrees that are wholly padding are not stored. `hash_level` maps an even number of child digests to
    their parents; the prover passes a compiled one. Leaves given to a tree of short digests are cut in place.
    """

    def __init__(
        self,
        leaves: Digests,
        hash_level: Callable[[Digests], Digests] | None = None,
        digest_bytes: int = DIGEST_BYTES,
    ) -> None:
        if leaves.ndim != 2 or leaves.shape[1] != DIGEST_BYTES or len(leaves) == 0:
            raise ValueError(f"leaves must have shape (n >= 1, {DIGEST_BYTES}), got {leaves.shape}")
        self.n = len(leaves)
        self.depth = depth_of(self.n)
        self.digest_bytes = digest_bytes
        self._empty = empty_digests(self.depth, digest_bytes)
        hash_level = hash_level or _hash_level
        self.levels = [self._cut(leaves)]
        for level in range(self.depth):
            children = self.levels[-1]
            if len(children) % 2:
                padding = np.frombuffer(self._empty[level], dtype=np.uint8)[None]
                last = hash_level(np.concatenate([children[-1:], padding]))
                parents = np.concatenate([hash_level(children[:-1]), last])
            else:
                parents = hash_level(children)
            self.levels.append(self._cut(parents))

    def _cut(self, digests: Digests) -> Digests:
        if self.digest_bytes < DIGEST_BYTES:
            digests[:, self.digest_bytes :] = 0
        return digests

    @property
    def root(self) -> bytes:
        """The 32-byte root, which ends in zeros if digests are short."""
        return self.levels[-1][0].tobytes()

    def prove(self, indices: Sequence[int]) -> list[bytes]:
        """The multi-proof of sorted distinct `indices` in [0, n). ValueError otherwise."""
        if not _sorted_distinct(indices, self.n):
            raise ValueError(f"leaf indices must be sorted, distinct and in [0, {self.n})")
        nodes = []
        known = [int(i) for i in indices]
        for level in self.levels[:-1]:
            present = set(known)
            siblings = [i ^ 1 for i in known if i ^ 1 not in present and i ^ 1 < len(level)]
            nodes += [level[i, : self.digest_bytes].tobytes() for i in siblings]
            known = sorted({i >> 1 for i in known})
        return nodes


def _hash_level(children: Digests) -> Digests:
    data = children.tobytes()
    parents = b"".join(
        sha256(NODE_HEADER + data[start : start + 2 * DIGEST_BYTES]).digest()
        for start in range(0, len(data), 2 * DIGEST_BYTES)
    )
    return np.frombuffer(bytearray(parents), dtype=np.uint8).reshape(-1, DIGEST_BYTES)


def _sorted_distinct(indices: Sequence[int], n: int) -> bool:
    values = [int(i) for i in indices]
    if not values or values[0] < 0 or values[-1] >= n:
        return False
    return all(low < high for low, high in pairwise(values))


def proof_length(n: int, indices: Sequence[int]) -> int:
    """Number of nodes in the multi-proof of sorted distinct `indices` in a tree with n leaves."""
    known = {int(i) for i in indices}
    total = 0
    while n > 1:
        total += sum(1 for i in known if i ^ 1 not in known and i ^ 1 < n)
        known = {i >> 1 for i in known}
        n = (n + 1) // 2
    return total


def verify_multiproof(
    root: bytes,
    n: int,
    indices: Sequence[int],
    leaf_digests: Sequence[bytes],
    nodes: Sequence[bytes],
    *,
    path: str = "merkle",
    digest_bytes: int = DIGEST_BYTES,
) -> None:
    """Check that `leaf_digests`, whole ones, are the leaves at `indices` of the n-leaf tree under `root`.

    Rejected at `path` + `.indices` (unsorted, repeated or out of range), `.leaves` (count or size),
    `.nodes` (missing, extra or wrong-sized nodes) or `.root` (another root).
    """
    if not _sorted_distinct(indices, n):
        raise Rejected(f"{path}.indices", f"leaf indices must be sorted, distinct and in [0, {n})")
    if len(leaf_digests) != len(indices) or any(len(d) != DIGEST_BYTES for d in leaf_digests):
        raise Rejected(f"{path}.leaves", "one whole digest per index", expected=len(indices))
    expected = proof_length(n, indices)
    if len(nodes) != expected or any(len(node) != digest_bytes for node in nodes):
        raise Rejected(f"{path}.nodes", "wrong number of nodes", expected=expected, got=len(nodes))
    known = {int(i): shortened(digest, digest_bytes) for i, digest in zip(indices, leaf_digests, strict=True)}
    supply = (shortened(node, digest_bytes) for node in nodes)
    empty = shortened(EMPTY_LEAF, digest_bytes)
    while n > 1:
        parents: dict[int, bytes] = {}
        for index, digest in known.items():  # ascending, since parents are inserted in order
            if index >> 1 in parents:
                continue
            sibling = known.get(index ^ 1)
            if sibling is None:
                sibling = next(supply) if index ^ 1 < n else empty
            pair = digest + sibling if index % 2 == 0 else sibling + digest
            parents[index >> 1] = shortened(sha256(NODE_HEADER + pair).digest(), digest_bytes)
        known = parents
        empty = shortened(node_digest(empty, empty), digest_bytes)
        n = (n + 1) // 2
    if known[0] != root:
        raise Rejected(f"{path}.root", "another root", expected=bytes(root).hex(), got=known[0].hex())
