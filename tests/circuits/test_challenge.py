"""Challenges: how a joint one is drawn, how they are read, and how many a root answers."""

from __future__ import annotations

import hashlib

import pytest

from huref.circuits.challenge import joint_challenge, most_challenges, parse_beacon, parse_challenge
from huref.common.errors import UsageError

ONE, OTHER = "1f" * 32, "e0" * 32
BOTH = bytes.fromhex(ONE + OTHER)


def test_it_is_a_hash_of_both_ids_in_their_order() -> None:
    tag = b"huref/challenge/1" + bytes(15)
    assert joint_challenge(ONE, OTHER) == hashlib.sha256(tag + BOTH).hexdigest()
    assert joint_challenge(OTHER, ONE) == joint_challenge(ONE, OTHER)


def test_the_beacon_comes_last() -> None:
    tag = b"huref/challenge/1" + bytes(15)
    assert joint_challenge(OTHER, ONE, b"abc") == hashlib.sha256(tag + BOTH + b"abc").hexdigest()
    found = {joint_challenge(ONE, OTHER, beacon) for beacon in (b"", b"\0", b"\1", b"\0\0")}
    assert len(found) == 4


def test_every_id_counts() -> None:
    third = "00" * 32
    assert len({joint_challenge(*pair) for pair in ((ONE, OTHER), (ONE, third), (OTHER, third))}) == 3


def test_one_model_has_no_joint_challenge_with_itself() -> None:
    with pytest.raises(UsageError, match="both sides have the model id"):
        joint_challenge(ONE, ONE, b"beacon")


@pytest.mark.parametrize("text", [OTHER, OTHER.upper(), "0x" + OTHER, "0X" + OTHER.upper(), f" {OTHER}\n"])
def test_challenges_are_64_hex_digits(text: str) -> None:
    assert parse_challenge(text) == bytes.fromhex(OTHER)


def test_no_challenge() -> None:
    assert parse_challenge(None) == b"" and parse_beacon(None) == b""


@pytest.mark.parametrize(
    "text", ["", "0x", OTHER[1:], OTHER + "00", "g" + OTHER[1:], OTHER[:32] + " " + OTHER[32:]]
)
def test_what_is_no_challenge(text: str) -> None:
    with pytest.raises(UsageError, match="64 hex digits"):
        parse_challenge(text)


@pytest.mark.parametrize("text", ["00", "0xAb", "ab" * 1024, " 00\n"])
def test_beacons_are_bytes_in_hex(text: str) -> None:
    assert parse_beacon(text) == bytes.fromhex(text.strip().removeprefix("0x"))


@pytest.mark.parametrize("text", ["", "0x", "abc", "zz", "ab" * 1025, "ab ab"])
def test_what_is_no_beacon(text: str) -> None:
    with pytest.raises(UsageError, match="beacon"):
        parse_beacon(text)


@pytest.mark.parametrize(
    ("hidden", "most"), [(1, 1), (64, 1), (104, 1), (105, 2), (576, 60), (4096, 3072), (8192, 12288)]
)
def test_how_many_are_answered(hidden: int, most: int) -> None:
    """A quarter of those whose answers have as many numbers as three operators, at least one."""
    assert most_challenges(hidden, 4096) == most
    assert most == 1 or 4 * 4096 * most <= 3 * hidden * hidden < 4 * 4096 * (most + 1)
