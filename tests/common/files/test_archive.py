"""A zip of a bundle, honest and hostile: in memory, capped, one bundle, nothing that leads out of it."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
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


def _flagged(data: bytes, flags: int) -> bytes:
    """Every entry has these general purpose flags, in its own header and in the central directory."""
    flag = struct.pack("<H", flags)
    return data.replace(b"PK\x03\x04\x14\0\0\0", b"PK\x03\x04\x14\0" + flag).replace(
        b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0" + flag
    )


def _with_password(content: bytes, crc: int, password: bytes) -> bytes:
    """What the first zip tools made of an entry: twelve random bytes and the content under a stream cipher (PKWARE's
    application note, "Traditional PKWARE Encryption")."""
    keys = [0x12345678, 0x23456789, 0x34567890]

    def one(byte: int, state: int) -> int:
        return zlib.crc32(bytes([byte]), state ^ 0xFFFFFFFF) ^ 0xFFFFFFFF

    def update(byte: int) -> None:
        keys[0] = one(byte, keys[0])
        keys[1] = ((keys[1] + (keys[0] & 255)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = one(keys[1] >> 24, keys[2])

    for byte in password:
        update(byte)
    out = bytearray()
    for byte in (*range(11), crc >> 24, *content):
        pad = keys[2] | 2
        out.append(byte ^ (pad * (pad ^ 1) >> 8 & 255))
        update(byte)
    return bytes(out)


def _encrypted(files: Files, password: bytes) -> bytes:
    """A zip of stored entries that opens with the password alone."""
    hidden = {n: _with_password(data, zlib.crc32(data), password) for n, data in files.items()}
    data = bytearray(_flagged(zipped(hidden, zipfile.ZIP_STORED), 1))
    for name, content in files.items():
        checksum, sizes = (
            struct.pack("<I", zlib.crc32(content)),
            struct.pack("<II", len(hidden[name]), len(content)),
        )
        for magic, place in ((b"PK\x03\x04", 30), (b"PK\x01\x02", 46)):
            at = data.index(name.encode(), data.index(magic)) - place
            start = at + (14 if place == 30 else 16)
            data[start : start + 12] = checksum + sizes
    return bytes(data)


def test_an_encrypted_zip_is_refused_in_one_line(tmp_path: Path) -> None:
    """One that any tool opens with the password; nobody is told to download it again."""
    data = _encrypted(PLAIN, b"secret")
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert {name: opened.read(name, pwd=b"secret") for name in PLAIN} == PLAIN
    path = tmp_path / "model.zip"
    path.write_bytes(_encrypted({form.MANIFEST: b"{}", form.PROOF: b"\0" * 500}, b"secret"))
    for attempt in (lambda: read(data), lambda: read_bundle(path)):
        with pytest.raises(Malformed) as caught:
            attempt()
        assert caught.value.message.endswith(": an encrypted archive") and caught.value.hint is None
        assert type(caught.value) is Malformed and "\n" not in caught.value.message


def test_foreign_names_are_few_and_short() -> None:
    """What is printed, put in JSON and on the page does not grow with the archive."""
    many = {**PLAIN, **{f"{i:04}.txt": b"" for i in range(3000)}}
    found, ignored = read(zipped(many))
    assert found == PLAIN and len(ignored) == 1000
    found, ignored = read(zipped({**PLAIN, "x" * 65000: b"", "a/" * 30000 + "b": b"", "short": b""}))
    assert found == PLAIN and [len(name) for name in ignored] == [255, 5, 255]
    assert ignored[1] == "short" and all(name.endswith("…") for name in ignored if name != "short")


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
    "a name with an end inside": (zipped({"m.jsonAx": b"{}", **PLAIN}).replace(b"m.jsonAx", b"m.json\0x"), "leads out"),
    "another name with an end inside": (zipped({"m.jsonAx": b"{}"}).replace(b"m.jsonAx", b"m.json\0x"), "leads out"),
    "one byte too many": (zipped({"m.json": b" " * 101}), "more than 100 bytes"),
    "two bundles": (zipped({"a/m.json": b"{}", "b/m.json": b"{}"}), "several"),
    "encrypted": (_flagged(zipped(PLAIN), 1), "an encrypted archive"),
    "encrypted with a key": (_flagged(zipped(PLAIN), 0x41), "an encrypted archive"),
    "a patch": (_flagged(zipped(PLAIN), 0x20), "not a whole zip"),
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


def test_the_caps_themselves_are_allowed() -> None:
    full = {name: b" " * cap for name, cap in CAPS.items()}
    many = {f"{i}": b"" for i in range(archive.MAX_ENTRIES - len(full))}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert read(zipped({**full, **many}, method))[0] == full
    with pytest.raises(Malformed, match="more than 4096 files"):
        read(zipped({**full, **many, "one": b""}))


def test_a_checksum_that_fails_is_damage() -> None:
    data = bytearray(zipped(PLAIN, zipfile.ZIP_STORED))
    data[data.index(b"{}")] ^= 1
    with pytest.raises(Damaged):
        read(bytes(data))


BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, UnicodeDecodeError, KeyError, IndexError,
    OverflowError, NotImplementedError, RuntimeError, OSError, MemoryError,
)  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_whatever_the_library_raises_is_damage(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of these a broken archive brings differs between versions of Python."""

    def refuse(*_: object) -> None:
        raise kind("ascii", b"", 0, 1, "broken") if kind is UnicodeDecodeError else kind("broken")

    data = zipped(PLAIN)
    monkeypatch.setattr(archive.zipfile, "ZipFile", refuse)
    with pytest.raises(Damaged, match=r"a\.zip: not a whole zip archive"):
        read(data)


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
