"""Bundles of tiny models, made once per session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from huref.prover.inference.prove import Answered, Question, prove_inference
from huref.prover.owner import Options, Proved, prove
from tests.support import tiny_models


@dataclass(frozen=True)
class Made:
    """A tiny model's checkpoint with its commitment and bundle."""

    checkpoint: Path
    proved: Proved

    @property
    def bundle(self) -> Path:
        """The bundle's folder."""
        return self.proved.path

    @property
    def commitment(self) -> Path:
        """The commitment's folder."""
        return self.proved.commitment


def _make(folder: Path, seed: int) -> Made:
    checkpoint = tiny_models.build("llama", folder / "model", seed)
    return Made(checkpoint, prove(checkpoint, folder / "tiny.huref", Options(proofs=16)))


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """High-water marks of commitments and the memory of range proofs lie here, not in the developer's home."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("state-home")
        patch.setenv("XDG_STATE_HOME", str(folder))
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A proven tiny LLaMA; tests must not change its files."""
    return _make(tmp_path_factory.mktemp("tiny"), 0)


@pytest.fixture(scope="session")
def answered(tiny: Made, tmp_path_factory: pytest.TempPathFactory) -> Answered:
    """The tiny model's bundle with a proof of inference: three tokens of its own behind four."""
    out = tmp_path_factory.mktemp("answered") / "answer.huref"
    question = Question([3, 7, 11, 20], 4, generate=3)
    return prove_inference(tiny.commitment, out, [question], fingerprint=tiny.bundle)


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Another model of the same shape, with its bundle."""
    return _make(tmp_path_factory.mktemp("other"), 1)
