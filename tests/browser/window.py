"""A page in headless Chromium: what axe-core finds, what it asks of the network, whether it fits, and the keyboard."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
HOW = "python -m pip install -r tests/browser/requirements.txt, and a Chromium (Debian: apt-get install chromium)"
MAX_TABS = 200


class NoBrowser(Exception):
    """What is missing, and how to install it."""


@dataclass(frozen=True)
class View:
    """A window: its width and height in CSS pixels, and the colours the user prefers, "light" or "dark".

    `unfolded` also examines what is folded, which takes many times as long.
    """

    name: str
    width: int
    height: int
    colours: str = "light"
    unfolded: bool = False


VIEWS = (
    View("light", 1100, 900, unfolded=True),
    View("dark", 1100, 900, "dark", unfolded=True),
    View("narrow", 400, 800),
    View("narrow dark", 400, 800, "dark"),
    View("320 pixels", 320, 640),
)


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium of this machine. NoBrowser says what is missing."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        raise NoBrowser(f"no Chromium found: {HOW}")
    try:
        import axe_playwright_python  # noqa: F401
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise NoBrowser(f"the package {error.name} is missing: {HOW}") from None
    with sync_playwright() as run:
        opened = run.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def opened(chromium: Browser, address: str, view: View) -> Iterator[tuple[Page, list[str]]]:
    """The page in a window of its own, and what it asked for elsewhere or did not get."""
    context = chromium.new_context(
        viewport={"width": view.width, "height": view.height}, color_scheme=view.colours
    )  # type: ignore[arg-type]
    page, heard = context.new_page(), []
    origin = address.split("/", 3)[:3]

    def asked(request: Any) -> None:
        if not request.url.startswith("data:") and request.url.split("/", 3)[:3] != origin:
            heard.append(f"asks for {request.url}")

    def answered(answer: Any) -> None:
        if answer.status >= 400 and not answer.url.endswith("/favicon.ico"):
            heard.append(f"gets {answer.status} for {answer.url}")

    page.on("request", asked)
    page.on("response", answered)
    page.on("pageerror", lambda error: heard.append(f"fails: {error}"))
    page.goto(address, wait_until="load")
    try:
        yield page, heard
    finally:
        context.close()


def violations(page: Page) -> list[str]:
    """Everything that axe-core calls a violation, best practices included."""
    from axe_playwright_python.sync_playwright import Axe

    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: {node['html'][:160]}"
        for rule in Axe().run(page).response["violations"]
        for node in rule["nodes"]
    ]


def too_wide(page: Page) -> list[str]:
    """Whether the page is wider than its window."""
    sizes = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    width, window = page.evaluate(sizes)
    return [f"is {width} pixels wide in a window of {window}"] if width > window else []


def by_keyboard(page: Page) -> list[str]:
    """Tab reaches everything that can be opened, shows where it is, and Enter opens it."""
    visible = "(el) => el.checkVisibility()"
    wanted = sum(page.evaluate(visible, element) for element in page.query_selector_all("summary"))
    reached, found = 0, []
    for _ in range(MAX_TABS):
        page.keyboard.press("Tab")
        focus = page.evaluate_handle("document.activeElement").as_element()
        tag = focus.evaluate("(el) => el.tagName") if focus else "BODY"
        if focus is None or tag == "BODY":
            break
        if focus.evaluate("(el) => getComputedStyle(el).outlineStyle") == "none":
            found.append(f"no sign of the focus on {tag} {focus.inner_text()[:60]!r}")
        if tag == "SUMMARY":
            reached += 1
            page.keyboard.press("Enter")
            if not focus.evaluate("(el) => el.parentElement.open"):
                found.append(f"Enter does not open {focus.inner_text()[:60]!r}")
            page.keyboard.press("Enter")
    if reached != wanted:
        found.append(f"Tab reaches {reached} of {wanted} folded parts")
    return found


def unfold(page: Page) -> None:
    """Open everything that is folded."""
    page.evaluate("document.querySelectorAll('details').forEach((el) => { el.open = true; })")
