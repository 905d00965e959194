"""A bundle as one file: equal bytes for equal bundles, one digest, verified as it is, back to the same folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from pathlib import Path

from huref.common.errors import ExitCode
from huref.common.files import bundle as form
from tests.conftest import Made
from tests.support.command import huref
from tests.support.forge import load
from tests.support.schemas import validate


def test_a_folder_and_its_zip_have_one_digest_and_both_verify(tiny: Made, tmp_path: Path) -> None:
    file = tmp_path / "one.huref"
    packed = validate(huref("pack", tiny.bundle, "--out", file, "--json").json, "packed")
    manifest = (tiny.bundle / form.MANIFEST).read_bytes()
    assert packed["digest"] == hashlib.sha256(manifest).hexdigest()
    assert (packed["path"], packed["bytes"]) == (str(file), file.stat().st_size)
    said = [huref("verify", path, "--json").json["digest"] for path in (tiny.bundle, file)]
    assert said == [packed["digest"]] * 2


def test_equal_bundles_give_equal_bytes(tiny: Made, tmp_path: Path) -> None:
    copy = tmp_path / "copy.huref"
    copy.mkdir()
    for name, data in reversed(list(load(tiny.bundle).items())):
        (copy / name).write_bytes(data)
        os.utime(copy / name, (1e9, 1e9))
        (copy / name).chmod(0o600)
    (copy / "README.md").write_text("foreign")
    ran = huref("pack", copy)
    assert ran.code == 0 and "left out: 1" in ran.err
    once = tmp_path / "once.zip"
    assert huref("pack", tiny.bundle, "--out", once).code == 0
    twice = tmp_path / "twice.zip"
    assert huref("pack", once, "--out", twice).code == 0
    assert once.read_bytes() == twice.read_bytes() == (tmp_path / "copy.huref.zip").read_bytes()
    with zipfile.ZipFile(once) as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == [name for name in form.CAPS if name in load(tiny.bundle)]
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}


def test_unpacked_it_is_the_same_folder(tiny: Made, tmp_path: Path) -> None:
    file = tmp_path / "x.huref.zip"
    assert huref("pack", tiny.bundle, "--out", file).code == 0
    assert huref("unpack", file, "--json").json["path"] == str(tmp_path / "x.huref")
    assert load(tmp_path / "x.huref") == load(tiny.bundle)
    assert huref("unpack", file).code == ExitCode.USAGE
    assert huref("unpack", file, "--force").code == 0


def test_what_is_refused_leaves_nothing(tiny: Made, tmp_path: Path) -> None:
    bad = tmp_path / "bad.huref"
    shutil.copytree(tiny.bundle, bad)
    proof = (bad / form.PROOF).read_bytes()
    (bad / form.PROOF).write_bytes(proof[:-1] + bytes([proof[-1] ^ 1]))
    assert huref("pack", bad).code == ExitCode.REJECTED
    file = tmp_path / "named"
    file.write_bytes(b"mine")
    assert huref("pack", tiny.bundle, "--out", file).code == ExitCode.USAGE
    assert file.read_bytes() == b"mine"
    assert huref("pack", tiny.bundle, "--out", file, "--force").code == 0
    ran = huref("unpack", file)
    assert ran.code == ExitCode.USAGE and "--out FOLDER" in ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.huref", "named"]
