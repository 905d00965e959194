"""An inspection as one self-contained HTML page: no scripts, no outside files, everything escaped.

A policy in the page's head forbids a browser to load or run anything else, should an escape ever be missed.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby

from huref.common.text import escape as printable
from huref.common.text import quoted
from huref.verifier.report.inspection import Inspection, Message

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_NAMED = 20
"""Foreign files that are named on the page."""
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --good: #1a7f37; --bad: #c62828; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
header { display: flex; gap: 1.5rem; align-items: center; flex-wrap: wrap; }
figure { margin: 0; max-width: 256px; } figcaption { font-size: .8rem; opacity: .75; }
header img { width: 256px; height: 256px; border-radius: 12px; image-rendering: auto; border: 1px solid var(--line); }
h1 { margin: 0 0 .3rem; font-size: 1.6rem; overflow-wrap: anywhere; } h2 { margin: 2rem 0 .5rem; font-size: 1.15rem; }
.badge { display: inline-block; padding: .15rem .7rem; border-radius: 1rem; color: #fff; font-weight: 600; }
.good { background: var(--good); } .bad { background: var(--bad); }
.wrap { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .87rem; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code { font-size: .85em; overflow-wrap: anywhere; }
details { border: 1px solid var(--line); border-radius: 8px; margin: .35rem 0; padding: .35rem .8rem; }
summary { cursor: pointer; font-weight: 500; } summary span { opacity: .65; font-weight: 400; }
.failure { border-left: 4px solid var(--bad); padding: .5rem 1rem; background: var(--soft); }
.bar { display: inline-block; height: .6rem; background: var(--good); border-radius: 2px; opacity: .7; }
li { overflow-wrap: anywhere; }
"""


def page(found: Inspection) -> str:
    """The whole page."""
    parts = [_header(found), _failure(found), _verdict(found), _statement(found), _layers(found)]
    parts += [_ledger(found), _transcript(found), _positions(found), _timings(found)]
    body = "\n".join(part for part in parts if part)
    title = _text(found.bundle)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body>{body}</body></html>\n"
    )


def _header(found: Inspection) -> str:
    image = ""
    if found.picture is not None:
        data = base64.b64encode(found.picture).decode()
        image = f'<figure><img alt="the fingerprint\'s picture" src="data:image/png;base64,{data}">'
        label = "checked, drawn by the embedded generator"
        if found.verdict is not None and found.verdict.picture.foreign:
            label = "drawn by a foreign generator, which can be made to draw anything"
        image += f"<figcaption>{label}</figcaption></figure>"
    word, kind = (found.failure.word, "bad") if found.failure else ("VERIFIED", "good")
    lines = f'<h1>{_text(found.bundle)}</h1><span class="badge {kind}">{word}</span>'
    if found.fingerprint is not None:
        words = "" if found.verdict is None else f" <b>{found.verdict.words}</b>"
        lines += f"<p>fingerprint{words}<br><code>{found.fingerprint}</code></p>"
    if found.ignored:
        lines += f"<p>ignored: {_text(', '.join(quoted(name) for name in found.ignored[:_NAMED]))}</p>"
    if found.security is not None and found.verdict is not None:
        lines += (
            f"<p>{found.security.bits:.1f} provable bits, set by <code>{_text(found.security.binding.label)}</code>; "
            f"{sum(found.files.values()) / 1e6:.2f} MB in all</p>"
        )
    return f"<header>{image}<div>{lines}</div></header>"


def _failure(found: Inspection) -> str:
    failure = found.failure
    if failure is None:
        return ""
    rows = [
        ("what it means", failure.meaning),
        ("check", failure.path),
        ("message", failure.message),
        ("expected", failure.expected),
        ("got", failure.got),
        ("hint", failure.hint),
    ]
    shown = "".join(
        f"<tr><th>{name}</th><td><code>{_text(text)}</code></td></tr>" for name, text in rows if text
    )
    return f'<h2>First failing check</h2><div class="failure"><table>{shown}</table></div>'


def _statement(found: Inspection) -> str:
    if not found.words:
        return ""
    said = found.statement
    lists = ""
    if said is not None:
        lists = _details(
            "the vector v", f"{len(said.v)} integers", f"<code>{', '.join(map(str, said.v))}</code>"
        )
    if found.directory is not None:
        ids = ", ".join(map(str, found.directory.tokens.ids))
        lists += _details("token ids", f"{found.directory.k}, most frequent first", f"<code>{ids}</code>")
    return f"<h2>Statement, as the bundle says it</h2>{_list(found.words)}{lists}"


