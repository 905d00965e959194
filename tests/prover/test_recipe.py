"""`huref commit --keep recipe`: no integers on disk, the same ones whenever they are needed, or a clear refusal."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from huref.common.cli import app, register
from huref.common.errors import ExitCode, InputOutputError, Malformed, ProverError, UsageError
from huref.common.files.bundle import RANGE
from huref.prover.commitment import folder as commitment_folder
from huref.prover.commitment.folder import OpenedCommitment
from huref.prover.commitment.weights_file import nameless_weights
from huref.prover.devices.compiled import COMPILED
from huref.prover.owner import Options, commit, open_commitment
from huref.prover.progress import Progress
from huref.verifier.ranges import verify_range
from tests.conftest import Made
from tests.proof.programs import chain
from tests.support import tiny_models

if not any(command.name == "range" for command in app.registered_commands):
    register(app)


def huref(*args: object) -> tuple[int, str]:
    """Exit code and stderr of a command."""
    done = CliRunner().invoke(app, [str(a) for a in args])
    assert not isinstance(done.exception, Exception), done.exception
    return done.exit_code, done.stderr


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with the checkpoint `model` and its commitment `c`, whose range is not proven yet."""
    tiny_models.build("llama", tmp_path / "model", 0)
    options = Options(proofs=4, keep="recipe")
    commit(tmp_path / "model", tmp_path / "c", options, prove_range=False)
    return tmp_path


def opened(folder: Path, checkpoint: Path | None = None) -> OpenedCommitment:
    return open_commitment(folder, COMPILED, checkpoint, Progress())


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "private").iterdir()}


def test_the_integers_are_made_again(made: Path, tiny: Made) -> None:
    """They are those that another commitment to the model keeps, and are on disk under no name."""
    kept = commitment_folder.load(tiny.commitment)
    before = names(made / "c")
    assert before == (names(tiny.commitment) - {"weights.npy"}) | {"recipe.json"}
    assert stat.S_IMODE((made / "c" / "private" / "recipe.json").stat().st_mode) == 0o600
    again = opened(made / "c")
    assert np.array_equal(again.committed.data, kept.committed.data)
    assert set(again.source.weights) == set(kept.source.weights)
    assert again.committed.root.hex() == again.public.root
    assert names(made / "c") == before


def test_range_by_the_command(made: Path) -> None:
    before = names(made / "c")
    code, said = huref("range", made / "c")
    assert code == 0, said
    verify_range(commitment_folder.read_public(made / "c"), (made / "c" / RANGE).read_bytes())
    assert names(made / "c") == before


def test_a_checkpoint_that_is_gone_or_moved(made: Path) -> None:
    (made / "model").rename(made / "moved")
    code, said = huref("range", made / "c")
    assert code == ExitCode.IO and "its checkpoint cannot be read" in said and "--checkpoint" in said
    assert not (made / "c" / RANGE).exists()
    with pytest.raises(ProverError, match="keeps no integers"):
        commitment_folder.load(made / "c")
    assert opened(made / "c", made / "moved").committed.root.hex() == opened_root(made / "c")
    assert huref("range", made / "c", "--checkpoint", made / "moved")[0] == 0


def opened_root(folder: Path) -> str:
    return commitment_folder.read_public(folder).root


def test_a_checkpoint_that_was_changed(made: Path) -> None:
    """In one number, in its files, or in its shape; nothing is drawn from the budget."""
    weights = made / "model" / "model.safetensors"
    content, state = weights.read_bytes(), (made / "c" / "private" / "state").read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 0x80]))  # a sign
    code, said = huref("range", made / "c")
    assert code != 0 and "gives other integers" in said
    weights.write_bytes(content)
    with pytest.raises(ProverError, match="other files"):
        opened(made / "c", tiny_models.build("bert", made / "bert", 0))
    config = json.loads((made / "model" / "config.json").read_text())
    config["num_attention_heads"], config["num_key_value_heads"] = 2, 1
    config["head_dim"] = 32
    (made / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ProverError, match="another shape"):
        opened(made / "c")
    assert (made / "c" / "private" / "state").read_bytes() == state
    assert not (made / "c" / RANGE).exists()


def test_a_recipe_of_another_commitment(made: Path, tiny: Made) -> None:
    """Right integers under a seed and root that they do not belong to."""
    copy = made / "copy"
    shutil.copytree(tiny.commitment, copy)
    (copy / "private" / "weights.npy").unlink()
    shutil.copy(made / "c" / "private" / "recipe.json", copy / "private")
    assert opened(copy).committed.root.hex() == opened_root(copy)
    shutil.copy(made / "c" / "private" / "seed", copy / "private")
    with pytest.raises(ProverError, match="another root"):
        opened(copy)


def test_recipes_that_are_none(made: Path) -> None:
    path = made / "c" / "private" / "recipe.json"
    good = json.loads(path.read_text())
    for wrong in ({}, [], {**good, "format": "x"}, {**good, "checkpoint": 3}, {**good, "digest": "xyz"}):
        path.write_text(json.dumps(wrong))
        with pytest.raises(Malformed, match="recipe"):
            opened(made / "c")


def test_a_file_without_a_name(tmp_path: Path) -> None:
    """What a dead process left in between is removed; the space is there though no folder shows it."""
    (tmp_path / "weights.tmp").write_bytes(b"left")
    weights = nameless_weights(tmp_path, chain().program, 32)
    weights.data[:] = 3
    assert list(tmp_path.iterdir()) == [] and int(weights.data.sum(dtype=np.int64)) == 3 * weights.data.size
    with pytest.raises(InputOutputError, match="missing"):
        nameless_weights(tmp_path / "missing", chain().program, 32)


def test_what_cannot_be_kept(tmp_path: Path, made: Path) -> None:
    with pytest.raises(UsageError, match="keeps its few weights"):
        commit(made / "model", tmp_path / "d", Options("paper", keep="recipe"))
    with pytest.raises(UsageError, match="weights or recipe"):
        commit(made / "model", tmp_path / "d", Options(keep="all"))
    with pytest.raises(UsageError) as caught:
        commit(made / "model", made / "c", Options())
    assert caught.value.hint is not None and f"huref range {made / 'c'}" in caught.value.hint
