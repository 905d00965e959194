"""The picture in a bundle, attacked: exact generators byte for byte, floating point ones with a tolerance."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from huref.common.errors import HurefError, Malformed, Rejected
from huref.common.files import bundle as form
from huref.common.files.bundle import parse_bundle
from huref.common.image.faces import FaceNetworks, draw_face
from huref.common.image.png import png_bytes, png_pixels
from huref.common.image.registry import Installed
from huref.common.words import word_fingerprint
from huref.verifier.commands.verify import describe
from huref.verifier.verification import check_picture, read_claim
from tests.conftest import Made
from tests.support.forge import Files, check, load, manifest_of, reseal


@pytest.fixture(scope="module")
def files(tiny: Made) -> Files:
    return load(tiny.bundle)


def failure(files: Files) -> str:
    """The path of the failing check, or the kind of error and its message."""
    try:
        check(files)
    except Rejected as error:
        return error.path
    except HurefError as error:
        return f"{type(error).__name__}: {error.message}"
    return "verified"


def test_without_the_generator_the_picture_is_unchecked(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huref.verifier.image.find", lambda digest: None)
    verdict = check(files)
    assert verdict.picture.status == "not checked" and verdict.picture.comparison is None
    assert "vector verified, image not checked" in verdict.to_dict()["picture"]["message"]
    assert "huref generator install" in verdict.to_dict()["picture"]["hint"]
    assert not any("picture" in line for line in verdict.proven())
    line = next(line for line in describe(Path("x"), verdict) if line.startswith("  picture"))
    assert "vector verified, image not checked" in line and "huref generator install" in line
    with pytest.raises(Rejected, match="huref generator install") as caught:
        check(files, require_image=True)
    assert caught.value.path == "image"
    monkeypatch.setattr("huref.verifier.image.FACES_DIGEST", manifest_of(files)["statement"]["generator"])
    assert "install faces" in str(check(files).picture.hint)


def test_an_exact_generators_picture_may_not_differ_in_one_pixel(files: Files) -> None:
    verdict = check(files, require_image=True)
    assert "  picture      matches (byte for byte)" in describe(Path("x"), verdict)
    assert verdict.picture.comparison == "exact" and any("byte for byte" in x for x in verdict.proven())
    words = word_fingerprint(verdict.fingerprint, verdict.model_id)
    assert verdict.words == words == verdict.to_dict()["words"]
    assert f"  in words     {verdict.words}" in describe(Path("x"), verdict)
    image = png_pixels(files[form.PICTURE]).copy()
    image[40, 50, 1] ^= 1
    assert failure(reseal({**files, form.PICTURE: png_bytes(image)})) == "image"


def test_a_vector_that_cannot_be_drawn_is_malformed(files: Files) -> None:
    """No proof is known for one; if there were, it would not become a wrong call of the verifier's."""
    bundle = parse_bundle(Path("x"), files)
    statement, _ = read_claim(bundle)
    with pytest.raises(Malformed, match=r"statement\.v:"):
        check_picture(bundle, statement.model_copy(update={"v": [7] * 512}), required=False)


class _Network:
    """Stands for a network of `faces`: `run` is any function."""

    def __init__(self, run: Callable[[np.ndarray], np.ndarray]) -> None:
        self.run = run


def test_a_floating_point_generators_picture_is_compared_with_a_tolerance(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    stripes = np.resize(np.eye(16), (1, 3, 128, 128))
    synthesis = _Network(lambda w: np.tanh(w.mean() + stripes * w[0, :128]).astype(np.float32))
    networks = FaceNetworks(_Network(lambda z: z), synthesis)  # type: ignore[arg-type]
    monkeypatch.setattr("huref.verifier.image.find", lambda digest: Installed(digest, networks))
    drawn = draw_face(manifest_of(files)["statement"]["v"], networks)

    def attempt(picture: np.ndarray) -> Files:
        return reseal({**files, form.PICTURE: png_bytes(picture)})

    level = np.zeros_like(drawn)
    level[::2, ::2] = 1
    moved = np.where(drawn < 128, drawn + level, drawn - level).astype(np.uint8)
    verdict = check(attempt(moved), require_image=True)
    assert verdict.picture.status == "matches" and verdict.to_dict()["picture"]["comparison"] == "tolerance"
    assert "  picture      matches (within a tolerance)" in describe(Path("x"), verdict)
    assert any("tolerance (0.25 levels of 255 on average and 4 at most)" in line for line in verdict.proven())
    assert not any("byte for byte" in line for line in verdict.proven())
    assert check(attempt(drawn)).picture.comparison == "tolerance"

    level[1::2, ::2] = 1
    everywhere = np.where(drawn < 128, drawn + level, drawn - level).astype(np.uint8)
    spot = drawn.copy()
    spot[3, 5, 0] = drawn[3, 5, 0] + 5 if drawn[3, 5, 0] < 128 else drawn[3, 5, 0] - 5
    for wrong in (everywhere, spot, drawn[:-1], drawn[:, :-1], np.zeros((1, 1, 3), np.uint8), 255 - drawn):
        assert failure(attempt(np.ascontiguousarray(wrong))) == "image"


def test_hostile_pictures_are_never_decoded(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pixels are compared, a PNG that says it is huge or is compressed is refused from its header."""
    flat = _Network(lambda w: np.zeros((1, 3, 128, 128), dtype=np.float32))
    networks = FaceNetworks(_Network(lambda z: z), flat)  # type: ignore[arg-type]
    monkeypatch.setattr("huref.verifier.image.find", lambda digest: Installed(digest, networks))
    honest = png_bytes(np.full((64, 64, 3), 128, np.uint8))
    assert check(reseal({**files, form.PICTURE: honest})).picture.status == "matches"
    compressed = io.BytesIO()
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(compressed, "PNG")
    hostile = [compressed.getvalue(), b"", honest[:40], honest + b"\0", b"GIF89a" + honest[6:]]
    for side in (0, 65, 4096, 4097, 2**31 - 1, 2**32 - 1):
        header = struct.pack(">II", side, side)
        hostile.append(honest[:16] + header + honest[24:])
    for data in hostile:
        assert failure(reseal({**files, form.PICTURE: data})).startswith("Malformed: picture")


def test_a_picture_of_other_sides_is_not_unpacked(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    flat = _Network(lambda w: np.zeros((1, 3, 128, 128), dtype=np.float32))
    networks = FaceNetworks(_Network(lambda z: z), flat)  # type: ignore[arg-type]
    monkeypatch.setattr("huref.verifier.image.find", lambda digest: Installed(digest, networks))
    unpacked: list[int] = []
    monkeypatch.setattr(
        "huref.verifier.image.png_pixels", lambda data: unpacked.append(1) or png_pixels(data)
    )
    for sides, times in (((64, 64), 1), ((64, 65), 1), ((4096, 4096), 1)):
        picture = png_bytes(np.full((*sides, 3), 128, np.uint8))
        assert failure(reseal({**files, form.PICTURE: picture})) == (
            "verified" if sides == (64, 64) else "image"
        )
        assert len(unpacked) == times
