"""`hardened-2`'s public tables, drawn again in plain Python."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest

from huref.circuits.fingerprint.hardened.constants import FEWEST_TOKENS
from huref.circuits.fingerprint.hardened.tables import output_map, pool_count, segments, sketches
from huref.common.errors import UsageError

TOKENS = [b"token %d" % n for n in range(300)]
CHALLENGE = bytes(range(32))


@pytest.mark.parametrize("challenge", [b"", CHALLENGE])
def test_a_tokens_places_and_signs(challenge: bytes) -> None:
    left, right = sketches(TOKENS, 32, challenge)
    for k, token in enumerate(TOKENS):
        seed = b"huref fingerprint 2|" + challenge.hex().encode() + b"|token|" + token
        words = struct.unpack("<8I", hashlib.sha256(seed).digest())
        assert (left.pool[k], right.pool[k]) == (words[0] % 32, words[2] % 32)
        assert (left.sign[k], right.sign[k]) == (1 - 2 * (words[1] & 1), 1 - 2 * (words[3] & 1))


@pytest.mark.parametrize("challenge", [b"", CHALLENGE])
@pytest.mark.parametrize("term", [0, 1, 2])
def test_where_a_terms_entries_go(challenge: bytes, term: int) -> None:
    pools, name = 32, ("qk", "vo", "ud")[term]
    place, sign = output_map(term, pools, challenge)
    seed = b"huref fingerprint 2|" + challenge.hex().encode() + b"|"
    keys = hashlib.shake_256(seed + f"place {name}|".encode()).digest(8 * pools * pools)
    order = sorted(range(pools * pools), key=lambda n: int.from_bytes(keys[8 * n : 8 * n + 8], "little"))
    run = segments()[term]
    found = place.reshape(-1)
    for i, entry in enumerate(order):
        assert found[entry] == run.start + i % (run.stop - run.start)
    bits = hashlib.shake_256(seed + f"sign {name}|".encode()).digest(pools * pools)
    assert sign.reshape(-1).tolist() == [1 - 2 * (bit & 1) for bit in bits]


def test_terms_fill_all_outputs_evenly() -> None:
    """512 runs of eight are dealt out to three terms, so that v has whole runs too."""
    runs = segments()
    assert [(run.start, run.stop) for run in runs] == [(0, 1368), (1368, 2736), (2736, 4096)]
    for term, run in enumerate(runs):
        place, _ = output_map(term, 128, b"")
        counts = np.bincount(place.reshape(-1), minlength=4096)
        assert counts[run].min() >= 128 * 128 // (run.stop - run.start) and counts.sum() == counts[run].sum()
        assert counts[run].max() <= -(-128 * 128 // (run.stop - run.start))


@pytest.mark.parametrize(
    ("tokens", "pools"), [(256, 32), (511, 32), (512, 64), (1023, 64), (1024, 128), (65536, 128)]
)
def test_how_many_pools(tokens: int, pools: int) -> None:
    assert pool_count(tokens) == pools


def test_too_few_tokens_for_a_fingerprint() -> None:
    assert FEWEST_TOKENS == 256
    with pytest.raises(UsageError, match="at least 256"):
        pool_count(255)


@pytest.mark.parametrize("length", [1, 31, 33])
def test_a_challenge_has_32_bytes(length: int) -> None:
    for draw in (lambda c: sketches(TOKENS, 32, c), lambda c: output_map(0, 32, c)):
        with pytest.raises(UsageError, match="32 bytes"):
            draw(bytes(length))
