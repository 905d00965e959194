"""`python -m tests.browser [--bundle BUNDLE] [--shots FOLDER] [--site FOLDER]`: pages in a real browser.

The report of BUNDLE (default: a frozen one) as it is, rejected and malformed, and the registry's pages, each in five
windows; with `--site` every page of a built documentation instead. A finding is a line, and exit
code 1. `--shots` writes the pictures of the report and of a registry that the documentation shows, as PNG files of at
most 256 colours.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from tests.browser.sources import FROZEN, folder_served, registry_served, write_reports
from tests.browser.window import (
    VIEWS,
    NoBrowser,
    View,
    browser,
    by_keyboard,
    opened,
    too_wide,
    unfold,
    violations,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SHOTS = {
    "report.png": ("verified.html", View("", 1100, 1320)),
    "report-dark.png": ("verified.html", View("", 1100, 1320, "dark")),
    "report-narrow.png": ("verified.html", View("", 400, 1400)),
    "report-rejected.png": ("rejected.html", View("", 1100, 1320)),
    "registry.png": ("", View("", 1000, 800)),
}
"""Of each picture the report, or none for a registry's first page, and the window."""


def check(
    chromium: Browser, addresses: Sequence[str], views: Sequence[View] = VIEWS, keys: bool = True
) -> list[str]:
    """A line for each finding on these pages; `keys` goes through them by keyboard too."""
    lines = []
    for address in addresses:
        for view in views:
            with opened(chromium, address, view) as (page, heard):
                found = violations(page) + too_wide(page) + (by_keyboard(page) if keys else [])
                unfold(page)
                found += (violations(page) if view.unfolded else []) + too_wide(page) + heard
            lines += [
                f"{address.rpartition('/')[2] or '/'} ({view.name}): {line}" for line in dict.fromkeys(found)
            ]
    return lines


def check_reports(bundle: Path) -> list[str]:
    """All findings on the reports of a bundle and on a registry's pages. NoBrowser where there is none."""
    with tempfile.TemporaryDirectory() as name, browser() as chromium:
        folder = Path(name)
        reports = write_reports(bundle, folder)
        with folder_served(folder) as url, registry_served(folder) as registry:
            return check(chromium, [*(f"{url}/{report}" for report in reports), *registry])


def check_site(site: Path) -> list[str]:
    """All findings on every page of a built documentation; the theme's own keyboard is not gone through."""
    names = sorted(str(path.relative_to(site)) for path in site.rglob("*.html"))
    views = [replace(view, unfolded=False) for view in VIEWS[:3]]
    with browser() as chromium, folder_served(site) as url:
        return check(chromium, [f"{url}/{name}" for name in names], views, keys=False)


def take_pictures(bundle: Path, target: Path) -> None:
    """Write the documentation's pictures of the report and of a registry."""
    with tempfile.TemporaryDirectory() as name, browser() as chromium:
        folder = Path(name)
        write_reports(bundle, folder)
        with folder_served(folder) as url, registry_served(folder) as registry:
            for file, (report, view) in SHOTS.items():
                address = f"{url}/{report}" if report else registry[0]
                with opened(chromium, address, view) as (page, _):
                    picture = Image.open(io.BytesIO(page.screenshot()))
                picture.convert("RGB").quantize(256).save(target / file, optimize=True)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=FROZEN)
    parser.add_argument("--shots", type=Path)
    parser.add_argument("--site", type=Path)
    wanted = parser.parse_args()
    try:
        found = check_reports(wanted.bundle) if wanted.site is None else check_site(wanted.site)
        if wanted.shots is not None:
            take_pictures(wanted.bundle, wanted.shots)
    except NoBrowser as missing:
        print(f"not checked: {missing}", file=sys.stderr)
        return 2
    print("\n".join(found) or "no findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
