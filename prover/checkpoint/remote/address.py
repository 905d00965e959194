"""Addresses of checkpoints: hf://OWNER/MODEL[@REVISION][/PATH], or an https address of a folder or a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from huref.common.errors import UsageError
from huref.common.files.address import WEIGHTS

SCHEMES: Sequence[str] = ("https",)
"""Schemes of servers that are no hub. Wider in tests only."""
_HUB = re.compile(
    r"hf://(?:models/)?(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>refs/(?:pr|convert)/[^/@]+|[^/@]+))?(?:/(?P<path>.*))?"
)
_PAGE = re.compile(
    r"/(?P<repo>[\w.-]+/[\w.-]+)(?:/(?:tree|blob|resolve)/(?P<revision>refs/(?:pr|convert)/[^/]+|[^/]+)(?:/(?P<path>.*))?)?"
)


@dataclass(frozen=True)
class HubAddress:
    """A folder, or one file, of a model repository; `revision` is None for its default branch."""

    repo: str
    revision: str | None
    path: str

    def __str__(self) -> str:
        at = f"@{self.revision}" if self.revision else ""
        return f"hf://{self.repo}{at}{'/' + self.path if self.path else ''}"


@dataclass(frozen=True)
class SiteAddress:
    """A folder of a web server (its address ends in a slash), and the one file in it that is meant, if one is."""

    folder: str
    file: str
    query: str

    def __str__(self) -> str:
        return self.folder + self.file

    def of(self, name: str) -> str:
        """The address of a file of the folder."""
        return self.folder + name + (f"?{self.query}" if self.query else "")


def parse_address(text: str, endpoint: str) -> HubAddress | SiteAddress:
    """Read an address; an https address of the hub at `endpoint` is one of a repository there.

    Raises:
        UsageError: it is no such address.
    """
    if text.startswith("hf://"):
        found = _HUB.fullmatch(text)
        if found is None or not _plain(found["path"]):
            raise UsageError(
                f"{text}: not an address of a model",
                hint="write hf://OWNER/MODEL or hf://OWNER/MODEL@REVISION",
            )
        return HubAddress(found["repo"], _revision(found["revision"]), (found["path"] or "").strip("/"))
    try:
        parts = urlsplit(text)
        whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    if not whole or not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(f"{text}: not an address")
    hub = urlsplit(endpoint)
    page = (
        _PAGE.fullmatch(parts.path.rstrip("/"))
        if (parts.scheme, parts.netloc) == (hub.scheme, hub.netloc)
        else None
    )
    if page is not None and _plain(page["path"]):
        return HubAddress(page["repo"], _revision(page["revision"]), (page["path"] or "").strip("/"))
    if parts.scheme not in SCHEMES or parts.username is not None:
        raise UsageError(f"{text}: checkpoints are read from hf:// and https:// addresses only")
    folder, _, name = parts.path.rpartition("/")
    if not name.lower().endswith(WEIGHTS):
        folder, name = parts.path.rstrip("/"), ""
    return SiteAddress(f"{parts.scheme}://{parts.netloc}{folder}/", name, parts.query)


def _plain(path: str | None) -> bool:
    parts = (path or "").strip("/").split("/")
    return not any(part in (".", "..") or "\\" in part for part in parts)


def _revision(text: str | None) -> str | None:
    return None if text is None else unquote(text)
