"""The pages that are checked: reports of one bundle in three states, the registry's, a folder of documentation."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from huref.common.files import bundle as form
from huref.common.files.bundle import read_bundle
from huref.verifier.report.inspect_html import page
from huref.verifier.report.inspection import inspect
from tests.support.command import huref
from tests.support.forge import load, reseal, with_manifest
from tests.support.registries import served

_BUNDLES = Path(__file__).parents[2] / "tests" / "vectors" / "bundles"
FROZEN = _BUNDLES / "signed.huref"
_NAMED = {"frozen/paper": _BUNDLES / "paper.huref", "frozen/signed": FROZEN}
"""What the registry holds, oldest first."""


def write_reports(bundle: Path, folder: Path) -> list[str]:
    """Write `verified.html`, `rejected.html` and `malformed.html`; their names."""
    files = load(bundle)
    proof = files[form.PROOF]
    states = {
        "verified": files,
        "rejected": reseal({**files, form.PROOF: proof[:-1] + bytes([proof[-1] ^ 1])}),
        "malformed": with_manifest(files, lambda manifest: manifest.update(format="huref-bundle/0")),
    }
    for name, changed in states.items():
        place = folder / name / bundle.name
        place.mkdir(parents=True)
        for file, data in changed.items():
            (place / file).write_bytes(data)
        found = inspect(place)
        found.bundle = bundle.name
        (folder / f"{name}.html").write_text(page(found), encoding="utf-8")
    return [f"{name}.html" for name in states]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing on stderr."""


@contextmanager
def folder_served(folder: Path) -> Iterator[str]:
    """The address of a folder on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def registry_served(folder: Path) -> Iterator[list[str]]:
    """The addresses of a registry's pages: the list, a search that finds nothing, one entry."""
    file, key = folder / "models.sqlite", folder / "log.key"
    for command in (
        ("keygen", "--out", key),
        ("registry", "create", file, "--key", key, "--origin", "models.example"),
        *(("registry", "add", file, bundle, "--name", name, "--key", key) for name, bundle in _NAMED.items()),
    ):
        ran = huref(*command)
        if ran.code:
            raise RuntimeError(ran.err)
    digest = read_bundle(FROZEN).digest.hex()
    with served(file) as url:
        yield [f"{url}/", f"{url}/?q=nothing", f"{url}/entry/{digest}"]
