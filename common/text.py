"""Text from files, made safe to print: the one place where huref escapes what somebody else wrote.

A terminal obeys control characters, and a reader is misled by characters that reorder or hide text. All that is
not printable (Unicode's controls, formats such as bidi overrides, separators, surrogates, unassigned) is shown as
an escape, so that a name in a bundle can neither paint a verdict nor start a line of its own.
"""

from __future__ import annotations

MAX_LINE = 4000
"""Most characters of one line that are shown."""


def escape(text: str) -> str:
    """One printable line: `\\x1b`, `\\n`, `\\u202e` stand for the characters; the cut end of a long line is counted."""
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)
    if len(text) > MAX_LINE:
        return f"{text[:MAX_LINE]}… ({len(text) - MAX_LINE} more characters)"
    return text


def shorten(value: object, limit: int = 200) -> str:
    """str(value), cut to `limit` characters."""
    text = str(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
