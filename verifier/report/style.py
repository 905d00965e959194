"""How the page looks: two sets of colours, one column on a narrow window, nothing that is loaded.

Colours are named once for light and once for dark; tests/verifier/report/test_page.py computes every contrast.
"""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --soft: #f3f5f7; --ink: #1b1f24; --quiet: #4e5761;
        --line: #c4cad1; --good: #176b2d; --on-good: #ffffff; --bad: #b3261e; --on-bad: #ffffff; --focus: #0b57d0; }
@media (prefers-color-scheme: dark) {
:root { --page: #14171c; --soft: #1f242b; --ink: #e7eaee; --quiet: #aab4be;
        --line: #434b55; --good: #6fd98f; --on-good: #06210f; --bad: #ff8f86; --on-bad: #2d0502; --focus: #8ab4ff; }
}
* { box-sizing: border-box; }
body { font: 1rem/1.55 system-ui, sans-serif; color: var(--ink); background: var(--page);
       max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; overflow-wrap: anywhere; }
h1 { margin: 0 0 .6rem; font-size: 1.6rem; line-height: 1.25; }
h2 { margin: 2.2rem 0 .6rem; font-size: 1.25rem; }
h3 { margin: 1.4rem 0 .4rem; font-size: 1.05rem; }
summary h3 { display: inline; margin: 0; }
small, figcaption, footer { font-size: .875rem; color: var(--quiet); }
figcaption { margin-top: .4rem; }
figcaption b { display: block; }
.kicker { margin: 0; color: var(--quiet); }
.badge { display: inline-block; margin: 0; padding: .2rem .9rem; border-radius: 1rem; font-weight: 700; }
.good { color: var(--on-good); background: var(--good); }
.bad { color: var(--on-bad); background: var(--bad); }
.short { display: grid; grid-template-columns: 16rem 1fr; gap: 1.75rem; margin-top: 1.5rem; align-items: start; }
.holds { margin: 0 0 1rem; font-size: 1.15rem; font-weight: 600; line-height: 1.45; }
figure { margin: 0; }
.short figure { order: -1; }
img, svg { display: block; width: 100%; height: auto; border-radius: 12px; border: 1px solid var(--line); }
svg { background: var(--soft); stroke: var(--bad); fill: var(--line); }
.failure { border-left: 5px solid var(--bad); padding: .1rem 1rem; background: var(--soft); }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: .35rem 1.25rem; margin: .5rem 0; }
dt { font-weight: 600; }
dd { margin: 0; }
li { margin: .3rem 0; }
code { font-size: .9em; }
.option { white-space: nowrap; }
details { border: 1px solid var(--line); border-radius: 8px; margin: .4rem 0; padding: .5rem .9rem; }
summary { cursor: pointer; }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; border-radius: 4px; }
.wrap { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; width: 100%; min-width: 30rem; font-size: .875rem; }
th, td { text-align: left; font-weight: 400; padding: .3rem .6rem; border-bottom: 1px solid var(--line);
         vertical-align: top; }
thead th { font-weight: 600; }
th.n, td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
footer { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: .8rem; }
@media (max-width: 42rem) {
.short, dl { grid-template-columns: 1fr; }
.short figure { max-width: 16rem; order: 0; }
dl { gap: 0; }
dd { margin-bottom: .6rem; }
}
"""
