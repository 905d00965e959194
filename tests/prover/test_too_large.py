"""A model that no verifier takes is refused before its files are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from huref.circuits import commitment
from huref.common.errors import Unsupported
from huref.prover import owner
from tests.support import tiny_models


def test_too_large_a_model_is_refused_before_its_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Any:
        raise RuntimeError("the files were read")

    folder = tiny_models.build("llama", tmp_path / "model")
    monkeypatch.setattr(commitment, "MAX_COMMITTED", 1000)
    monkeypatch.setattr(owner, "describe_files", never)
    with pytest.raises(Unsupported, match=r"committed weights, .* is too large") as caught:
        owner.commit(folder, tmp_path / "out")
    assert caught.value.hint is not None and "at most 1000 weights" in caught.value.hint
    assert not (tmp_path / "out").exists()
