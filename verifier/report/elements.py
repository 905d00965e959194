"""The pieces a page is made of; all text that goes through them is escaped, twice (docs/security.md, Text)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from huref.common.text import escape as printable

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]{1,18}(?![\w-])")


def text(said: str) -> str:
    """Text for the page: control characters and bidi marks shown as escapes, then escaped for HTML."""
    return escape(printable(said))


def code(said: str) -> str:
    """A number, a name of the protocol or a command."""
    return f"<code>{sentence(said)}</code>"


def folded(name: str, about: str, inner: str, level: int = 0) -> str:
    """HTML that is shown on demand; its name is a heading of this level, or none."""
    shown = f"<h{level}>{text(name)}</h{level}>" if level else text(name)
    remark = f" <small>{text(about)}</small>" if about else ""
    return f"<details><summary>{shown}{remark}</summary>{inner}</details>"


def sentence(said: str) -> str:
    """Text in which no option of a command is torn between its hyphens."""
    return _OPTION.sub(r'<span class="option">\g<0></span>', text(said))


def items(lines: Iterable[str]) -> str:
    """A list of sentences."""
    return listed(map(sentence, lines))


def listed(parts: Iterable[str]) -> str:
    """A list of what is HTML already."""
    return "<ul>" + "".join(f"<li>{part}</li>" for part in parts) + "</ul>"


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names and what belongs to them, which is HTML already."""
    return "<dl>" + "".join(f"<dt>{text(name)}</dt><dd>{inner}</dd>" for name, inner in rows) + "</dl>"


def table(
    about: str, heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()
) -> str:
    """A table whose first column names the row; it scrolls where the window is narrow, by keyboard too."""

    def row(cells: Sequence[str], first: str, tag: str) -> str:
        shown = ""
        for index, cell in enumerate(cells):
            named, scope = (tag, first) if index == 0 else ("td" if first == "row" else "th", "col")
            marks = f' scope="{scope}"' if named == "th" else ""
            marks += ' class="n"' if index in numbers else ""
            shown += f"<{named}{marks}>{text(cell)}</{named}>"
        return f"<tr>{shown}</tr>"

    head = row(heads, "col", "th")
    body = "".join(row(cells, "row", "th") for cells in rows)
    inner = f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"
    return f'<div class="wrap" role="group" tabindex="0" aria-label="{text(about)}">{inner}</div>'