def _verdict(found: Inspection) -> str:
    if found.verdict is None:
        return ""
    return "".join(f"<h2>{heading}</h2>{_list(said)}" for heading, said in found.verdict.sections())


def _layers(found: Inspection) -> str:
    if not found.layers:
        return ""
    parts = ["<h2>Layers</h2>", _table(("what", "size"), found.geometry.items())]
    for layer in found.layers:
        fine = "none (shift 0)" if layer.calibration[1] is None else f"{layer.calibration[1]:,}"
        rows = [
            ("accumulator", layer.formula),
            ("static bound of |accumulator|", f"{layer.static_bound:,}"),
            ("canonical shift", f"{layer.shift}"),
            ("calibration sum at the shift, and one below", f"{layer.calibration[0]:,} and {fine}"),
            ("clamped to", f"[{layer.clamp[0]}, {layer.clamp[1]}]"),
            ("clamp table covers quotients in", f"[−{layer.table_height}, {layer.table_height})"),
            ("looked up as", ", ".join(layer.claims)),
        ]
        parts.append(_details(layer.name, f"{layer.formula}, {layer.rows} × {layer.cols}", _table((), rows)))
    return "".join(parts)


def _ledger(found: Inspection) -> str:
    if found.security is None:
        return ""
    rows = [
        (
            f"{'▶ ' if term == found.security.binding else ''}{term.label}",
            term.formula,
            f"{term.error_bits:.1f}",
            str(term.grinding or ""),
            f"{term.bits:.1f}",
        )
        for term in sorted(found.security.terms, key=lambda term: term.bits)
    ]
    heads = ("round", "error", "bits", "grinding", "total")
    return f"<h2>Soundness ledger</h2>{_table(heads, rows, numbers=(2, 3, 4))}"


def _transcript(found: Inspection) -> str:
    if not found.messages:
        return ""
    parts = []
    for group, items in groupby(found.messages, key=lambda message: message.label.split(".")[0]):
        messages = list(items)
        sent = sum(message.size for message in messages if message.kind == "absorb")
        rows = [_message_row(message) for message in messages]
        inner = _table(("", "label", "bytes", "begins with"), rows, numbers=(2,))
        parts.append(_details(group, f"{len(messages)} events, {sent:,} bytes absorbed", inner))
    return f"<h2>Messages and challenges, in order</h2>{''.join(parts)}"


def _message_row(message: Message) -> tuple[str, ...]:
    arrow = "prover sends →" if message.kind == "absorb" else "← challenge"
    return arrow, message.label, f"{message.size:,}", message.preview + ("…" if message.size > 16 else "")


def _positions(found: Inspection) -> str:
    parts = [
        _details(name, f"{len(values)} code points", f"<code>{', '.join(map(str, values))}</code>")
        for name, values in found.positions.items()
    ]
    return f"<h2>Opened positions</h2>{''.join(parts)}" if parts else ""


def _timings(found: Inspection) -> str:
    if found.verdict is None:
        return ""
    rows = [(name, f"{seconds * 1000:.0f} ms") for name, seconds in found.verdict.seconds.items()]
    sizes = [(name, f"{size:,} bytes") for name, size in found.files.items()]
    return f"<h2>Time and files</h2>{_table((), rows + sizes, numbers=(1,))}"


def _details(name: str, about: str, inner: str) -> str:
    head = f"<summary>{_text(name)} <span>{_text(about)}</span></summary>"
    return f'<details>{head}<div class="wrap">{inner}</div></details>'


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(line)}</li>" for line in lines) + "</ul>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        marks = [' class="n"' if i in numbers else "" for i in range(len(row))]
        return "".join(f"<{tag}{mark}>{_text(text)}</{tag}>" for mark, text in zip(marks, row, strict=True))

    head = f"<tr>{cells('th', heads)}</tr>" if heads else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wrap"><table>{head}{body}</table></div>'


def _text(text: str) -> str:
    """Text for the page: control characters and bidi marks shown as escapes, then escaped for HTML."""
    return escape(printable(text))
