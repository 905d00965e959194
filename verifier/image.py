"""Does a published picture belong to a verified fingerprint?

The generator is integer arithmetic, so the answer is exact: the picture is drawn again from v and compared
byte for byte. Only the embedded generator is huref's own word: a foreign one can be made to draw anything, so its
pictures are labelled, and `--require-image` refuses them unless the caller names that generator. The opt-in `faces`
networks are floating point: there the pixels are compared with a tolerance, and the verdict says so. Without the
generator at hand the vector stands verified and the picture unchecked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from huref.common.errors import Rejected
from huref.common.image.faces import DIGEST as FACES_DIGEST
from huref.common.image.faces import MAX_TOLERANCE, MEAN_TOLERANCE, within_tolerance
from huref.common.image.generator import render
from huref.common.image.png import png_bytes, png_pixels, png_sides
from huref.common.image.registry import embedded, find

Status = Literal["matches", "differs", "not checked"]
Comparison = Literal["exact", "tolerance"]

TOLERANCE = f"{MEAN_TOLERANCE:g} levels of 255 on average and {MAX_TOLERANCE} at most"


@dataclass(frozen=True)
class ImageVerdict:
    """`status` of the picture, one line for people, and a `hint` (a command) where one helps.

    `generator` is the digest of the one that the bundle names, `foreign` whether it is another than the embedded
    one. `comparison` says how the picture was compared, and is None when it was not.
    """

    status: Status
    message: str
    generator: str
    foreign: bool
    comparison: Comparison | None = None
    hint: str | None = None

    def require(self) -> None:
        """Raise Rejected unless the picture matches (`--require-image`)."""
        if self.status != "matches":
            raise Rejected("image", self.message if self.hint is None else f"{self.message}; {self.hint}")

    def reject_difference(self) -> None:
        """Raise Rejected when the picture was checked and differs; an unchecked picture passes."""
        if self.status == "differs":
            raise Rejected("image", self.message)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "status": self.status,
            "generator": self.generator,
            "foreign_generator": self.foreign,
            "comparison": self.comparison,
            "message": self.message,
            "hint": self.hint,
        }


def require_generator(generator_digest: str, wanted: str | None) -> None:
    """Raise Rejected unless the bundle names the `wanted` generator; None is the embedded one."""
    expected = wanted or embedded().digest
    if generator_digest != expected:
        raise Rejected(
            "image.generator",
            "the bundle names another picture generator"
            if wanted
            else "the picture is by a foreign generator, which can be made to draw anything",
            expected=expected,
            got=generator_digest,
        )


def check_image(v: Sequence[int], published: bytes, generator_digest: str) -> ImageVerdict:
    """Draw v with the named generator and compare: PNG bytes, or for a floating point generator pixels.

    v are the 512 integers of the verified fingerprint; `generator_digest` is 64 hexadecimal digits from the
    bundle. Raises Malformed for a bad digest, an altered weight file or (where pixels are compared) a PNG that
    huref does not write, UsageError for an unusable v.
    """
    generator = find(generator_digest)
    foreign = generator_digest != embedded().digest
    if generator is None:
        return ImageVerdict(
            "not checked",
            f"vector verified, image not checked: generator {generator_digest[:12]} is not installed",
            generator_digest,
            foreign,
            hint=f"install it: {install_command(generator_digest)}",
        )
    drawn = render(v, generator)
    name = f"generator {generator.weights.name} ({generator_digest[:12]})"
    if foreign:
        name = f"foreign {name}, which can be made to draw anything,"
    if generator.exact:
        equal = png_bytes(drawn) == published
        how, matches = "", "byte for byte"
    else:
        # no picture of another size is unpacked, whatever its header promises
        equal = png_sides(published) == drawn.shape[:2] and within_tolerance(drawn, png_pixels(published))
        how = f": it is off by more than {TOLERANCE}"
        matches = f"compared with a tolerance ({TOLERANCE}), since that generator is floating point"
    message = (
        f"the picture is the one that {name} draws from v, {matches}"
        if equal
        else f"the picture is not the one that {name} draws from v{how}"
    )
    comparison: Comparison = "exact" if generator.exact else "tolerance"
    return ImageVerdict("matches" if equal else "differs", message, generator_digest, foreign, comparison)


def install_command(generator_digest: str) -> str:
    """The command that installs the generator of this digest."""
    if generator_digest == FACES_DIGEST:
        return "huref generator install faces --accept-licence"
    return f"huref generator install FILE.gen, whose sha256 is {generator_digest}"
