"""Statements on a whole model's root stand and fall with its range proof (protocol §6.8)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from huref.common.errors import Damaged, HurefError, Malformed, Rejected
from huref.common.files import bundle as form
from huref.common.files.bundle import parse_bundle
from huref.common.files.commitment_file import CommitmentFile
from huref.verifier import ranges
from huref.verifier.ranges import verify_range
from huref.verifier.report.inspection import inspect
from tests import ROOT
from tests.conftest import Made
from tests.support.forge import Files, check, load, reseal


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is remembered yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "huref" / "verified-ranges"


@pytest.fixture
def files(tiny: Made, cache: Path) -> Files:
    return load(tiny.bundle)


class Calls(list[bytes]):
    """Proofs that were really verified."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    found = Calls()
    original = ranges.verify_program

    def counted(setup: object, statement: bytes, root: bytes, proof: bytes, *more: object) -> object:
        found.append(proof)
        return original(setup, statement, root, proof, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(ranges, "verify_program", counted)
    yield found


def test_the_untouched_bundle_verifies(files: Files) -> None:
    assert check(files, require_image=True).security.bits >= 100


def test_left_out(files: Files) -> None:
    del files[form.RANGE]
    with pytest.raises(Damaged):
        check(files)
    with pytest.raises(Rejected, match=r"files\.range.*is missing"):
        check(reseal(files))


def test_there_without_need(files: Files) -> None:
    """No file rides along that nothing looks at."""
    small = load(ROOT / "tests" / "vectors" / "bundles" / "paper.huref")
    with pytest.raises(Damaged):
        check({**small, form.RANGE: files[form.RANGE]})
    with pytest.raises(Rejected, match=r"files\.range.*not needed"):
        check(reseal({**small, form.RANGE: files[form.RANGE]}))


def test_of_another_model(other: Made, files: Files) -> None:
    foreign = load(other.bundle)[form.RANGE]
    with pytest.raises(Rejected):
        check(reseal({**files, form.RANGE: foreign}))


@pytest.mark.parametrize("place", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_changed_bit(place: float, files: Files) -> None:
    proof = bytearray(files[form.RANGE])
    proof[int(place * (len(proof) - 1))] ^= 1
    with pytest.raises(HurefError) as caught:
        check(reseal({**files, form.RANGE: bytes(proof)}))
    assert isinstance(caught.value, Rejected | Malformed)


@pytest.mark.parametrize("edit", [lambda p: p[:-1], lambda p: p + b"\0", lambda p: b""])
def test_another_length(edit: object, files: Files) -> None:
    with pytest.raises(HurefError):
        check(reseal({**files, form.RANGE: edit(files[form.RANGE])}))  # type: ignore[operator]


def test_the_fingerprint_proof_is_no_range_proof(files: Files) -> None:
    with pytest.raises(HurefError):
        check(reseal({**files, form.RANGE: files[form.PROOF]}))


def test_it_is_verified_once(calls: Calls, files: Files, cache: Path) -> None:
    check(files)
    check(files)
    assert len(calls) == 1
    assert [path.stat().st_size for path in cache.iterdir()] == [0]


def test_an_inspection_shows_it_though_it_is_remembered(calls: Calls, files: Files) -> None:
    check(files)
    (other,) = inspect(parse_bundle(Path("a"), files)).others
    assert other.file == form.RANGE and other.messages[0].label == "config" and len(calls) == 2


def test_nothing_that_failed_is_remembered(calls: Calls, other: Made, files: Files) -> None:
    changed = reseal({**files, form.RANGE: load(other.bundle)[form.RANGE]})
    for _ in range(2):
        with pytest.raises(Rejected):
            check(changed)
    assert len(calls) == 2


def test_what_is_remembered_is_of_one_model_and_one_proof(
    calls: Calls, tiny: Made, other: Made, cache: Path
) -> None:
    """The same proof under another id, and another proof under the same id, are verified themselves."""
    one, two = (CommitmentFile.decode(load(made.bundle)[form.COMMITMENT], "file") for made in (tiny, other))
    mine, foreign = (load(made.bundle)[form.RANGE] for made in (tiny, other))
    verify_range(one, mine)
    for commitment, proof in ((two, mine), (one, foreign)):
        with pytest.raises(Rejected):
            verify_range(commitment, proof)
    assert calls == [mine, mine, foreign]


def test_a_memory_that_others_can_write_is_none(calls: Calls, files: Files, cache: Path) -> None:
    check(files)
    for place, mode in ((cache, 0o770), (cache.parent, 0o757)):
        kept = place.stat().st_mode & 0o777
        place.chmod(mode)
        check(files)
        place.chmod(kept)
    assert len(calls) == 3
    check(files)
    assert len(calls) == 3


def test_a_memory_of_another_user_or_behind_a_link_is_none(
    calls: Calls, files: Files, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(files)
    user = os.getuid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: user + 1)
        check(files)
    assert len(calls) == 2
    elsewhere = cache.rename(cache.with_name("elsewhere"))
    cache.symlink_to(elsewhere)
    check(files)
    assert len(calls) == 3


def test_it_is_remembered_where_new_folders_are_open_to_the_group(calls: Calls, files: Files) -> None:
    before = os.umask(0o002)
    try:
        check(files)
        check(files)
    finally:
        os.umask(before)
    assert len(calls) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_without_a_memory(
    calls: Calls, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    check(files)
    check(files)
    tmp_path.chmod(0o700)
    assert len(calls) == 2


def test_where_no_folder_can_be_nothing_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    ranges._remember("0" * 64, b"proof")
    assert not ranges._recall("0" * 64, b"proof")


def test_without_a_home_folder_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(Path, "home", nowhere)
    ranges._remember("0" * 64, b"proof")
    assert not ranges._recall("0" * 64, b"proof")


def test_a_system_that_numbers_no_users_has_a_memory(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "getuid")
    ranges._remember("0" * 64, b"proof")
    assert ranges._recall("0" * 64, b"proof") and cache.is_dir()


def test_the_folder_one_stands_in_is_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative cache would be in every folder that somebody else packed, with what they say was verified."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "unpacked").mkdir()
    monkeypatch.chdir(tmp_path / "unpacked")
    for name in (".", "cache", ""):
        monkeypatch.setenv("XDG_CACHE_HOME", name)
        ranges._remember("0" * 64, b"proof")
        assert ranges._recall("0" * 64, b"proof")
    assert not list(Path().iterdir()) and (tmp_path / "home" / ".cache" / "huref").is_dir()


def test_the_level_counts_for_it_too(files: Files, tiny: Made) -> None:
    commitment = CommitmentFile.decode(files[form.COMMITMENT], "file")
    for _ in range(2):  # verified, then remembered
        with pytest.raises(Rejected, match="security"):
            verify_range(commitment, files[form.RANGE], 128)
        verify_range(commitment, files[form.RANGE])
