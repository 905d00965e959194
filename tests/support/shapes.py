"""Shapes of real models; tests name what is different in theirs."""

from __future__ import annotations

from dataclasses import replace

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.facts import SHIFTED, Shifts

SMOL = ModelShape(
    family="llama",
    hidden=576,
    heads=9,
    kv_heads=3,
    head_dim=64,
    ffn=1536,
    vocab=49152,
    layers=30,
    gated=True,
    norm="rms",
    norm_position="pre",
    rotary="half",
    rotary_dim=64,
)


def all_shifts(low: int, high: int) -> Shifts:
    """One range of secret shifts for every tensor of a gated model; rows of the head are of like size."""
    return tuple((name, (low, min(high, 12) if name == "head" else high)) for name in SHIFTED)


SEVEN_B = replace(
    SMOL, hidden=4096, heads=32, kv_heads=32, head_dim=128, ffn=11008, rotary_dim=128, layers=32
)
SEVENTY_B = replace(SEVEN_B, hidden=8192, heads=64, kv_heads=8, ffn=28672, layers=80)
