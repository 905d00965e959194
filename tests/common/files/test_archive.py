"""A zip of a bundle, honest and hostile: in memory, capped, one bundle, nothing that leads out of it."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest

from huref.common.errors import Damaged, HurefError, Malformed
from huref.common.files import archive, bundle
from huref.common.files import bundle as form
from huref.common.files.archive import read_archive
from huref.common.files.bundle import read_bundle
from tests.conftest import Made
from tests.support.forge import Files, load

CAPS = {"m.json": 100, "proof.bin": 1000}
PLAIN = {"m.json": b"{}", "proof.bin": b"\0" * 500}


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these entries, in order; a name may come twice when it is given with a trailing `#`."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as out:
        for name, content in files.items():
            out.writestr(zipfile.ZipInfo(name.rstrip("#")), content, method)
    return data.getvalue()


def read(data: bytes) -> tuple[Files, tuple[str, ...]]:
    return read_archive(data, "a.zip", CAPS, "m.json")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("home", ["", "model.huref/", "a/b/"])
def test_a_zip_of_the_folder_is_read(home: str, method: int) -> None:
    files = {home + name: data for name, data in PLAIN.items()}
    extra = {f"{home}README.md": b"x", f"__MACOSX/{home}m.json": b"x", f"{home}sub/proof.bin": b"x"}
    found, ignored = read(zipped({**files, **extra}, method))
    assert found == PLAIN and set(ignored) == set(extra)


def test_a_real_bundle_verifies_from_its_zip(tiny: Made, tmp_path: Path) -> None:
    path = tmp_path / "tiny.zip"
    path.write_bytes(zipped({f"tiny.huref/{name}": data for name, data in load(tiny.bundle).items()}))
    found = read_bundle(path)
    assert found.digest == read_bundle(tiny.bundle).digest and found.ignored == ()
    assert form.is_bundle(path) and not form.is_bundle(tiny.bundle / form.PROOF)


def _encrypted(data: bytes) -> bytes:
    return data.replace(b"PK\x03\x04\x14\0\0\0", b"PK\x03\x04\x14\0\1\0").replace(
        b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0"
    )


def _lie_about_size(data: bytes, size: int) -> bytes:
    """Every entry of the central directory says `size` uncompressed bytes."""
    out, at = bytearray(data), 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        out[at + 24 : at + 28] = struct.pack("<I", size)
        at += 4
    return bytes(out)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "a bomb": (zipped({"m.json": b"{}", "proof.bin": b"\0" * 10**6}), "more than 1000 bytes"),
    "a bomb that says it is small": (
        _lie_about_size(zipped({"m.json": b"{}", "proof.bin": b"\0" * 10**6}), 10), "not a whole zip",
    ),
    "a file twice": (zipped({"m.json": b"{}", "m.json#": b"[]"}), "twice"),
    "a file twice by another path": (zipped({"m.json": b"{}", "./m.json": b"[]"}), "twice"),
    "out of the folder": (zipped({**PLAIN, "../evil": b""}), "leads out"),
    "an absolute path": (zipped({**PLAIN, "/etc/passwd": b""}), "leads out"),
    "a path of another system": (zipped({**PLAIN, "..\\evil": b""}), "leads out"),
    "two bundles": (zipped({"a/m.json": b"{}", "b/m.json": b"{}"}), "several"),
    "encrypted": (_encrypted(zipped(PLAIN)), "encrypted"),
    "packed with lzma": (zipped(PLAIN, zipfile.ZIP_LZMA), "packed in a way"),
    "packed with bzip2": (zipped(PLAIN, zipfile.ZIP_BZIP2), "packed in a way"),
    "too many files": (zipped({**PLAIN, **{f"{i}": b"" for i in range(5000)}}), "more than 4096 files"),
    "no bundle": (zipped({"other.json": b"{}"}), "no m.json"),
    "cut off": (zipped(PLAIN)[:-30], "not a whole zip"),
    "only its magic": (archive.MAGIC, "not a whole zip"),
    "a pointer": (zipped({"m.json": b"version https://git-lfs.github.com/spec/v1"}), "Git LFS"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused(name: str) -> None:
    data, message = HOSTILE[name]
    with pytest.raises(Malformed, match=message):
        read(data)


def test_a_checksum_that_fails_is_damage() -> None:
    data = bytearray(zipped(PLAIN, zipfile.ZIP_STORED))
    data[data.index(b"{}")] ^= 1
    with pytest.raises(Damaged):
        read(bytes(data))


def test_every_flipped_byte_is_handled() -> None:
    """Offsets, sizes, zip64 fields: whatever they say, the answer is an error of ours or the very same files."""
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        data = zipped({"m.json": b"{}"}, method)
        for at in range(len(data)):
            for value in (0, 1, 0x7F, 0xFF):
                changed = data[:at] + bytes([value]) + data[at + 1 :]
                try:
                    found, _ = read(changed)
                except HurefError:
                    continue
                assert found == {"m.json": b"{}"}


def test_an_archive_above_the_cap_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big.zip"
    with path.open("wb") as file:
        file.write(archive.MAGIC)
        file.truncate(bundle.MAX_ARCHIVE + 1)
    with pytest.raises(Malformed, match="at most"):
        read_bundle(path)
