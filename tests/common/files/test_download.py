"""Bundles from an address: https only, capped, whole or an error. A server on this machine plays the other side."""

from __future__ import annotations

import functools
import io
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from huref.common.errors import Damaged, InputOutputError, Malformed, UsageError
from huref.common.files import bundle as form
from huref.common.files import download as module
from huref.common.files.address import is_address, is_checkpoint_address
from huref.common.files.download import download
from huref.verifier.verification import verify
from tests.conftest import Made

SCHEMES = ("https", "http")
CONTENT = bytes(range(256)) * 20


class _Server(BaseHTTPRequestHandler):
    """Answers by path; `content` is what the good address gives."""

    content = CONTENT
    stop = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/bundle.zip":
            self._send(200, {"Content-Length": str(len(self.content))}, self.content)
        elif self.path == "/unsized":
            self._send(200, {}, self.content)
        elif self.path == "/cut":
            self._send(200, {"Content-Length": str(len(self.content) + 1)}, self.content)
        elif self.path == "/huge":
            self._send(200, {"Content-Length": str(1 << 40)}, b"")
        elif self.path == "/lies":
            self._send(200, {"Content-Length": "-5"}, self.content)
        elif self.path == "/moved":
            self._send(302, {"Location": "/bundle.zip", "Content-Length": "0"}, b"")
        elif self.path == "/round":
            self._send(302, {"Location": "/round", "Content-Length": "0"}, b"")
        elif self.path.startswith("/to/"):
            self._send(302, {"Location": self.path[4:], "Content-Length": "0"}, b"")
        elif self.path == "/drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            while not self.stop.wait(0.02):
                self.wfile.write(b"a")
        elif self.path == "/garbage":
            self.wfile.write(b"\0\1\2\r\n\r\n")
        else:
            self._send(404, {"Content-Length": "0"}, b"")

    def _send(self, code: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server on this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = HTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def get(address: str, cap: int = 1 << 20, **options: float) -> bytes:
    return download(address, cap, schemes=SCHEMES, **options)  # type: ignore[arg-type]


def test_headers_without_end_meet_the_deadline(site: str) -> None:
    """Every byte comes well within the time that a server may be silent."""
    try:
        with pytest.raises(InputOutputError, match="too long"):
            get(f"{site}/drip", deadline=0.3)
    finally:
        _Server.stop.set()


def test_the_content_comes_whole(site: str) -> None:
    for path in ("bundle.zip", "unsized", "lies", "moved"):
        assert get(f"{site}/{path}") == CONTENT, path
    assert get(f"{site}/bundle.zip", cap=len(CONTENT)) == CONTENT


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("cut", Damaged, "5120 of 5121"),
        ("huge", Malformed, "at most"),
        ("absent", InputOutputError, "404"),
        ("round", InputOutputError, "302"),
        ("garbage", InputOutputError, "127"),
        ("to/ftp://127.0.0.1/x", InputOutputError, "leads away"),
        ("to/file:///etc/passwd", InputOutputError, "not allowed|leads away|302"),
    ],
)
def test_what_the_server_does_wrong(site: str, path: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        get(f"{site}/{path}")


def test_more_than_the_cap_is_not_read(site: str) -> None:
    for path in ("bundle.zip", "unsized"):
        with pytest.raises(Malformed, match=r"more than|at most"):
            get(f"{site}/{path}", cap=len(CONTENT) - 1)


def test_a_download_has_a_deadline(site: str) -> None:
    with pytest.raises(InputOutputError, match="too long"):
        get(f"{site}/unsized", deadline=-1.0)


def test_no_answer_is_an_error_of_ours(site: str) -> None:
    for address in ("http://127.0.0.1:1/x", "https://127.0.0.1:1/x"):
        with pytest.raises(InputOutputError):
            get(address)
    with pytest.raises(InputOutputError):
        get(site.replace("http", "https") + "/bundle.zip")  # the server speaks no TLS
    with pytest.raises(InputOutputError, match="label"):
        get(f"https://{'a' * 64}.example/")  # no name is that long


def test_what_comes_drop_by_drop_meets_the_deadline() -> None:
    """Also where nobody waits for it any more."""
    answer: Any = SimpleNamespace(headers={}, read1=lambda size: b"x")
    with pytest.raises(InputOutputError, match="too long"):
        module._read(answer, "https://h/", 1 << 20, time.monotonic() - 1)


def test_addresses_of_checkpoints_are_no_bundles() -> None:
    for address in (
        "hf://a/b",
        "https://h/a.gguf",
        "https://h/a.SafeTensors?download=true",
        "https://h/a.onnx",
    ):
        assert is_address(address) and is_checkpoint_address(address)
        assert not form.is_bundle(address)
    for address in ("https://h/a.zip", "https://h/a.gguf.zip", "https://h/?a.gguf"):
        assert form.is_bundle(address) and not is_checkpoint_address(address)
    for path in ("a.gguf", "C:\\a.onnx", "1a://b", "a/b://c"):
        assert not is_address(path) and not is_checkpoint_address(path)


@pytest.mark.parametrize(
    "address",
    ["http://example.org/a.zip", "ftp://example.org/a", "file:///etc/passwd", "data://x", "https://", "https://a b/",
     "https://h:x/", "https://h:0/", "https://name:word@h/", "https://h/\x1b", "https://h/é", "HTTP://EXAMPLE.ORG"],
)  # fmt: skip
def test_only_https_addresses_are_asked_for(address: str) -> None:
    with pytest.raises(UsageError):
        form.read_bundle(address)


def test_a_redirect_may_not_leave_https(site: str) -> None:
    """The way is checked, not only its beginning: with https alone allowed, plain http is refused on the way."""
    redirects = module._Redirects(("https",))
    request = module.urllib.request.Request("https://example.org/a.zip")
    with pytest.raises(InputOutputError, match="leads away"):
        redirects.redirect_request(request, None, 302, "moved", {}, "http://example.org/b.zip")
    assert (
        redirects.redirect_request(request, None, 302, "moved", {}, "https://example.org/b.zip") is not None
    )
    names = {type(handler).__name__ for handler in module._opener(("https",)).handlers}
    assert not names & {"HTTPHandler", "FileHandler", "FTPHandler", "DataHandler"}


def test_a_bundle_verifies_from_its_address(site: str, tiny: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as out:
        for path in tiny.bundle.iterdir():
            out.write(path, Path("tiny.huref") / path.name)
    monkeypatch.setattr(_Server, "content", data.getvalue())
    monkeypatch.setattr(module, "download", functools.partial(download, schemes=SCHEMES))
    verdict = verify(f"{site}/bundle.zip", root=tiny.proved.verdict.model_id)
    assert verdict.v == tiny.proved.verdict.v
    monkeypatch.setattr(_Server, "content", b"<html>sign in</html>")
    with pytest.raises(Malformed, match="not a whole zip"):
        verify(f"{site}/bundle.zip")
