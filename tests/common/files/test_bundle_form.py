"""What may be a bundle at all: files, sizes, canonical encodings; nothing here reaches the proof."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from huref.common.errors import Damaged, InputOutputError, Malformed, Rejected
from huref.common.files import bundle as form
from huref.common.files.bundle import is_bundle, pack_bundle, parse_bundle, read_bundle
from huref.common.files.canonical import canonical_json, parse_canonical
from tests.conftest import Made
from tests.support.forge import load, with_manifest


@pytest.fixture
def copy(tiny: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.bundle, tmp_path / "copy.huref"))


def test_an_honest_bundle_is_well_formed(tiny: Made) -> None:
    read = read_bundle(tiny.bundle)
    assert set(read.files) == {form.MANIFEST, form.RANGE, *form.LISTED}
    assert read.size == sum(path.stat().st_size for path in tiny.bundle.iterdir())


@pytest.mark.parametrize("name", [form.MANIFEST, *form.LISTED])
def test_every_file_is_needed(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(Malformed, match=name):
        read_bundle(copy)


FOREIGN = (".DS_Store", "README.md", ".gitattributes", "extra.txt", "proof.bin.bak", "._proof.bin")


def test_foreign_files_are_ignored_and_named(copy: Path) -> None:
    for name in FOREIGN:
        (copy / name).write_bytes(b"{")
    for name in (".git", "__MACOSX"):
        (copy / name).mkdir()
        (copy / name / form.MANIFEST).write_bytes(b"{}")
    read = read_bundle(copy)
    assert set(read.ignored) == {*FOREIGN, ".git", "__MACOSX"}
    assert set(read.files) == {form.MANIFEST, form.RANGE, *form.LISTED}


def test_a_crowded_folder_is_refused_or_read_but_not_listed_for_ever(tmp_path: Path, copy: Path) -> None:
    for folder in (tmp_path, copy):
        for i in range(1100):
            (folder / f"{i}").write_bytes(b"")
    with pytest.raises(Malformed, match="not a bundle"):
        read_bundle(tmp_path)
    assert len(read_bundle(copy).ignored) == 1000


def test_links_to_files_are_followed_as_in_a_hub_cache(copy: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "main"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(copy.iterdir())):
        path.rename(blobs / str(number))
        (snapshot / path.name).symlink_to(Path("..", "..", "blobs", str(number)))
    assert set(read_bundle(snapshot).files) == {form.MANIFEST, form.RANGE, *form.LISTED}
    (blobs / "0").unlink()
    with pytest.raises(Damaged, match="not there"):
        read_bundle(snapshot)


def test_pipes_devices_and_folders_are_refused(copy: Path) -> None:
    proof = copy / form.PROOF
    proof.unlink()
    os.mkfifo(proof)
    with pytest.raises(Malformed, match="regular"):
        read_bundle(copy)
    proof.unlink()
    proof.mkdir()
    with pytest.raises(Malformed, match="regular"):
        read_bundle(copy)
    proof.rmdir()
    proof.symlink_to("/dev/zero")
    with pytest.raises(Malformed, match="regular"):
        read_bundle(copy)


@pytest.mark.parametrize("name", [form.MANIFEST, *form.LISTED])
def test_a_partial_download_is_damaged_not_rejected(copy: Path, name: str) -> None:
    data = (copy / name).read_bytes()
    if name != form.MANIFEST:
        (copy / name).write_bytes(data[:-1])
        with pytest.raises(Damaged, match=f"{name} has {len(data) - 1} of {len(data)} bytes"):
            read_bundle(copy)
    (copy / name).unlink()
    with pytest.raises(Damaged, match=f"{name} is missing"):
        read_bundle(copy)


@pytest.mark.parametrize("name", form.LISTED)
def test_one_file_is_left_of_a_bundle_or_none(copy: Path, name: str) -> None:
    for other in copy.iterdir():
        if other.name != name:
            other.unlink()
    with pytest.raises(Damaged, match=f"{form.MANIFEST} is missing"):
        read_bundle(copy)
    (copy / name).unlink()
    with pytest.raises(Malformed, match=f"not a bundle, {form.MANIFEST} is missing") as caught:
        read_bundle(copy)
    assert type(caught.value) is Malformed, "nobody is told to download it again"


def test_a_git_lfs_pointer_is_named(copy: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 210964\n"
    (copy / form.PROOF).write_bytes(pointer)
    with pytest.raises(Damaged, match="Git LFS pointer") as caught:
        read_bundle(copy)
    assert caught.value.hint == "run: git lfs pull"


def test_no_tool_that_translates_newlines_can_break_a_bundle(copy: Path) -> None:
    for path in copy.iterdir():
        data = path.read_bytes()
        if b"\0" not in data[:8000]:  # what git takes for text
            assert b"\n" not in data and b"\r" not in data, path.name
    texts = {path.name for path in copy.iterdir() if b"\0" not in path.read_bytes()[:8000]}
    assert texts == {form.MANIFEST, form.COMMITMENT, form.FINGERPRINT}


def test_what_is_taken_for_a_bundle(copy: Path, tmp_path: Path) -> None:
    assert is_bundle(copy) and is_bundle("https://example.org/a.zip") and not is_bundle(tmp_path / "absent")
    (copy / form.MANIFEST).unlink()
    assert is_bundle(copy), "a damaged bundle does not become a bare fingerprint"
    (copy / form.PROOF).unlink()
    assert not is_bundle(copy) and not is_bundle(copy / form.FINGERPRINT)
    (copy / form.MANIFEST).write_bytes(b"")
    assert is_bundle(copy)
    os.mkfifo(tmp_path / "pipe")
    assert not is_bundle(tmp_path / "pipe")


def test_a_file_that_cannot_be_opened_is_taken_for_no_bundle(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = copy.with_name("a.zip")
    packed.write_bytes(pack_bundle(read_bundle(copy)))
    assert is_bundle(packed)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert not is_bundle(packed)


def test_large_files_are_not_read(copy: Path) -> None:
    with (copy / form.SIGNATURE).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(Malformed, match="at most"):
        read_bundle(copy)


def test_a_file_or_nothing_is_no_bundle(copy: Path) -> None:
    with pytest.raises(Malformed, match="folder"):
        read_bundle(copy / form.PROOF)
    with pytest.raises(InputOutputError):
        read_bundle(copy / "absent")


@pytest.mark.parametrize("name", form.LISTED)
def test_hash_and_size_of_every_file_are_checked(tiny: Made, name: str) -> None:
    files = load(tiny.bundle)
    flipped = bytearray(files[name])
    flipped[len(flipped) // 3] ^= 16
    with pytest.raises(Rejected) as caught:
        parse_bundle(Path(), {**files, name: bytes(flipped)})
    assert caught.value.path == f"files.{name}.sha256"
    with pytest.raises(Rejected) as caught:
        parse_bundle(Path(), {**files, name: files[name] + b"\n"})
    assert caught.value.path == f"files.{name}.size"


SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "trailing newline": lambda data: data + b"\n",
    "leading space": lambda data: b" " + data,
    "trailing byte": lambda data: data + b"\0",
    "spaces": lambda data: data.replace(b'":', b'": ', 1),
    "repeated key": lambda data: data.replace(b"{", b'{"files":{},', 1),
    "format left out": lambda data: data.replace(b'"format":"huref-bundle/1",', b"", 1),
    "unknown field": lambda data: data.replace(b'"files":', b'"extra":1,"files":', 1),
    "float for an integer": lambda data: data.replace(b'"size":', b'"size":1.0e0,"sizf":', 1),
    "escaped letter": lambda data: data.replace(b'"files"', b'"\\u0066iles"', 1),
    "not text": lambda data: b"\xff" + data,
    "other format": lambda data: data.replace(b"huref-bundle/1", b"huref-bundle/2"),
    "string for a number": lambda data: data.replace(b'"level":100', b'"level":"100"'),
    "boolean for a number": lambda data: data.replace(b'"level":100', b'"level":true'),
    "upper-case hash": lambda data: data.replace(b'"sha256":"', b'"sha256":"A', 1),
    "not a number": lambda data: data.replace(b'"level":100', b'"level":NaN'),
    "huge number": lambda data: data.replace(b'"level":100', b'"level":' + b"9" * 5000),
    "deep nesting": lambda data: b"[" * 100000,
    "a list": lambda data: b"[]",
    "nothing": lambda data: b"",
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_only_one_spelling_of_the_manifest(tiny: Made, name: str) -> None:
    files = load(tiny.bundle)
    changed = SPELLINGS[name](files[form.MANIFEST])
    assert changed != files[form.MANIFEST]
    with pytest.raises(Malformed):
        parse_bundle(Path(), {**files, form.MANIFEST: changed})


def test_no_size_is_negative(tiny: Made) -> None:
    files = load(tiny.bundle)
    with pytest.raises(Malformed, match=r"manifest\.json\.files\.proof\.bin\.size"):
        parse_bundle(Path(), with_manifest(files, lambda m: m["files"][form.PROOF].update(size=-1)))


def test_a_folder_that_cannot_be_listed(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("huref.common.files.bundle.os.scandir", refuse)
    with pytest.raises(InputOutputError, match=r"copy\.huref: Permission denied"):
        read_bundle(copy)


def test_the_manifest_lists_exactly_the_files(tiny: Made) -> None:
    files = load(tiny.bundle)
    entry = {"size": 0, "sha256": "0" * 64}
    for change in (
        lambda m: m["files"].pop(form.PROOF),
        lambda m: m["files"].update({form.SIGNATURE: entry}),
        lambda m: m["files"].update({"../outside": entry}),
    ):
        with pytest.raises(Malformed):
            parse_bundle(Path(), with_manifest(files, change))


def test_canonical_json_round_trip() -> None:
    value = {"b": [1, -2, None, True], "a": {"x": "é\n", "y": 0.5}}
    assert parse_canonical(canonical_json(value), "value") == value
    assert canonical_json(value).isascii()
