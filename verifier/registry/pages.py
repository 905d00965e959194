"""The registry's pages: no scripts, everything escaped, readable at 400 pixels, by keyboard, light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from huref.common.text import counted
from huref.common.words import word_fingerprint
from huref.verifier.registry.entry import Checkpoint, Entry
from huref.verifier.registry.search import Hit

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --good: light-dark(#1a6e31, #5fd38a);
        --ink: light-dark(#1b1f24, #e7eaee); --page: light-dark(#ffffff, #14171c);
        --link: light-dark(#0b57d0, #8ab4ff); }
a { color: var(--link); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 1.5rem auto; padding: 0 1rem;
       color: var(--ink); background: var(--page); }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; } h2 { font-size: 1.15rem; margin: 1.5rem 0 .5rem; }
form { display: flex; gap: .5rem; flex-wrap: wrap; margin: 1rem 0; } label { flex: 1 0 100%; }
input { flex: 1 1 12rem; font: inherit; padding: .4rem; }
button { font: inherit; padding: .4rem 1rem; }
ul.entries { list-style: none; padding: 0; display: grid; gap: 1rem;
             grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); }
ul.entries li { border: 1px solid var(--line); border-radius: 10px; padding: .8rem; overflow-wrap: anywhere; }
img { width: 100%; max-width: 16rem; height: auto; border-radius: 8px; background: #fff; }
.good { color: var(--good); font-weight: 600; } small, .meta { font-size: .87rem; }
code, pre { font-size: .85rem; overflow-wrap: anywhere; white-space: pre-wrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; } }
"""
_NOTE = (
    "An entry says that its bundle verified here when it was added, and nothing about who trained a model: names are "
    "what the registry was told. Check a bundle yourself before you rely on it."
)


def home(checkpoint: Checkpoint, shown: Sequence[Entry], total: int, query: str) -> str:
    """The list, or what a search found."""
    entries = counted(total, "entry", "entries")
    found = f"{len(shown)} of {entries}" if query.strip() else f"{entries}, newest first"
    items = "".join(_card(entry) for entry in shown)
    body = (
        f"<header><h1>Model fingerprints: {escape(checkpoint.origin)}</h1><p class=meta>{_NOTE}</p></header><main>"
        "<form method=get role=search><label for=q>Name, model id, fingerprint or digest</label>"
        f'<input id=q name=q type=search value="{escape(query)}" maxlength=200><button>Search</button></form>'
        f"<p aria-live=polite>{found}</p><ul class=entries>{items}</ul></main>"
        f"<footer class=meta><h2>Log</h2><dl>{_facts(_log(checkpoint))}</dl></footer>"
    )
    return _page(f"Model fingerprints: {checkpoint.origin}", body)


def entry(number: int, entry: Entry, near: Sequence[Hit], address: str) -> str:
    """One entry, its check, and the entries most similar to it."""
    facts = {
        "Words": word_fingerprint(entry.fingerprint, entry.model_id),
        "Model id": entry.model_id,
        "Fingerprint": entry.fingerprint,
        "Bundle digest": entry.digest,
        "Owner's key": entry.signer or "not signed",
        "Profile": f"{entry.profile}, K = {entry.k}",
        "Entry": f"{number}, added {entry.added}",
    }
    rows = "".join(
        f'<li><a href="/entry/{hit.entry.digest}">{escape(hit.entry.name)}</a>: cosine {hit.similarity.cosine:+.4f}, '
        f"{escape(hit.verdict or 'no verdict')}</li>"
        for hit in near
    )
    body = (
        f'<nav><a href="/">All entries</a></nav><main><h1>{escape(entry.name)}</h1>'
        f"{_picture(entry)}<p>{_status(entry)}</p><dl>{_facts(facts)}</dl><h2>Check it yourself</h2>"
        f"<pre><code>huref verify {escape(address)} --root {entry.model_id}</code></pre>"
        f"<h2>Most similar</h2><ul>{rows or '<li>No other entry of this kind.</li>'}</ul></main>"
        f"<footer><p class=meta>{_NOTE}</p></footer>"
    )
    return _page(entry.name, body)


def _card(entry: Entry) -> str:
    name = escape(entry.name)
    return (
        f'<li>{_picture(entry)}<br><a href="/entry/{entry.digest}">{name}</a><br>'
        f"<small>{escape(word_fingerprint(entry.fingerprint, entry.model_id))}<br>{_status(entry)}</small></li>"
    )


def _picture(entry: Entry) -> str:
    words = escape(word_fingerprint(entry.fingerprint, entry.model_id))
    return (
        f'<img src="/pictures/{entry.digest}.png" alt="Picture of the fingerprint {words}" '
        "width=256 height=256 loading=lazy>"
    )


def _status(entry: Entry) -> str:
    return f"<span class=good>✓ verified</span> when added, {entry.security_bits} bits"


def _log(checkpoint: Checkpoint) -> dict[str, str]:
    return {"Entries": str(checkpoint.size), "Root": checkpoint.root, "Signed by": checkpoint.signer}


def _facts(facts: dict[str, str]) -> str:
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body>{body}</body></html>\n"
    )
