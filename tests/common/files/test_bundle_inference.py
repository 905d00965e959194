"""Files that a bundle may have or not: the manifest and the folder agree on each, and both of a proof of inference."""

from __future__ import annotations

from pathlib import Path

import pytest

from huref.common.errors import Damaged, Malformed
from huref.common.files import bundle as form
from huref.common.files.bundle import parse_bundle
from tests import ROOT
from tests.support.forge import Files, load, with_manifest

PAIR = (form.INFERENCE, form.INFERENCE_PROOF)


def unlisted(files: Files, *names: str) -> Files:
    """The same files with a manifest that leaves these out."""
    return with_manifest(files, lambda manifest: [manifest["files"].pop(name) for name in names])


@pytest.fixture(scope="module")
def files() -> Files:
    return load(ROOT / "tests" / "vectors" / "bundles" / "answered.huref")


def test_both_files_are_read_or_neither(files: Files) -> None:
    assert set(PAIR) <= set(parse_bundle(Path("a"), files).files)
    neither = {name: data for name, data in unlisted(files, *PAIR).items() if name not in PAIR}
    assert not set(PAIR) & set(parse_bundle(Path("a"), neither).files)


@pytest.mark.parametrize("name", PAIR)
def test_one_of_two_is_no_bundle(files: Files, name: str) -> None:
    with pytest.raises(Malformed, match="go together"):
        parse_bundle(Path("a"), unlisted(files, name))
    with pytest.raises(Damaged, match=f"{name} is missing or not in manifest"):
        parse_bundle(Path("a"), {other: data for other, data in files.items() if other != name})


def test_files_that_the_manifest_does_not_list(files: Files) -> None:
    for names in (PAIR, (form.RANGE,)):
        with pytest.raises(Damaged, match=f"{names[0]} is missing or not in manifest"):
            parse_bundle(Path("a"), unlisted(files, *names))


def test_a_commitment_alone_is_called_one(files: Files) -> None:
    for names in ((form.COMMITMENT,), (form.COMMITMENT, form.RANGE)):
        with pytest.raises(Damaged, match="a commitment, or little of a bundle"):
            parse_bundle(Path("a"), {name: files[name] for name in names})
