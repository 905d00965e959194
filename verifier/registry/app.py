"""A registry over HTTP, read-only: pages for people, and what `huref.verifier.registry.replica` asks for.

Every request opens the file for itself, so it sees one state of it: the last that was complete.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huref.common.files.canonical import canonical_json
from huref.verifier.registry import pages
from huref.verifier.registry.merkle import consistency_proof, inclusion_proof
from huref.verifier.registry.search import Index
from huref.verifier.registry.store import Store

_MOST = 500
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}


class _Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def make_app(path: Path) -> Any:
    """The ASGI application of a registry file, a Starlette."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import FileResponse, HTMLResponse, Response
    from starlette.routing import Route

    index = Index()

    @contextmanager
    def opened() -> Iterator[Store]:
        store = Store.open(path)
        try:
            yield store
        finally:
            store.close()

    def answered(action: Callable[[Request, Store], Response]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            try:
                with opened() as store:
                    found = action(request, store)
            except _Refused as refused:
                found = Response(f"{refused}\n", refused.status, media_type="text/plain")
            for name, value in _HEADERS.items():
                found.headers[name] = value
            return found

        return answer

    def data(value: Any) -> Response:
        return Response(canonical_json(value), media_type="application/json")

    def home(request: Request, store: Store) -> Response:
        index.refresh(store)
        query = request.query_params.get("q", "")[:200]
        numbers = index.named(query)
        shown = [(number, index.entries[number]) for number in numbers]
        return HTMLResponse(pages.home(store.checkpoint(), shown, len(index.entries), query))

    def entry(request: Request, store: Store) -> Response:
        number = _number(store, request)
        (item,) = store.items(number, number + 1)
        index.refresh(store)
        near = [hit for hit in index.nearest(item.v, item.entry.kind, 9) if hit.number != number]
        address = str(request.url_for("bundle", digest=item.entry.digest))
        return HTMLResponse(pages.entry(number, item.entry, near, address))

    def picture(request: Request, store: Store) -> Response:
        found = store.picture(request.path_params["digest"])
        if found is None:
            raise _Refused(404, "no such picture")
        return Response(found, media_type="image/png", headers=_FOREVER)

    def bundle(request: Request, store: Store) -> Response:
        _number(store, request)
        file = store.bundle_file(request.path_params["digest"])
        if not file.is_file():
            raise _Refused(404, "the bundle is not kept here")
        return FileResponse(file, media_type="application/zip", headers=dict(_FOREVER))

    def checkpoint(request: Request, store: Store) -> Response:
        size = _asked(request, "size", -1)
        found = store.checkpoint() if size < 0 else store.checkpoint_of(size)
        if found is None:
            raise _Refused(404, "no checkpoint of this size")
        return Response(found.encode(), media_type="application/json")

    def consistency(request: Request, store: Store) -> Response:
        size, old = _size(request, store), _asked(request, "old", 0)
        if not 0 <= old <= size:
            raise _Refused(400, "old: larger than the log")
        return data({"proof": [one.hex() for one in consistency_proof(store.leaves(size), old)]})

    def inclusion(request: Request, store: Store) -> Response:
        size = _size(request, store)
        number = store.numbered(request.query_params.get("digest", ""))
        if number is None or number >= size:
            return data({"entry": None})
        (item,) = store.items(number, number + 1)
        proof = [one.hex() for one in inclusion_proof(store.leaves(size), number)]
        return data({"number": number, "entry": item.entry.model_dump(mode="json"), "proof": proof})

    def entries(request: Request, store: Store) -> Response:
        start, count = _asked(request, "start", 0), min(_asked(request, "count", _MOST), _MOST)
        if start < 0 or count < 1:
            raise _Refused(400, "start, count: not of a list")
        items = store.items(start, start + count)
        lines = [{"entry": item.entry.model_dump(mode="json"), "v": item.v} for item in items]
        return data({"entries": lines})

    routes = [
        Route("/", answered(home)),
        Route("/entry/{digest}", answered(entry)),
        Route("/pictures/{digest}.png", answered(picture)),
        Route("/bundles/{digest}.huref", answered(bundle), name="bundle"),
        Route("/api/checkpoint", answered(checkpoint)),
        Route("/api/consistency", answered(consistency)),
        Route("/api/inclusion", answered(inclusion)),
        Route("/api/entries", answered(entries)),
    ]
    return Starlette(routes=routes)


def _number(store: Store, request: Any) -> int:
    number = store.numbered(request.path_params["digest"])
    if number is None:
        raise _Refused(404, "no such entry")
    return number


def _asked(request: Any, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not re.fullmatch("-?[0-9]{1,12}", text):
        raise _Refused(400, f"{name}: not a number")
    return int(text)


def _size(request: Any, store: Store) -> int:
    largest = store.checkpoint().size
    size = _asked(request, "size", largest)
    if not 0 <= size <= largest:
        raise _Refused(400, "size: larger than the log")
    return size
