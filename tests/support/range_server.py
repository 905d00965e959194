"""A web server on 127.0.0.1 with byte ranges, which also speaks as much of a model hub's API as its client asks for.

It can be slow, break off, and lie, in the ways named in `Faults`.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

REPO = "owner/model"
COMMIT = "5" * 40
WEIGHTS = (".safetensors", ".gguf", ".onnx", ".bin")


@dataclass
class Faults:
    """What goes wrong with weights files.

    `after`: honest answers before it begins. `pause`: seconds between pieces of a body. `status`: with this status for
    `times` answers. The others by name: ignore-range, other-range, short, long, cut, other-total, other-tag,
    other-bytes, packed, silent, expired, brief (fewer bytes, and no length said).
    """

    kind: str = ""
    after: int = 0
    times: int = 1 << 30
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that hangs up is no error: its traceback would be taken for one of the command that runs."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class RangeServer:
    """Serves `folder` under /files/ and as the repository owner/model; `asked` lists (path, Range, Authorization)."""

    def __init__(self, folder: Path, *, token: str | None = None) -> None:
        self.folder, self.token, self.faults = folder, token, Faults()
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.sent = 0
        self.lie_about: dict[str, Any] = {}
        self.signature, self._answers, self._lock = 0, 0, threading.Lock()
        outer = self

        class Handler(_Handler):
            server_state = outer

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def fault(self) -> str:
        """What goes wrong with this answer."""
        with self._lock:
            self._answers += 1
            number = self._answers - self.faults.after
        return self.faults.kind if 0 < number <= self.faults.times else ""

    def begin(self, **faults: Any) -> None:
        """From now on (after `after` more answers) this goes wrong."""
        self._answers, self.faults = 0, Faults(**faults)


class _Handler(BaseHTTPRequestHandler):
    server_state: RangeServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def do_GET(self) -> None:
        state, path = self.server_state, unquote(urlsplit(self.path).path)
        state.asked.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
        if path.startswith("/api/models/"):
            self._api(path)
        elif path.startswith(f"/{REPO}/resolve/"):
            self._resolve(path)
        elif path.startswith("/cdn/"):
            self._cdn(path)
        elif path.startswith("/files/"):
            self._file(path.removeprefix("/files/"))
        else:
            self._end(404)

    def _end(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _allowed(self) -> bool:
        state = self.server_state
        if state.token is None or self.headers.get("Authorization") == f"Bearer {state.token}":
            return True
        self._end(401, X_Error_Message="Invalid credentials" if self.headers.get("Authorization") else "")
        return False

    def _api(self, path: str) -> None:
        state = self.server_state
        rest = path.removeprefix("/api/models/")
        repo, _, revision = rest.partition("/revision/")
        if repo != REPO:
            self._end(404, X_Error_Code="RepoNotFound")
            return
        if not self._allowed():
            return
        if revision not in ("", "main", "v1", "refs/pr/1", COMMIT):
            self._end(404, X_Error_Code="RevisionNotFound")
            return
        siblings = []
        for file in sorted(x for x in state.folder.rglob("*") if x.is_file()):
            data = file.read_bytes()
            line: dict[str, Any] = {"rfilename": str(file.relative_to(state.folder)), "size": len(data)}
            line["blobId"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            if file.suffix in WEIGHTS:
                line["lfs"] = {
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "size": len(data),
                    "pointerSize": 130,
                }
            line |= state.lie_about.get(file.name, {})
            siblings.append(line)
        body = json.dumps({"id": REPO, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []})
        self._end(200, body.encode(), Content_Type="application/json")

    def _resolve(self, path: str) -> None:
        if not self._allowed():
            return
        name = path.removeprefix(f"/{REPO}/resolve/").partition("/")[2]
        if not (self.server_state.folder / name).is_file():
            self._end(404, X_Error_Code="EntryNotFound")
        elif name.endswith(WEIGHTS):
            # another origin, as a hub's storage has
            port = self.server_state.url.rpartition(":")[2]
            where = f"http://localhost:{port}/cdn/{name}?signature={self.server_state.signature}"
            self._end(302, Location=where)
        else:
            self._file(name)

    def _cdn(self, path: str) -> None:
        if f"signature={self.server_state.signature}" not in self.path:
            self._end(403)
        else:
            self._file(path.removeprefix("/cdn/"))

    def _file(self, name: str) -> None:
        state = self.server_state
        file = state.folder / name
        if not file.is_file():
            self._end(404)
            return
        data = file.read_bytes()
        fault = state.fault() if file.suffix in WEIGHTS else ""
        tag, total = f'"{hashlib.md5(data).hexdigest()}"', len(data)
        if fault == "status":
            self._end(state.faults.status, **state.faults.headers)
            return
        if fault == "silent":
            time.sleep(state.faults.pause)
            self.close_connection = True
            return
        if fault == "expired":
            state.signature += 1
            self._end(403)
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, stop = (int(asked[1]), min(int(asked[2]) + 1, total)) if asked else (0, total)
        if start >= total and total:
            self._end(416)
            return
        if fault == "other-bytes":
            data = bytes(byte ^ 1 for byte in data)
        if fault == "other-tag":
            tag = '"another"'
        if fault == "other-total":
            total += 1
        body = data if fault == "ignore-range" else data[start:stop]
        partial = asked is not None and fault != "ignore-range"
        self.send_response(206 if partial else 200)
        shift = 1 if fault == "other-range" else 0
        if partial:
            self.send_header("Content-Range", f"bytes {start + shift}-{stop - 1 + shift}/{total}")
        if fault == "packed":
            self.send_header("Content-Encoding", "gzip")
        self.send_header("ETag", tag)
        if fault == "long":
            body += b"more"
        if fault == "brief":
            self.send_header("Connection", "close")
            self.close_connection = True
            body = body[:-1]
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault == "short":
            body = body[: len(body) // 2]
            self.close_connection = True
        for at in range(0, len(body), 1 << 14):
            self.wfile.write(body[at : at + (1 << 14)])
            state.sent += min(1 << 14, len(body) - at)
            time.sleep(state.faults.pause if fault == "slow" else 0)
