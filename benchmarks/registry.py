"""Search in a registry of 10,000 entries: `python -m benchmarks.registry`; wall and CPU time of single searches."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.environment import store
from huref.circuits.statement import fingerprint_id
from huref.common.files.keys import SecretKey
from huref.verifier.registry.entry import Checkpoint, Entry, kind_of, vector_digest
from huref.verifier.registry.merkle import tree_root
from huref.verifier.registry.search import Index
from huref.verifier.registry.store import Item, Store

ENTRIES, SEARCHES = 10_000, 50
_PROFILE, _K, _P = "hardened-2", 4096, 128


def _item(number: int, rng: np.random.Generator) -> Item:
    v = rng.integers(-(1 << 20), 1 << 20, 512).tolist()
    value = {
        "name": f"owner/model-{number}", "added": "2026-01-01T00:00:00Z", "digest": f"{number:064x}",
        "model_id": f"{number:064x}", "fingerprint": fingerprint_id(_PROFILE, _K, None, v),
        "vector": vector_digest(v), "profile": _PROFILE, "k": _K, "p": _P, "token_ids": "0" * 64,
        "security_bits": 100, "signer": None,
    }  # fmt: skip
    return Item(Entry.read(value, "entry"), v)


def main() -> None:
    """Make a registry, search it, write the times."""
    rng, key = np.random.default_rng(0), SecretKey(1)
    with tempfile.TemporaryDirectory() as folder:
        made = Store.create(Path(folder) / "r.sqlite", Checkpoint.sign("bench", 0, tree_root([]), key))
        items = [_item(number, rng) for number in range(ENTRIES)]
        made.append(items, key)
        index = Index()
        start = time.perf_counter()
        index.refresh(made)
        opened = time.perf_counter() - start
        wall, cpu = [], []
        for number in rng.integers(0, ENTRIES, SEARCHES).tolist():
            begun, used = time.perf_counter(), time.process_time()
            hits = index.nearest(items[number].v, kind_of(_PROFILE, _K, _P), 5)
            wall.append(time.perf_counter() - begun)
            cpu.append(time.process_time() - used)
            assert hits[0].number == number
    found = {
        "entries": ENTRIES,
        "searches": SEARCHES,
        "open_s": round(opened, 3),
        "search_ms_median": round(1e3 * statistics.median(wall), 2),
        "search_ms_worst": round(1e3 * max(wall), 2),
        "search_cpu_ms_median": round(1e3 * statistics.median(cpu), 2),
    }
    store("registry", found)


if __name__ == "__main__":
    main()
