"""Does a published picture belong to a verified fingerprint?

The generator is integer arithmetic, so the answer is exact: the picture is drawn again from v and compared
byte for byte. (The opt-in `faces` networks are floating point: there the comparison has a tolerance, and the
verdict says so.) Without the generator at hand the vector stands verified and the picture unchecked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from common.errors import Rejected
from common.image.faces import MEAN_TOLERANCE, within_tolerance
from common.image.generator import render
from common.image.png import png_bytes, png_pixels
from common.image.registry import find

Status = Literal["matches", "differs", "not checked"]


@dataclass(frozen=True)
class ImageVerdict:
    """`status` of the picture, one line for people, and a `hint` (a command) where one helps."""

    status: Status
    message: str
    hint: str | None = None

    def require(self) -> None:
        """Raise Rejected unless the picture matches (`--require-image`)."""
        if self.status != "matches":
            raise Rejected("image", self.message)

    def reject_difference(self) -> None:
        """Raise Rejected when the picture was checked and differs; an unchecked picture passes."""
        if self.status == "differs":
            raise Rejected("image", self.message)


def check_image(v: Sequence[int], published: bytes, generator_digest: str) -> ImageVerdict:
    """Draw v with the named generator and compare the PNG bytes.

    v are the 512 integers of the verified fingerprint; `generator_digest` is 64 hexadecimal digits from the
    bundle. Raises Malformed for a bad digest or an altered weight file, UsageError for an unusable v.
    """
    generator = find(generator_digest)
    if generator is None:
        return ImageVerdict(
            "not checked",
            f"vector verified, image not checked: generator {generator_digest[:12]} is not installed",
            "install it: huref generator install FILE.gen (or huref generator install faces)",
        )
    drawn = render(v, generator)
    name = f"generator {generator.weights.name} ({generator_digest[:12]})"
    if png_bytes(drawn) == published:
        return ImageVerdict("matches", f"the picture is the one {name} draws from v")
    if not generator.exact and within_tolerance(drawn, png_pixels(published)):
        return ImageVerdict(
            "matches",
            f"the picture is the one {name} draws from v, within {MEAN_TOLERANCE:g}/255 on average "
            "(a floating point generator: compared with a tolerance)",
        )
    return ImageVerdict("differs", "the picture is not the one the generator draws from v")
