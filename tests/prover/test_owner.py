"""The owner's library: commitments, budget, secrecy of bundles, and what failures leave behind."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from huref.circuits.fingerprint.profiles import HARDENED
from huref.circuits.inference_statement import InferenceStatement, prepare_inference
from huref.circuits.statement import prepare_range, prepare_statement
from huref.common.errors import InputOutputError, Malformed, ProverError, Rejected, UsageError
from huref.common.files import bundle as form
from huref.common.files.bundle import parse_bundle
from huref.common.files.commitment_file import FILE_NAME, CommitmentFile
from huref.common.files.identity import sign_manifest
from huref.common.files.keys import SecretKey
from huref.prover import owner
from huref.prover.checkpoint.families import open_model
from huref.prover.commitment import folder as commitment_folder
from huref.prover.commitment import leaf_cache
from huref.prover.commitment.budget import OpeningBudget
from huref.prover.commitment.positions import OpenedPositions
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.commitment.weights_file import new_weights
from huref.prover.inference.prove import Answered
from huref.prover.owner import Options, commit, prove
from huref.prover.run.fingerprint import derive
from huref.verifier import verify
from huref.verifier.argument.verify import verify_program
from huref.verifier.relations.verify import verify_relations
from tests import ROOT
from tests.conftest import Made
from tests.proof.programs import chain
from tests.support import tiny_models
from tests.support.forge import load


def root_of(folder: Path) -> str:
    """The public root of a commitment's folder."""
    return commitment_folder.read_public(folder).root


