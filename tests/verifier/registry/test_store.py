"""The registry's file: append-only, whole or not at all, found out where somebody gets round that."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from huref.circuits.fingerprint.profiles import HARDENED
from huref.circuits.fingerprint.similarity import compare_vectors
from huref.common.errors import HurefError, InputOutputError, Malformed, Rejected, UsageError
from huref.verifier.registry.entry import kind_of, vector_digest
from huref.verifier.registry.replica import open_registry
from huref.verifier.registry.search import Index
from huref.verifier.registry.store import Store
from tests import ROOT
from tests.support.registries import KIND, item, key, store


def test_it_grows_by_entries_and_signed_checkpoints(tmp_path: Path) -> None:
    made = store(tmp_path / "r")
    for number in range(3):
        checkpoint = made.append([item(number)], key())
        assert checkpoint.size == number + 1
    assert made.audit() == made.checkpoint() == checkpoint
    again = Store.open(tmp_path / "r")
    assert [one.entry.name for one in again.items(0, 9)] == ["owner0/model", "owner1/model", "owner2/model"]
    assert again.numbered(item(1).entry.digest) == 1 and again.numbered("f" * 64) is None
    assert next(again.items(1, 2)).v == item(1).v


def test_what_is_refused_changes_nothing(tmp_path: Path) -> None:
    made = store(tmp_path / "r", 2)
    for items, signer in (([item(5), item(0)], key()), ([item(5)], key(1))):
        with pytest.raises(UsageError):
            made.append(items, signer)
        assert made.audit().size == 2
    with pytest.raises(UsageError):
        store(tmp_path / "r")
    with pytest.raises(InputOutputError):
        Store.open(tmp_path / "r").append([item(5)], key())  # opened for reading
    with pytest.raises(InputOutputError):
        Store.open(tmp_path / "none")
    (tmp_path / "text").write_text("not a database " * 100)
    with pytest.raises(Malformed):
        Store.open(tmp_path / "text")
    sqlite3.connect(tmp_path / "other").execute("CREATE TABLE x (y)")
    with pytest.raises(Malformed, match="not a registry"):
        Store.open(tmp_path / "other")


@pytest.mark.parametrize(
    "change",
    ["UPDATE entries SET body = body WHERE number = 0", "DELETE FROM entries WHERE number = 2",
     "UPDATE checkpoints SET body = body", "DELETE FROM checkpoints WHERE size = 3"],
)  # fmt: skip
def test_the_file_itself_refuses_changes(change: str, tmp_path: Path) -> None:
    store(tmp_path / "r", 3).close()
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        sqlite3.connect(tmp_path / "r").execute(change)


def swapped(table: str, one: str, other: str) -> str:
    """A change of text inside stored JSON."""
    return f"UPDATE {table} SET body = CAST(replace(CAST(body AS TEXT), '{one}', '{other}') AS BLOB)"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (swapped("entries", "owner1/", "thief1/"), "registry.root"),
        ("DELETE FROM entries WHERE number = 2", "registry.root"),
        (
            "UPDATE entries SET v = (SELECT v FROM entries WHERE number = 0) WHERE number = 1",
            "registry.vector",
        ),
        ("UPDATE entries SET leaf = zeroblob(32) WHERE number = 1", "registry.leaf"),
        (
            "UPDATE entries SET unit = (SELECT unit FROM entries WHERE number = 0) WHERE number = 1",
            "registry.vector",
        ),
        (swapped("checkpoints", '"origin":"test"', '"origin":"best"'), "registry.signature"),
    ],
)
def test_whoever_gets_round_that_is_found_out(change: str, path: str, tmp_path: Path) -> None:
    """By an audit, and so by everybody who names the key of a file's log."""
    _forge(tmp_path / "r", change)
    for look in (
        Store.open(tmp_path / "r").audit,
        lambda: open_registry(str(tmp_path / "r"), key().public_key),
    ):
        with pytest.raises(Rejected) as error:
            look()
        assert error.value.path == path


def _forge(path: Path, change: str) -> None:
    """A registry of three entries, changed behind the back of its own rules."""
    store(path, 3).close()
    with sqlite3.connect(path) as database:
        for name in ("entries_stay", "entries_last", "checkpoints_stay", "checkpoints_last"):
            database.execute(f"DROP TRIGGER {name}")
        database.execute(change)


