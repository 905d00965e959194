"""Base of every record read from outside: strict types, no unknown fields, one clear error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

from huref.common.errors import Malformed
from huref.common.files.canonical import canonical_json, parse_canonical
from huref.common.text import IDENTIFIER, shorten


def _file_name(name: str) -> str:
    if not name.isprintable() or "/" in name or "\\" in name:
        raise ValueError("not the name of a file")
    return name


Hex32 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""32 bytes as lower-case hex."""
Hex48 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{96}$")]
"""48 bytes as lower-case hex: a public key."""
Identifier = Annotated[str, StringConstraints(pattern=IDENTIFIER)]
"""A name that people read: of a family, a profile, a tensor, a round of the proof."""
FileName = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_file_name)]
"""The name of a file (no path): printable, so without controls, newlines or marks that turn the reading direction."""


class StrictModel(BaseModel):
    """A frozen record; integers are never taken from strings, floats or booleans."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    @classmethod
    def read(cls, value: Mapping[str, Any], name: str) -> Self:
        """Check a parsed JSON object; Malformed names the first bad field below `name`."""
        try:
            return cls.model_validate(dict(value))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join((name, *(shorten(part, 64) for part in first["loc"])))
            raise Malformed(f"{where}: {first['msg']}") from None

    @classmethod
    def decode(cls, data: bytes, name: str) -> Self:
        """Read canonical JSON bytes; a field with a default must be there too. Raises `Malformed`."""
        found = cls.read(parse_canonical(data, name), name)
        if found.encode() != data:
            raise Malformed(f"{name}: a field is missing or in another form than it is written in")
        return found

    def encode(self) -> bytes:
        """The canonical JSON bytes."""
        return canonical_json(self.model_dump(mode="json"))
