"""Byte ranges over HTTP: exact, retried with growing pauses, and suspicious.

Every answer must be the range that was asked for, of a file of the size that is known, with the validator that the
same server gave before. A server that ignores Range, changes the file, or says one length and sends another is
an error, never data.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2
from huggingface_hub import get_session
from huggingface_hub.errors import OfflineModeIsEnabled

from huref.common.errors import Damaged, HurefError, InputOutputError, Malformed
from huref.prover.checkpoint.remote.refusals import OFFLINE, refusal

_REDIRECTS = 5
_CHUNK = 1 << 16
_KEPT = "try again; what came is kept"
_AGAIN = (429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Patience:
    """How long a server may take: seconds of silence, seconds for one range, tries, first pause, longest pause."""

    silence: float = 30.0
    deadline: float = 300.0
    tries: int = 6
    pause: float = 0.5
    longest: float = 60.0


@dataclass
class RemoteFile:
    """A file on a server. `sha256` or `git_sha1` name its content, where the server states them.

    `location` is where its address led last, `validator` what the server at that place calls this version.
    """

    name: str
    url: str
    size: int
    sha256: str | None = None
    git_sha1: str | None = None
    location: str | None = None
    validator: str | None = None
    lock: Any = field(default_factory=threading.Lock, repr=False)


class _Again(Exception):
    """Worth another try: what happened, and how many seconds the server wants us to wait."""

    def __init__(self, error: HurefError, wait: float | None = None) -> None:
        super().__init__(error.message)
        self.error, self.wait = error, wait


class Client:
    """Reads from one server and where it redirects to; `headers` (a token) go to `origin` alone. Thread-safe."""

    def __init__(self, origin: str, headers: Mapping[str, str], patience: Patience | None = None) -> None:
        self._origin, self._headers = _origin(origin), dict(headers)
        self.patience = patience or Patience()

    def read(self, file: RemoteFile, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop`, exactly.

        Raises:
            InputOutputError: refused, unreachable, too slow, or still failing after all tries.
            Damaged: the server changed the file or does not say the truth about it.
        """
        got = bytearray()
        end = time.monotonic() + self.patience.deadline
        self._try(file.name, end, lambda: self._read(file, start, stop, got, end))
        return bytes(got)

    def probe(self, name: str, url: str) -> RemoteFile | None:
        """A file of a server that has no list of its files; None if it is not there."""
        found: list[RemoteFile | None] = []

        def ask() -> None:
            with self._open(url, url, {"Range": "bytes=0-0"}) as answer:
                if answer.status_code in (404, 410):
                    found.append(None)
                    return
                self._accept(answer, url)
                size = _total(answer)
                if size is None:
                    raise Damaged(
                        f"{shown(url)}: the server does not say how large the file is",
                        hint="download it first",
                    )
                found.append(
                    RemoteFile(name, url, size, location=str(answer.url), validator=_validator(answer))
                )

        self._try(name, time.monotonic() + self.patience.deadline, ask)
        return found[0]

    def _try(self, name: str, end: float, action: Any) -> None:
        pause = self.patience.pause
        for left in reversed(range(self.patience.tries)):
            try:
                action()
                return
            except _Again as again:
                wait = min(
                    again.wait if again.wait is not None else pause * random.uniform(0.5, 1),
                    self.patience.longest,
                )
                if not left or time.monotonic() + wait > end:
                    error = again.error
                    raise type(error)(
                        f"{error.message} ({self.patience.tries} tries)", hint=error.hint
                    ) from None
                time.sleep(wait)
                pause = min(2 * pause, self.patience.longest)

    def _read(self, file: RemoteFile, start: int, stop: int, got: bytearray, end: float) -> None:
        first = start + len(got)
        with self._open(file.url, file.location, {"Range": f"bytes={first}-{stop - 1}"}) as answer:
            moved = (
                file.location is not None
                and str(answer.url) == file.location
                and not _same(file.location, file.url)
            )
            if moved and answer.status_code in (400, 401, 403, 404, 410):
                file.location = None  # a signed address that has expired: ask the hub for a new one
                raise _Again(refusal(answer.status_code, shown(file.url), answer.headers), 0.0)
            self._accept(answer, file.url)
            self._check(file, answer, first, stop)
            for part in answer.iter_raw(_CHUNK):
                got += part
                if len(got) > stop - start:
                    raise Damaged(f"{shown(file.url)}: the server sends more than was asked for")
                if time.monotonic() > end:
                    raise InputOutputError(f"{shown(file.url)}: the server is too slow", hint=_KEPT)
        if len(got) < stop - start:
            raise _Again(Damaged(f"{shown(file.url)}: the server sends fewer bytes than it says"))

    def _check(self, file: RemoteFile, answer: httpx2.Response, first: int, stop: int) -> None:
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise Damaged(f"{shown(file.url)}: the server sends it packed, though it was asked not to")
        whole = (first, stop) == (0, file.size)
        if answer.status_code == 200 and not whole:
            raise Damaged(
                f"{shown(file.url)}: the server ignores Range, so parts of a file cannot be read from it",
                hint="download the checkpoint and give its folder",
            )
        total = _total(answer)
        if total is not None and total != file.size:
            raise Damaged(
                f"{shown(file.url)}: {total} bytes where {file.size} were stated: the file changed",
                hint="start again",
            )
        expected = f"bytes {first}-{stop - 1}/{file.size}"
        said = answer.headers.get("Content-Range", "")
        if answer.status_code == 206 and said != expected:
            raise Damaged(
                f"{shown(file.url)}: the server answers another range ({said[:80]}, not {expected})"
            )
        with file.lock:
            location, validator = str(answer.url), _validator(answer)
            known = file.location is not None and _same(file.location, location)
            if known and file.validator != validator:
                raise Damaged(f"{shown(file.url)}: the file changed while it was read", hint="start again")
            file.location, file.validator = location, validator

    def _accept(self, answer: httpx2.Response, url: str) -> None:
        status = answer.status_code
        if status in (200, 206):
            return
        error = refusal(status, shown(url), answer.headers)
        if status in _AGAIN:
            raise _Again(error, _seconds(answer.headers.get("Retry-After")))
        raise error

    def _open(self, url: str, location: str | None, headers: Mapping[str, str]) -> _Answer:
        return _Answer(self, location or url, shown(url), headers)

    def request(self, url: str, headers: Mapping[str, str]) -> httpx2.Response:
        """One GET, streamed, with its redirects followed: never from https to anything else, a token never abroad."""
        for _ in range(_REDIRECTS + 1):
            own = self._headers if _origin(url) == self._origin else {}
            client = get_session()
            asked = client.build_request(
                "GET", url, headers={"User-Agent": "huref", **own, **headers, "Accept-Encoding": "identity"},
                timeout=self.patience.silence,
            )  # fmt: skip
            try:
                answer = client.send(asked, stream=True, follow_redirects=False)
            except OfflineModeIsEnabled:
                raise InputOutputError(
                    f"{shown(url)}: {OFFLINE}", hint="unset HF_HUB_OFFLINE, or give a downloaded folder"
                ) from None
            except httpx2.InvalidURL:
                raise Malformed(f"{shown(url)}: the server leads to something that is no address") from None
            except httpx2.UnsupportedProtocol:
                raise Malformed(f"{shown(url)}: leads away from the web") from None
            except httpx2.TransportError as error:
                raise _Again(InputOutputError(f"{shown(url)}: {_reason(error)}", hint=_KEPT)) from None
            target = answer.headers.get("Location")
            if answer.status_code not in (301, 302, 303, 307, 308) or target is None:
                return answer
            answer.close()
            try:
                following = urljoin(url, target)
                _origin(following)
            except ValueError:
                raise Malformed(f"{shown(url)}: the server leads to something that is no address") from None
            if urlsplit(following).scheme not in ("https", urlsplit(url).scheme):
                raise InputOutputError(f"{shown(url)}: leads away from https")
            url = following
        raise InputOutputError(f"{shown(url)}: more than {_REDIRECTS} redirects")


