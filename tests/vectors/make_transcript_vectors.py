"""Writes transcript.json: the transcript of protocol §5.1 and grinding of §1, in plain hashlib and integers.

Nothing of the project is imported; it is written from docs/protocol.md alone.
Run from the repository root: python tests/vectors/make_transcript_vectors.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

P = 15 * 2**27 + 1


def frame(kind: bytes, tag: bytes, data: bytes) -> bytes:
    """u8 |kind| ‖ kind ‖ u8 |tag| ‖ tag ‖ u64 |data| ‖ data."""
    return bytes([len(kind)]) + kind + bytes([len(tag)]) + tag + len(data).to_bytes(8, "little") + data


class Oracle:
    """The whole stream is kept; every challenge hashes it from the start."""

    def __init__(self) -> None:
        self.stream = frame(b"init", b"huref/proof/1", b"")

    def absorb(self, label: str, data: bytes) -> None:
        """One message."""
        self.stream += frame(b"absorb", label.encode(), data)

    def squeeze(self, label: str, count: int) -> bytes:
        """`count` bytes of the challenge `label`."""
        self.stream += frame(b"challenge", label.encode(), b"")
        return hashlib.shake_256(self.stream).digest(count)

    def elements(self, label: str, count: int) -> list[list[int]]:
        """`count` elements of K as five limbs each."""
        data = self.squeeze(label, 40 * count + 4000)
        words = [int.from_bytes(data[i : i + 4], "little") & 0x7FFFFFFF for i in range(0, len(data), 4)]
        kept = [word for word in words if word < P]
        return [kept[5 * i : 5 * i + 5] for i in range(count)]

    def positions(self, label: str, count: int, bound: int) -> list[int]:
        """`count` distinct positions below `bound`, sorted."""
        bits = max(1, (bound - 1).bit_length())
        data = self.squeeze(label, 8 * (100 * count + 1000))
        found: list[int] = []
        for i in range(0, len(data), 8):
            word = int.from_bytes(data[i : i + 8], "little") % (1 << bits)
            if word < bound and word not in found and len(found) < count:
                found.append(word)
        if len(found) < count:
            raise RuntimeError("squeeze more bytes")
        return sorted(found)


def nonce_for(seed: bytes, bits: int) -> int:
    """The smallest nonce that passes."""
    nonce = 0
    while True:
        digest = hashlib.sha256(b"huref/grind\x00" + seed + nonce.to_bytes(8, "little")).digest()
        if int.from_bytes(digest, "big") < 1 << (256 - bits):
            return nonce
        nonce += 1


SCRIPT: list[dict[str, Any]] = [
    {"op": "absorb", "label": "config", "data": "00" * 32},
    {"op": "absorb", "label": "statement", "data": ""},
    {"op": "elements", "label": "lookup.alpha", "count": 1},
    {"op": "elements", "label": "lookup.alpha", "count": 1},
    {"op": "absorb", "label": "long", "data": bytes(range(256)).hex() * 3},
    {"op": "elements", "label": "point", "count": 60},
    {"op": "grind", "label": "opening.grind", "bits": 12},
    {"op": "positions", "label": "few of many", "count": 9, "bound": 327680},
    {"op": "positions", "label": "power of two", "count": 20, "bound": 64},
    {"op": "positions", "label": "nearly all", "count": 39, "bound": 40},
    {"op": "positions", "label": "one of one", "count": 1, "bound": 1},
    {"op": "absorb", "label": "ℓ", "data": "ff"},
    {"op": "elements", "label": "last", "count": 2},
]
"""What to do in order. A grind draws a seed, finds the nonce and absorbs it."""


def run() -> list[dict[str, Any]]:
    """The script with the results filled in."""
    oracle, steps = Oracle(), []
    for step in SCRIPT:
        step = dict(step)
        if step["op"] == "absorb":
            oracle.absorb(step["label"], bytes.fromhex(step["data"]))
        elif step["op"] == "elements":
            step["result"] = oracle.elements(step["label"], step["count"])
        elif step["op"] == "positions":
            step["result"] = oracle.positions(step["label"], step["count"], step["bound"])
        else:
            seed = oracle.squeeze(step["label"] + ".seed", 32)
            step["seed"], step["nonce"] = seed.hex(), nonce_for(seed, step["bits"])
            oracle.absorb(step["label"] + ".nonce", step["nonce"].to_bytes(8, "little"))
        steps.append(step)
    return steps


def main() -> None:
    """Recompute the file."""
    path = Path(__file__).with_name("transcript.json")
    path.write_text(json.dumps(run(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
