"""A file from an https address: capped, with a deadline, never anything but https on the way."""

from __future__ import annotations

import http.client
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from huref.common.errors import Damaged, InputOutputError, Malformed, UsageError

TIMEOUT = 30.0
"""Seconds that a server may be silent."""
DEADLINE = 600.0
"""Seconds in all."""
SCHEMES: Sequence[str] = ("https",)
_CHUNK = 1 << 16


def download(
    address: str, cap: int, *, schemes: Sequence[str] = SCHEMES, deadline: float = DEADLINE
) -> bytes:
    """The content at `address`, at most `cap` bytes.

    Raises:
        UsageError: not an https address. `schemes` is wider in tests only.
        InputOutputError: the server cannot be reached, answers with an error, or takes too long.
        Malformed: it is larger than the cap. Damaged: the connection ended early.
    """
    _check(address, schemes)
    found: list[bytes | Exception] = []

    def fetch() -> None:
        try:
            found.append(_fetch(address, cap, schemes, deadline))
        except Exception as error:
            found.append(error)

    # A thread, because headers that come a byte at a time end in no timeout of a socket.
    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(deadline)
    if not found:
        raise InputOutputError(f"{address}: the download takes too long")
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _fetch(address: str, cap: int, schemes: Sequence[str], deadline: float) -> bytes:
    opener = _opener(schemes)
    request = urllib.request.Request(address, headers={"User-Agent": "huref", "Accept-Encoding": "identity"})
    end = time.monotonic() + deadline
    try:
        with opener.open(request, timeout=TIMEOUT) as answer:
            return _read(answer, address, cap, end)
    except urllib.error.HTTPError as error:
        raise InputOutputError(f"{address}: the server answers {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise InputOutputError(f"{address}: {error.reason}") from None
    except http.client.InvalidURL:
        raise UsageError(f"{address}: not an address") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise InputOutputError(f"{address}: {error or type(error).__name__}") from None


def _read(answer: http.client.HTTPResponse, address: str, cap: int, end: float) -> bytes:
    said = answer.headers.get("Content-Length", "")
    expected = int(said) if re.fullmatch("[0-9]{1,18}", said) else None
    if expected is not None and expected > cap:
        raise Malformed(f"{address}: {expected} bytes, at most {cap} are allowed")
    parts, size = [], 0
    while size != expected and (part := answer.read1(_CHUNK)):
        parts.append(part)
        size += len(part)
        if size > cap:
            raise Malformed(f"{address}: more than {cap} bytes")
        if time.monotonic() > end:
            raise InputOutputError(f"{address}: the download takes too long")
    if expected is not None and size < expected:
        raise Damaged(f"{address}: {size} of {expected} bytes came", hint="download it again")
    return b"".join(parts)


def _check(address: str, schemes: Sequence[str]) -> None:
    try:
        parts = urlsplit(address)
        whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    if not whole or not address.isascii() or not address.isprintable() or " " in address:
        raise UsageError(f"{address}: not an address")
    if parts.scheme.lower() not in schemes:
        raise UsageError(f"{address}: only https addresses are read")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to a scheme that is allowed; ten at most, as the base class counts."""

    def __init__(self, schemes: Sequence[str]) -> None:
        self._schemes = schemes

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(newurl).scheme.lower() not in self._schemes:
            raise InputOutputError(f"{req.full_url}: leads away from https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(schemes: Sequence[str]) -> urllib.request.OpenerDirector:
    """An opener that knows these schemes only: no files, no ftp, no data."""
    opener = urllib.request.OpenerDirector()
    handlers = [urllib.request.HTTPSHandler(), urllib.request.ProxyHandler(), _Redirects(schemes)]
    handlers += [urllib.request.HTTPErrorProcessor(), urllib.request.HTTPDefaultErrorHandler()]
    handlers += [urllib.request.HTTPHandler()] if "http" in schemes else []
    for handler in handlers:
        opener.add_handler(handler)
    return opener