@pytest.mark.parametrize(
    "change",
    ["UPDATE entries SET body = 'text'", "UPDATE entries SET body = x'5b5d'", "UPDATE entries SET body = x'7b7d'",
     "UPDATE entries SET body = x'7b'", "UPDATE entries SET v = x'00'", "UPDATE entries SET v = zeroblob(8 * 511)",
     "UPDATE entries SET unit = 'text'", "UPDATE entries SET unit = zeroblob(4 * 511)", "UPDATE entries SET leaf = 1",
     "UPDATE entries SET leaf = zeroblob(31)", "UPDATE checkpoints SET body = 'text'",
     "UPDATE checkpoints SET body = x''"],
)  # fmt: skip
def test_a_file_of_anything_is_no_registry(change: str, tmp_path: Path) -> None:
    """Whether it is audited first or searched as it is: never a crash."""
    _forge(tmp_path / "r", change)
    found = Store.open(tmp_path / "r")
    with pytest.raises(Malformed):
        found.audit()
    with pytest.raises(Malformed):
        Index().refresh(found)
        found.leaves(3)


_WRITER = """
import sys
from pathlib import Path
from huref.verifier.registry.store import Store
from tests.support.registries import item, key
store = Store.open(Path(sys.argv[1]), write=True)
number = store.checkpoint().size
print("ready", flush=True)
while True:
    store.append([item(number, seed=int(sys.argv[2])) for number in range(number, number + 3)], key())
    number += 3
"""


@pytest.mark.slow
def test_kill_9_leaves_the_old_log_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "r"
    store(path).close()
    sizes = [0]
    for round_number in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), str(round_number)], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
        end = time.monotonic() + 60
        while Store.open(path).checkpoint().size == sizes[-1] and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.03 * round_number)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        checkpoint = Store.open(path).audit()
        assert checkpoint.size > sizes[-1] and checkpoint.size % 3 == 0
        sizes.append(checkpoint.size)


def test_the_nearest_are_those_of_an_exact_comparison(tmp_path: Path) -> None:
    made = store(tmp_path / "r", 40)
    others = [item(100, profile="paper-1"), item(101, p=64)]
    made.append(others, key())
    index = Index()
    assert index.refresh(made) == 42
    rng = np.random.default_rng(5)
    noisy = (np.array(item(7).v) + rng.integers(-(1 << 19), 1 << 19, 512)).tolist()
    kind = kind_of(*KIND)
    hits = index.nearest(noisy, kind, 40)
    expected = sorted(
        ((compare_vectors(noisy, item(number).v, HARDENED).cosine, number) for number in range(40)),
        reverse=True,
    )
    assert [(hit.similarity.cosine, hit.number) for hit in hits] == expected
    assert hits[0].number == 7 and hits[0].verdict == "same base" and hits[1].verdict == "unrelated"
    assert index.nearest(noisy, kind_of("hardened-2", KIND[1], 128)) == []
    assert [hit.number for hit in index.nearest(noisy, kind_of("paper-1", *KIND[1:]))] == [40]
    made.append([item(41)], key())
    assert index.refresh(made) == 43
    assert index.nearest(item(41).v, kind, 1)[0].number == 42
    assert index.named("OWNER7/")[0] == 7 and index.named("no such") == []


def test_how_many_tokens_is_the_vocabularys_business() -> None:
    """A model that gained tokens is still found; in `paper` K makes another kind."""
    assert kind_of("hardened-2", 457, 32) == kind_of("hardened-2", 500, 32) != kind_of("hardened-2", 457, 64)
    assert kind_of("paper-1", 512, 256) != kind_of("paper-1", 1024, 256)


def test_an_entry_names_its_vector() -> None:
    one = item(3)
    one.entry.check_vector(one.v)
    for v in ([one.v[0] + 1, *one.v[1:]], one.v[1:], [*one.v, 0]):
        with pytest.raises(Rejected) as caught:
            one.entry.check_vector(v)
        assert caught.value.path == "registry.vector"


def test_a_vector_has_512_numbers() -> None:
    """Also where the entry names a vector of another length."""
    for v in (item(0).v[:-1], [*item(0).v, 0], []):
        with pytest.raises(Rejected, match="not the vector"):
            item(0).entry.model_copy(update={"vector": vector_digest(v)}).check_vector(v)


def test_entries_are_strict() -> None:
    for changes in (
        {"name": "a b"},
        {"name": "<b>"},
        {"name": ""},
        {"added": "today"},
        {"k": -1},
        {"signer": "00"},
    ):
        with pytest.raises(HurefError):
            item(0, **changes)
