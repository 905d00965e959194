"""Registries of made-up entries: everything but the bundles is real."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from huref.circuits.statement import fingerprint_id
from huref.common.files.keys import SecretKey
from huref.verifier.registry.entry import Checkpoint, Entry, vector_digest
from huref.verifier.registry.merkle import tree_root
from huref.verifier.registry.store import Item, Store

KIND = ("hardened-2", 457, 32)


@cache
def key(number: int = 0) -> SecretKey:
    """A fixed key."""
    return SecretKey(1000 + number)


def item(number: int, seed: int = 0, **changes: Any) -> Item:
    """An entry with random numbers for a vector, made of outputs that nobody has."""
    v = np.random.default_rng([seed, number]).integers(-(1 << 20), 1 << 20, 512).tolist()
    profile, k, p = KIND
    value: dict[str, Any] = {
        "name": f"owner{number}/model", "added": "2026-01-01T00:00:00Z", "digest": f"{seed:032x}{number:032x}",
        "model_id": f"{number:064x}", "profile": profile, "k": k, "p": p,
        "token_ids": "0" * 64, "security_bits": 100, "signer": None,
    }  # fmt: skip
    value |= changes
    value["fingerprint"] = fingerprint_id(value["profile"], value["k"], None, v)
    value["vector"] = vector_digest(v)
    return Item(Entry.read(value, "entry"), v)


def store(path: Path, count: int = 0, signer: int = 0, seed: int = 0, origin: str = "test") -> Store:
    """A registry of `count` entries."""
    made = Store.create(path, Checkpoint.sign(origin, 0, tree_root([]), key(signer)))
    if count:
        made.append([item(number, seed) for number in range(count)], key(signer))
    return made


@contextmanager
def served(path: Path) -> Iterator[str]:
    """The address of a registry, served in this process."""
    import socket
    import time

    import uvicorn

    from huref.verifier.registry.app import make_app

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(path), log_level="critical", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