class _Answer:
    """A response that is closed at the end of its block; what breaks on the wire inside it is worth another try."""

    def __init__(self, client: Client, url: str, name: str, headers: Mapping[str, str]) -> None:
        self._shown = name
        self._answer = client.request(url, headers)

    def __enter__(self) -> httpx2.Response:
        return self._answer

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._answer.close()
        if isinstance(error, httpx2.TransportError):
            raise _Again(InputOutputError(f"{self._shown}: {_reason(error)}", hint=_KEPT)) from None


def shown(url: str) -> str:
    """An address as people may see it: without its query, which may hold a signature or a password."""
    return url.partition("?")[0][:300]


def _total(answer: httpx2.Response) -> int | None:
    """Size of the whole file as the answer states it."""
    pattern, name = (
        ("bytes [0-9]+-[0-9]+/([0-9]{1,18})", "Content-Range")
        if answer.status_code == 206
        else ("([0-9]{1,18})", "Content-Length")
    )
    found = re.fullmatch(pattern, answer.headers.get(name, ""))
    return int(found[1]) if found else None


def _validator(answer: httpx2.Response) -> str | None:
    """What tells this version of the file from others."""
    tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
    return None if tag is None else str(tag).removeprefix("W/")


def _seconds(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch("[0-9]{1,6}", text.strip()) else None


def _reason(error: Exception) -> str:
    if isinstance(error, httpx2.TimeoutException):
        return "the server is silent"
    return (
        f"the connection fails ({str(error).splitlines()[0][:200] if str(error) else type(error).__name__})"
    )


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)


def _same(one: str, other: str) -> bool:
    return _origin(one) == _origin(other)
