"""Reports and the registry's pages in a real browser; skipped where it or tests/browser/requirements.txt is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.__main__ import check, check_reports
from tests.browser.sources import FROZEN, folder_served
from tests.browser.window import VIEWS, NoBrowser, browser

BAD = """<!doctype html><html><head><style>summary:focus-visible { outline: none } p { color: #999; background: #fff }
div { width: 2000px }</style></head><body><details><summary>more</summary><p>pale</p></details>
<div><img src="http://127.0.0.1:1/x.png"></div></body></html>"""


@pytest.mark.slow
def test_pages_have_no_findings() -> None:
    try:
        found = check_reports(FROZEN)
    except NoBrowser as missing:
        pytest.skip(str(missing))
    assert found == []


@pytest.mark.slow
def test_a_bad_page_has_findings(tmp_path: Path) -> None:
    """Each kind of finding can happen."""
    (tmp_path / "bad.html").write_text(BAD)
    try:
        with browser() as chromium, folder_served(tmp_path) as url:
            found = "\n".join(check(chromium, [f"{url}/bad.html"], VIEWS[:1]))
    except NoBrowser as missing:
        pytest.skip(str(missing))
    for word in (
        "html-has-lang",
        "image-alt",
        "color-contrast",
        "pixels wide",
        "asks for http",
        "no sign of the focus",
    ):
        assert word in found, word
