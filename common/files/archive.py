"""A zip of a bundle's folder, read in memory: nothing is unpacked to a disk, nothing beyond its cap is inflated.

Written in one way only: stored, in the caller's order, all of one date, so that equal files give equal bytes.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath

from huref.common.errors import Damaged, Malformed
from huref.common.files.capped import capped_names, refuse_placeholder

MAGIC = b"PK\x03\x04"
MAX_ENTRIES = 4096
_DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest date that a zip can say."""
_MODE, _UNIX = 0o100644 << 16, 3
_DIRECTORY_ENTRY = b"PK\x01\x02"
_DRESS = "__MACOSX"
"""A folder that one system adds to zips; its files carry the names of the real ones."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (
    zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, IndexError, OverflowError,
    RuntimeError, OSError, MemoryError, struct.error,
)  # fmt: skip
"""Everything that the library raises on hostile archives."""


def read_archive(
    data: bytes, name: str, caps: Mapping[str, int], anchor: str
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The files named in `caps` that lie beside the one file called `anchor`, and names of others (`capped_names`).

    Raises:
        Malformed: repeated names, a path that leaves the archive, an encrypted file, one that is larger than its
            cap or packed in another way than deflate, more than `MAX_ENTRIES` files, several bundles.
        Damaged: it is cut off, a checksum fails, or there is no `anchor`.
    """
    if data.count(_DIRECTORY_ENTRY) > MAX_ENTRIES:
        raise Malformed(f"{name}: more than {MAX_ENTRIES} files in an archive")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            chosen, ignored = _choose(entries, name, set(caps), anchor)
            return {own: _inflate(archive, entry, name, caps[own]) for own, entry in chosen.items()}, ignored
    except Malformed:
        raise
    except _BROKEN as error:
        raise Damaged(f"{name}: not a whole zip archive ({error})", hint="download it again") from None


def write_archive(files: Mapping[str, bytes]) -> bytes:
    """The stored zip of `files`, in their order; the same bytes on every machine and at any time."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system, entry.external_attr = _UNIX, _MODE
            archive.writestr(entry, content)
    return data.getvalue()


def _choose(
    entries: list[zipfile.ZipInfo], name: str, wanted: set[str], anchor: str
) -> tuple[dict[str, zipfile.ZipInfo], tuple[str, ...]]:
    """Entries of the bundle's files by their plain names, and the names of the rest."""
    places: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for entry in entries:
        path = PurePosixPath(entry.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or "\0" in entry.orig_filename:
            raise Malformed(f"{name}: a path in the archive leads out of it")
        if path in places:
            raise Malformed(f"{name}: a file is twice in the archive")
        places[path] = entry
    homes = [path.parent for path in places if path.name == anchor and path.parts[0] != _DRESS]
    if not homes:
        raise Damaged(f"{name}: no {anchor} in the archive", hint="zip the whole folder of a bundle")
    if len(homes) > 1:
        raise Malformed(f"{name}: several bundles in one archive")
    chosen = {path.name: places[path] for path in places if path.parent == homes[0] and path.name in wanted}
    ignored = (str(path) for path, entry in places.items() if chosen.get(path.name) is not entry)
    return chosen, capped_names(ignored)


def _inflate(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, cap: int) -> bytes:
    """The content of one entry; its own word on the size is not believed."""
    if entry.flag_bits & 1:
        raise Malformed(f"{name}: an encrypted archive")
    if entry.compress_type not in _METHODS:
        raise Malformed(f"{name}: packed in a way that is not read here", hint="zip it with deflate")
    with archive.open(entry) as file:
        data = file.read(cap + 1)
    if len(data) > cap:
        raise Malformed(f"{name}: {entry.filename} has more than {cap} bytes")
    return refuse_placeholder(data, entry.filename)