@pytest.fixture
def copy(
    tiny: Made, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The tiny model's commitment under another name, adopted as the original with a full budget."""
    folder = Path(shutil.copytree(tiny.commitment, tmp_path / "copy.commitment"))
    private = folder / commitment_folder.PRIVATE
    seed = (private / "seed").read_bytes()
    for name in ("lock", "witness.0", "witness.1", "state", "seed"):
        (private / name).unlink()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state-home")))
    public = commitment_folder.read_public(folder)
    rows = public.directory.random_rows
    with OpeningBudget.create(private, rows, seed=SecretSeed(seed)) as budget:
        budget.bind(public.root)
    return folder


def test_the_vector_is_the_fingerprints(tiny: Made) -> None:
    found = derive(open_model(tiny.checkpoint), HARDENED)
    said = tiny.proved.verdict.statement
    assert said.e == found.trace.v.tolist() and said.v == found.to_file().v
    assert said.shifts == found.trace.shifts and said.caps == {
        name: (cap.octave, cap.alive, cap.at, cap.above) for name, cap in found.trace.caps.items()
    }


def test_folder_and_permissions(tiny: Made) -> None:
    private = tiny.commitment / "private"
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert stat.S_IMODE((private / "seed").stat().st_mode) == 0o600
    public = commitment_folder.read_public(tiny.commitment)
    assert public.model_id == tiny.proved.verdict.model_id
    assert (tiny.bundle / form.COMMITMENT).read_bytes() == (tiny.commitment / form.COMMITMENT).read_bytes()
    assert {file.name for file in public.sources} == {"model.safetensors"}


def test_nothing_secret_enters_a_bundle(tiny: Made, monkeypatch: pytest.MonkeyPatch, copy: Path) -> None:
    """Seeds, pads, masks and weights of the very proof are searched for in every file of the bundle."""
    seeds: list[SecretSeed] = []

    def remember(*arguments: object, **options: object) -> SecretSeed:
        seed = fresh(*arguments, **options)  # type: ignore[arg-type]
        seeds.append(seed)
        return seed

    fresh = owner.fresh_proof_seed
    monkeypatch.setattr(owner, "fresh_proof_seed", remember)
    done = prove(None, copy.parent / "new.huref", commitment=copy)
    private = copy / "private"
    secret = (private / "seed").read_bytes()
    secrets = [secret, secret.hex().encode(), seeds[0].value, seeds[0].value.hex().encode()]
    for label in ("pads", "reduction masks", "proof mask", "weights mask", "proof.random"):
        elements = seeds[0].field_elements(label, 40).reshape(-1, 5).astype("<u4")
        secrets += [row.tobytes() for row in elements]
    secrets.append(SecretSeed(secret).field_elements("weights.random", 8).astype("<u4").tobytes())
    for tensor in commitment_folder.load(copy).source.weights.values():
        for row in (0, len(tensor) // 2, -1):
            run = tensor[row, :16]
            field = (run.astype(np.int64) % 2013265921).astype("<u4")
            secrets += [run.tobytes(), field.tobytes(), json.dumps(run.tolist())[1:-1].encode()]
            secrets.append(json.dumps(run.tolist(), separators=(",", ":"))[1:-1].encode())
    content = load(done.path)
    for name, data in content.items():
        for number, value in enumerate(secrets):
            assert value not in data, f"secret {number} in {name}"
    assert all(len(value) >= 16 for value in secrets)


def test_proofs_differ_and_spend_the_budget(copy: Path, tiny: Made) -> None:
    before = OpeningBudget.load(copy / "private", root_of(copy))
    left = before.remaining
    before.close()
    first = prove(None, copy.parent / "1.huref", commitment=copy)
    second = prove(tiny.checkpoint, copy.parent / "2.huref", commitment=copy)
    assert left > first.remaining > second.remaining
    assert (first.path / form.PROOF).read_bytes() != (second.path / form.PROOF).read_bytes()
    assert first.verdict.statement.v == second.verdict.statement.v
    with OpeningBudget.load(copy / "private", root_of(copy)) as budget:
        assert len(budget.opened) == left - second.remaining
        assert budget.proofs == 2


def test_the_counter_is_on_disk_before_positions_are_drawn(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the proof's randomness is made, the reservation was renamed into place and its folder synced."""
    synced: list[int] = []
    at_draw: list[tuple[int, int]] = []
    fsync, fresh = os.fsync, owner.fresh_proof_seed
    private = copy / "private"

    def record(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    def drawn(*arguments: object) -> SecretSeed:
        state = json.loads((private / "state").read_bytes())
        at_draw.append((state["reserved"], state["proofs"]))
        content = synced.index((private / "state").stat().st_ino)
        assert synced[content + 1] == private.stat().st_ino
        return fresh(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", record)
    monkeypatch.setattr(owner, "fresh_proof_seed", drawn)
    done = prove(None, copy.parent / "x.huref", commitment=copy)
    assert at_draw == [
        (prepare_statement(done.verdict.statement, done.verdict.commitment).geometry.weights.queries, 1)
    ]


def test_an_exhausted_budget_writes_no_bundle(copy: Path) -> None:
    OpeningBudget.restore(copy / "private", root_of(copy), everything=True).close()
    with pytest.raises(ProverError, match="opening budget"):
        prove(None, copy.parent / "x.huref", commitment=copy)
    assert not (copy.parent / "x.huref").exists()


def test_a_copied_private_state_is_refused(tiny: Made, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny.commitment, tmp_path / "c"))
    with pytest.raises(ProverError, match="copy"):
        prove(None, tmp_path / "x.huref", commitment=folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c"]


@pytest.mark.parametrize("failing", ["prove_program", "verify"])
def test_a_failed_proof_leaves_nothing_and_forfeits_its_positions(
    copy: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Rejected("opening.final", "made to fail")

    monkeypatch.setattr(owner, failing, fail)
    with pytest.raises((ProverError, Rejected)) as caught:
        prove(None, copy.parent / "x.huref", commitment=copy)
    assert "made to fail" in caught.value.message
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]
    with OpeningBudget.load(copy / "private", root_of(copy)) as budget:
        assert budget.remaining < commitment_folder.read_public(copy).directory.random_rows - 1
        assert not budget.opened


def test_an_interrupted_commit_leaves_nothing(
    tiny: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commitment_folder, "commit_weights", interrupt)
    with pytest.raises(KeyboardInterrupt):
        commit(tiny.checkpoint, tmp_path / "c", Options(proofs=16))
    assert list(tmp_path.iterdir()) == []


def test_a_commitment_is_made_without_torch(tiny: Made, tmp_path: Path) -> None:
    """Importing it takes longer than committing to a small model."""
    code = (
        "import sys\nfrom huref.prover.owner import Options, commit\n"
        f"commit({str(tiny.checkpoint)!r}, {str(tmp_path / 'c')!r}, Options(proofs=16), device='cpu')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_another_checkpoint_is_refused(other: Made, copy: Path) -> None:
    with pytest.raises(ProverError, match="not the checkpoint"):
        prove(other.checkpoint, copy.parent / "x.huref", commitment=copy)


def test_damaged_private_files_are_noticed(copy: Path) -> None:
    path = copy / "private" / "weights.npy"
    assert path.stat().st_mode & 0o777 == 0o600
    whole, stack = path.read_bytes(), np.load(path)
    stack[0, 0] ^= 1
    np.save(path, stack)
    with pytest.raises(ProverError, match="another root"):
        commitment_folder.load(copy)
    for other in (stack[:-1], stack.astype(np.int16), stack.reshape(-1), np.asfortranarray(stack)):
        np.save(path, other)
        with pytest.raises(Malformed, match="shape"):
            commitment_folder.load(copy)
    for data in (b"\x80\x04.", b"", whole[:-1], whole[:20]):  # the first is a pickle
        path.write_bytes(data)
        with pytest.raises(Malformed, match="not a tensor"):
            commitment_folder.load(copy)
    path.unlink()
    with pytest.raises(InputOutputError, match="weights"):
        commitment_folder.load(copy)


def test_a_public_file_that_does_not_fit_its_parameters_is_refused(copy: Path) -> None:
    public = commitment_folder.read_public(copy)
    said = public.directory
    for changed in ({"width": 2 * said.width}, {"tensors": said.tensors[1:]}):
        directory = said.model_copy(update=changed)
        edited = CommitmentFile.of(directory, public.root, public.sources)
        (copy / FILE_NAME).write_bytes(edited.encode())
        with pytest.raises(Malformed, match=rf"directory\.{next(iter(changed))}"):
            commitment_folder.load(copy)
        (copy / FILE_NAME).write_bytes(edited.model_copy(update={"model_id": public.model_id}).encode())
        with pytest.raises(Malformed, match="model_id"):
            commitment_folder.load(copy)


def test_bundles_are_signed_by_the_owner_alone(copy: Path, tmp_path: Path) -> None:
    key, stranger = SecretKey(11), SecretKey(12)
    with pytest.raises(UsageError, match="names no owner"):
        prove(None, tmp_path / "a.huref", commitment=copy, key=key)
    checkpoint = tiny_models.build("bert", tmp_path / "model")
    done = prove(checkpoint, tmp_path / "b.huref", Options(proofs=2), key=key)
    assert done.verdict.directory.owner == key.public_key == done.verdict.signer
    for wrong in (None, stranger):
        with pytest.raises(UsageError, match="must be signed by its owner"):
            prove(None, tmp_path / "c.huref", commitment=done.commitment, key=wrong)
    signature = done.path / form.SIGNATURE
    digest = bytes.fromhex(form.FileEntry.of((done.path / form.MANIFEST).read_bytes()).sha256)
    signature.write_bytes(sign_manifest(stranger, digest).encode())
    with pytest.raises(Rejected) as caught:
        verify(done.path)
    assert caught.value.path == "signature.signer"
    signature.unlink()
    with pytest.raises(Rejected) as caught:
        verify(done.path)
    assert caught.value.path == "signature.signer"


def test_loaded_weights_are_views_whose_changes_stay_in_memory(copy: Path) -> None:
    path = copy / "private" / "weights.npy"
    before = path.read_bytes()
    opened = commitment_folder.load(copy)
    for tensor in opened.source.weights.values():
        assert np.shares_memory(tensor, opened.committed.data)
        tensor[:] = 1
    assert path.read_bytes() == before


def test_kept_leaf_digests_are_a_shortcut_only(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They give the root without encoding; damaged, cut or missing ones are made again."""
    root = commitment_folder.read_public(copy).root
    path = copy / "private" / "leaves"
    assert path.stat().st_mode & 0o777 == 0o600
    with monkeypatch.context() as patch:
        patch.setattr("huref.prover.commitment.weights.commit", None)
        assert commitment_folder.load(copy).committed.root.hex() == root
    kept = path.read_bytes()
    for damaged in (kept[:-1], kept[:-1] + bytes([kept[-1] ^ 1]), bytes([kept[0] ^ 1]) + kept[1:]):
        path.write_bytes(damaged)
        assert commitment_folder.load(copy).committed.root.hex() == root
    path.unlink()
    assert commitment_folder.load(copy).committed.root.hex() == root


def test_private_files_are_never_open_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are made with their mode, whatever the umask, not narrowed later."""
    monkeypatch.setattr(os, "fchmod", lambda *_: None)
    monkeypatch.setattr(os, "chmod", lambda *_, **__: None)
    before = os.umask(0)
    try:
        weights = new_weights(tmp_path, chain().program, 32)
        digest = leaf_cache.digest_of(weights.data)
        leaf_cache.write(tmp_path, digest, SecretSeed.fresh(), np.zeros((2, 32), np.uint8))
        OpeningBudget.create(tmp_path / "private", 9).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o700
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 7 and all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)


def test_options_must_fit(copy: Path, tiny: Made, tmp_path: Path) -> None:
    for options in (Options(k=128), Options(security=128), Options(profile="paper"), Options(proofs=3)):
        with pytest.raises(UsageError, match="was made with"):
            prove(None, tmp_path / "x.huref", options, commitment=copy)
    for options in (Options(security=80), Options(proofs=0), Options(k=1 << 20), Options(k=63)):
        with pytest.raises(UsageError):
            commit(tiny.checkpoint, tmp_path / "y", options)
    with pytest.raises(UsageError, match="exists"):
        commit(tiny.checkpoint, copy, Options(proofs=16))
    with pytest.raises(UsageError, match="exists"):
        prove(None, tiny.bundle, commitment=copy)
    assert not (tmp_path / "x.huref").exists() and not (tmp_path / "y").exists()


def test_every_opened_position_is_counted(tiny: Made, answered: Answered) -> None:
    from huref.verifier import inspect

    shown = set(inspect(tiny.bundle).proof.positions["opening.weights"])
    public, of_range = commitment_folder.read_public(tiny.commitment), OpenedPositions()
    said, setup = prepare_range(public)
    proof = (tiny.bundle / form.RANGE).read_bytes()
    verify_program(setup, said.encode(), bytes.fromhex(public.root), proof, recorder=of_range)
    files, of_answer = load(answered.path), OpenedPositions()
    answer = InferenceStatement.decode(files[form.INFERENCE], form.INFERENCE)
    relations, root, proof = (
        prepare_inference(answer, public),
        bytes.fromhex(public.root),
        files[form.INFERENCE_PROOF],
    )
    verify_relations(relations, answer.encode(), root, proof, public.directory.security, of_answer)
    with OpeningBudget.load(tiny.commitment / "private", root_of(tiny.commitment)) as budget:
        parts = shown, set(of_range.found.tolist()), set(of_answer.found.tolist())
        assert budget.opened == set().union(*parts) and all(part < budget.opened for part in parts)


def test_a_bundle_with_128_bits(tmp_path: Path) -> None:
    checkpoint = tiny_models.build("gpt2", tmp_path / "model")
    done = prove(checkpoint, tmp_path / "a.huref", Options(security=128, proofs=2))
    assert done.verdict.security.bits >= 128
    assert parse_bundle(Path(), load(done.path)).manifest.security.level == 128


def test_the_library_is_reached_by_the_packages() -> None:
    import huref.prover
    import huref.verifier

    assert huref.prover.prove is owner.prove and huref.prover.commit is owner.commit
    assert callable(huref.verifier.verify) and callable(huref.verifier.inspect)
    with pytest.raises(AttributeError):
        _ = huref.prover.nothing
