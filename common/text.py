"""Text from files, made safe to print: the one place where huref escapes what somebody else wrote.

A terminal obeys control characters, and a reader is misled by characters that reorder or hide text. All that is
not printable (Unicode's controls, formats such as bidi overrides, separators, surrogates, unassigned) is shown as
an escape, so that a name in a bundle can neither paint a verdict nor start a line of its own. So are the few letters
and marks that Python calls printable and that show nothing (fillers, variation selectors, the empty Braille cell).
"""

from __future__ import annotations

import re
import unicodedata

IDENTIFIER = r"^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}$"
"""Pattern of names inside files: ASCII, no spaces, nothing that a terminal or a page could take for more."""
_EMPTY = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""What is printable to Python and shows nothing."""
_PLAIN = re.compile(r"[A-Za-z0-9_.+@=-]+")
MAX_LINE = 4000
"""Most characters of one line that are shown."""


def escape(text: str) -> str:
    """One printable line: `\\x1b`, `\\n`, `\\u202e` stand for the characters; the cut end of a long line is counted."""
    if not text.isprintable() or _EMPTY.search(text):
        text = "".join(letter if _shows(letter) else _escaped(letter) for letter in text)
    if len(text) > MAX_LINE:
        return f"{text[:MAX_LINE]}… ({len(text) - MAX_LINE} more characters)"
    return text


def shorten(value: object, limit: int = 200) -> str:
    """str(value), cut to `limit` characters."""
    text = str(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def quoted(name: str, limit: int = 80) -> str:
    """A name from a file inside a sentence of ours: as it is if it is plain, else marked off from the sentence.

    Quotes, the second of two spaces and letters of scripts that run from right to left are escapes there: a name can
    neither end its quotes, nor push the rest to the next row of a terminal, nor turn what follows.
    """
    if _PLAIN.fullmatch(name) and len(name) <= limit:
        return name
    text = shorten(name, limit).replace("\\", "\\\\").replace('"', '\\"')
    text = re.sub(r"(?<= ) ", r"\\x20", text)
    turned = ("R", "AL", "AN")
    return f'"{"".join(_escaped(x) if unicodedata.bidirectional(x) in turned else x for x in text)}"'


def _shows(letter: str) -> bool:
    return letter.isprintable() and not _EMPTY.match(letter)


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def parse_hex(text: str, digits: int) -> str | None:
    """Lower-case hex of exactly `digits` digits (`0x` and upper case are fine), or None if it is something else."""
    found = re.fullmatch(f"(?:0[xX])?([0-9a-fA-F]{{{digits}}})", text.strip())
    return found[1].lower() if found else None


def counted(count: int, one: str, many: str) -> str:
    """A number and what it counts: "1 entry", "2 entries"."""
    return f"{count} {one if count == 1 else many}"
