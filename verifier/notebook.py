"""A verdict in a notebook: the picture and the three headings, everything escaped, no scripts."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from huref.common.text import escape as printable

_COLOUR = "#1a7f37"


def verdict_html(title: str, picture: bytes | None, sections: Sequence[tuple[str, Sequence[str]]]) -> str:
    """HTML for `_repr_html_`; `picture` is a PNG that was checked, or None."""
    image = ""
    if picture is not None:
        data = base64.b64encode(picture).decode()
        image = f'<img alt="the fingerprint\'s picture" width="160" height="160" src="data:image/png;base64,{data}">'
    parts = [f'<div><p>{image}</p><p><b style="color:{_COLOUR}">VERIFIED</b> {_text(title)}</p>']
    for heading, lines in sections:
        items = "".join(f"<li>{_text(line)}</li>" for line in lines)
        parts.append(f"<details><summary>{_text(heading)}</summary><ul>{items}</ul></details>")
    return "".join(parts) + "</div>"


def _text(text: str) -> str:
    return escape(printable(text))
