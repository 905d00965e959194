"""An inspection as one self-contained HTML page, written for a reader who is no cryptographer.

First three sentences (`summary.py`), then what was proven, who signed, what is only said, then the technical part,
folded. No scripts, no outside files, everything escaped; a policy in the page's head forbids a browser to load or run
anything else, should an escape ever be missed. A picture that was not checked is not on the page: a rejected bundle
has an empty frame, struck through.
"""

from __future__ import annotations

import base64
from importlib.metadata import version

from huref.common.rejection import CLAIMED
from huref.common.text import quoted
from huref.verifier.report.elements import code, facts, folded, items, listed, text
from huref.verifier.report.glossary import GLOSSARY
from huref.verifier.report.inspection import Failure, Inspection
from huref.verifier.report.style import STYLE
from huref.verifier.report.summary import summary
from huref.verifier.report.technical import technical

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_NAMED = 20
"""Foreign files that are named on the page."""
_CHECK = (
    "Take the model id from where the owner published it (a model card, a web site), not from this page, and let huref "
    f"compare: {code('huref verify BUNDLE --root MODEL_ID')}. With {code('--signer KEY')} it also insists on a key "
    "that you know.",
    f"To see whether two models are related, compare numbers: {code('huref compare BUNDLE OTHER')}. Pictures only hint "
    "at it.",
)
_HEAD_AND_EARS = "M60 104 L52 34 L96 66 Q128 56 160 66 L204 34 L196 104 Q214 190 128 222 Q42 190 60 104 Z"
_STRIKE = "M14 14 L242 242 M242 14 L14 242"


def page(found: Inspection) -> str:
    """The whole page."""
    parts = [_short(found), _failed(found), _verified(found), _words(), _technical(found)]
    body = f"{_header(found)}<main>{''.join(parts)}</main>{_footer(found)}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{found.word}: {text(found.bundle)}</title>"
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body>{body}</body></html>\n"
    )


def _verifies(found: Inspection) -> bool:
    return found.failure is None and found.verdict is not None


def _header(found: Inspection) -> str:
    badge = f'<p class="badge {"good" if _verifies(found) else "bad"}">{found.word}</p>'
    return f'<header><p class="kicker">Fingerprint report</p><h1>{text(found.bundle)}</h1>{badge}</header>'


def _short(found: Inspection) -> str:
    """First in the page's order is the sentence, whatever the window shows beside it."""
    said = summary(found)
    rows = [("Who signed", text(said.signed))]
    if said.said:
        rows.append(("Only said by the owner" if _verifies(found) else "Only said", text(said.said)))
    holds = f'<div><p class="holds">{text(said.holds)}</p>{facts(rows)}</div>'
    return f'<div class="short">{holds}{_picture(found)}</div>'


def _picture(found: Inspection) -> str:
    if found.picture is None or found.verdict is None or found.failure is not None:
        strike = "" if _verifies(found) else f'<path stroke-width="9" d="{_STRIKE}"/>'
        label = "No picture" if _verifies(found) else "No picture, struck through"
        return (
            f'<figure><svg viewBox="0 0 256 256" role="img" aria-label="{label}">'
            f'<path stroke="none" d="{_HEAD_AND_EARS}"/>{strike}</svg>'
            "<figcaption>A picture that was not checked is not shown.</figcaption></figure>"
        )
    data = base64.b64encode(found.picture).decode()
    label = "Checked: drawn by the embedded generator."
    if found.verdict.picture.foreign:
        label = "Drawn by a foreign generator, which can be made to draw anything."
    return (
        f'<figure><img alt="Picture of the fingerprint {found.verdict.words}" src="data:image/png;base64,{data}">'
        f"<figcaption><b>{found.verdict.words}</b> {label}</figcaption></figure>"
    )


def _verified(found: Inspection) -> str:
    if found.failure is not None or found.verdict is None:
        return ""
    parts = ["<h2>Which model, and when</h2>", facts(_identity(found))]
    parts += [f"<h2>{heading}</h2>{items(said)}" for heading, said in found.verdict.sections()]
    return "".join([*parts, f"<h2>Check it yourself</h2>{listed(_CHECK)}"])


def _identity(found: Inspection) -> list[tuple[str, str]]:
    """Names of what the bundle is about, as HTML; of a failed bundle they are claims."""
    rows = []
    if found.verdict is not None:
        rows.append(("In six words", f"<b>{found.verdict.words}</b>"))
    if found.statement is not None:
        rows.append(("Model id", code(found.statement.model_id)))
    if found.root is not None:
        rows.append(("Root of its weights", code(found.root)))
    if found.fingerprint is not None:
        rows.append(("Fingerprint", code(found.fingerprint)))
    return [*rows, ("Checked", _when(found))]


def _when(found: Inspection) -> str:
    iso = found.checked.isoformat(timespec="seconds")
    return f'<time datetime="{iso}">{found.checked:%Y-%m-%d %H:%M} UTC</time>; the bundle itself has no date'


def _failed(found: Inspection) -> str:
    if _verifies(found):
        return ""
    parts = [] if found.failure is None else [_failure(found.failure)]
    if found.words:
        parts.append(f"<h2>{CLAIMED}</h2>{facts(_identity(found))}{items(found.words)}")
    return "".join(parts)


def _failure(failure: Failure) -> str:
    rows = [
        ("What it means", failure.meaning, text),
        ("Check", failure.path, code),
        ("Message", failure.message, text),
        ("Expected", failure.expected, code),
        ("Got", failure.got, code),
        ("Hint", failure.hint, text),
    ]
    shown = facts((name, how(said)) for name, said, how in rows if said)
    return f'<h2>The first check that failed</h2><div class="failure">{shown}</div>'


def _words() -> str:
    explained = facts((term, text(said)) for term, said in GLOSSARY)
    return f"<h2>Words on this page</h2>{folded('Glossary', f'{len(GLOSSARY)} words explained', explained)}"


def _technical(found: Inspection) -> str:
    inner = technical(found)
    title = "Technical part" if _verifies(found) else f"Technical part: {CLAIMED.lower()}"
    return f"<h2>{title}</h2>{inner}" if inner else ""


def _footer(found: Inspection) -> str:
    lines = [f"Made by huref {version('huref')}, {_when(found)}."]
    if found.ignored:
        names = ", ".join(quoted(name) for name in found.ignored[:_NAMED])
        lines.append(f"Files that are no part of the bundle, ignored: {text(names)}")
    return f"<footer>{''.join(f'<p>{line}</p>' for line in lines)}</footer>"
