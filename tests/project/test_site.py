"""The documentation as a site: it builds without a warning, loads nothing from elsewhere, and knows every command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import typer

from huref import prover, verifier
from huref.common import errors
from huref.common.cli import app
from tests import ROOT
from tests.support.command import huref

LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "link": "href",
    "object": "data",
    "use": "href",
}
PASSIVE = {"canonical", "next", "prev", "alternate"}
"""Links of the head that a browser does not follow by itself."""


class Page(HTMLParser):
    """What a page loads, where it leads, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.styles: list[str] = []
        self.classes: set[str] = set()
        self.images: list[dict[str, str | None]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {found.get("id") or "", found.get("name") or ""}
        self.classes |= set((found.get("class") or "").split())
        self.styles.append(found.get("style") or "")
        if tag == "a":
            self.links.append(found.get("href") or "")
        if tag == "img":
            self.images.append(found)
        passive = tag == "link" and set((found.get("rel") or "").split()) & PASSIVE
        if tag in LOADS and not passive:
            self.loads += [value for name in (LOADS[tag], "srcset") if (value := found.get(name))]

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style":
            self.styles.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it; a warning fails."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    settings = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    return {str(path.relative_to(site)): Page(path) for path in sorted(site.rglob("*.html"))}


def test_every_document_is_a_page(pages: dict[str, Page]) -> None:
    wanted = {
        str(path.relative_to(ROOT / "docs").with_suffix(".html")) for path in (ROOT / "docs").rglob("*.md")
    }
    assert wanted | {"reference/command-line.html", "reference/python.html", "404.html"} == set(pages)


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        outside = [address for address in page.loads if urlsplit(address).netloc]
        assert page.loads and not outside, (name, outside)
        assert not re.search(r"url\(\s*['\"]?(https?:)?//|@import", " ".join(page.styles)), name
        assert "mermaid" not in page.classes, name  # the theme would fetch what draws it
    sheets = list(site.rglob("*.css"))
    assert len(sheets) >= 2
    for sheet in sheets:
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"url\(\s*['\"]?(https?:)?//|@import\s+['\"]?(https?:)?//", text), sheet


def test_the_test_sees_what_is_loaded(tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        '<link rel="stylesheet" href="https://fonts.example/x"><script src="//cdn.example/x.js"></script>'
    )
    assert [urlsplit(address).netloc for address in Page(bad).loads] == ["fonts.example", "cdn.example"]


def test_links_and_pictures_are_there(site: Path, pages: dict[str, Page]) -> None:
    missing = []
    for name, page in pages.items():
        if name == "404.html":
            continue
        for address in [*page.links, *page.loads]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (site / name).parent / unquote(parts.path) if parts.path else site / name
            if target.is_dir():
                target = target / "index.html"
            known = pages.get(str(target.resolve().relative_to(site.resolve())))
            anchor = unquote(parts.fragment)
            if not target.is_file() or (
                anchor and known and anchor not in known.anchors and anchor != "__codelineno"
            ):
                missing.append(f"{name}: {address}")
    assert not missing, missing
    assert all(image.get("alt") for page in pages.values() for image in page.images)


def test_the_command_line_is_whole(site: Path) -> None:
    text = (site / "reference" / "command-line.html").read_text(encoding="utf-8")
    huref("--version")  # registers nothing for good, and shows that the commands load
    names = re.findall(r"^  ([a-z]+)  ", huref("-h").out.split("Commands:")[1], re.M)
    for group in ("registry", "generator"):
        names += [
            f"{group} {name}"
            for name in re.findall(r"^  ([a-z]+)  ", huref(group, "-h").out.split("Commands:")[1], re.M)
        ]
    assert len(names) > 25
    for name in names:
        assert f">huref {name}<" in text, name
        for option in re.findall(r"^  (?:-\w, )?(--[a-z-]+)", huref(*name.split(), "-h").out, re.M):
            assert f"{option}" in text, (name, option)
    assert app.info.name == "huref" and isinstance(app, typer.Typer)


def test_the_library_is_whole(site: Path) -> None:
    text = (site / "reference" / "python.html").read_text(encoding="utf-8")
    raised = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__
    ]
    for name in [*verifier.__all__, *prover.__all__, *raised]:
        assert f'id="{name.lower()}' in text, name
    assert "returning at all means that it holds" in text


def test_make_builds_what_is_installed() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^docs: install\n\t\$\(BIN\)/python -m mkdocs build --strict$", makefile, re.M)
    extras: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert [line.split(">")[0] for line in extras["docs"]] == ["mkdocs-material"]
