"""What a client makes of a registry at an address: its own checked copy, and a reason where it is lied to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from huref.common.errors import HurefError, InputOutputError, Malformed, Rejected
from huref.common.files.download import download
from huref.verifier.registry.entry import Checkpoint
from huref.verifier.registry.merkle import tree_root
from huref.verifier.registry.replica import Server, find_bundle, follow
from huref.verifier.registry.store import Store
from tests.support.registries import item, key, served, store


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[tuple[Store, str]]:
    made = store(tmp_path / "r", 5)
    with served(tmp_path / "r") as url:
        yield made, url
    made.close()


def test_a_copy_follows_the_log(registry: tuple[Store, str], tmp_path: Path) -> None:
    made, url = registry
    (tmp_path / "state").mkdir()
    assert follow(url, key().public_key, tmp_path / "state").audit() == made.checkpoint()
    made.append([item(number) for number in range(5, 12)], key())
    copy = follow(url, None, tmp_path / "state")
    assert copy.audit().size == 12
    assert [one.entry for one in copy.items(0, 99)] == [one.entry for one in made.items(0, 99)]
    assert follow(url + "/", None, tmp_path / "state").checkpoint().size == 12


def test_a_bundle_is_proven_to_be_entered(registry: tuple[Store, str]) -> None:
    _, url = registry
    found = find_bundle(url, item(3).entry.digest, key().public_key)
    assert found is not None and (found[0], found[1]) == (3, item(3).entry)
    assert find_bundle(url, "f" * 64, None) is None
    with pytest.raises(Rejected, match="signed by another key"):
        find_bundle(url, item(3).entry.digest, key(1).public_key)


def lying(monkeypatch: pytest.MonkeyPatch, name: str, change: Any) -> None:
    """The server's answer to one question is changed."""
    honest = getattr(Server, name)
    monkeypatch.setattr(Server, name, lambda self, *args: change(honest(self, *args), *args))


def test_other_logs_are_refused(
    registry: tuple[Store, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, url = registry
    folder = tmp_path / "state"
    folder.mkdir()
    with pytest.raises(Rejected, match="signed by another key"):
        follow(url, key(1).public_key, folder)
    follow(url, None, folder).close()
    known = made.checkpoint()
    forged = [item(number).entry.leaf for number in (9, 1, 2, 3, 4, 5)]
    cases: dict[str, Checkpoint] = {
        "registry.size": Checkpoint.sign("test", 4, tree_root(forged[:4]), key()),
        "registry.consistency": Checkpoint.sign("test", 5, tree_root(forged[:5]), key()),
        "registry.signer": Checkpoint.sign("test", 5, bytes.fromhex(known.root), key(1)),
        "registry.origin": Checkpoint.sign("rest", 5, bytes.fromhex(known.root), key()),
        "registry.signature": known.model_copy(update={"size": 6}),
    }
    for path, latest in cases.items():
        with monkeypatch.context() as patch, pytest.raises(Rejected) as error:
            lying(patch, "checkpoint", lambda honest, *args, latest=latest: latest)
            follow(url, None, folder)
        assert error.value.path == path
    assert follow(url, None, folder).audit() == known


def test_growth_needs_its_proof(
    registry: tuple[Store, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, url = registry
    (tmp_path / "state").mkdir()
    follow(url, None, tmp_path / "state").close()
    made.append([item(5), item(6)], key())
    with monkeypatch.context() as patch, pytest.raises(Rejected) as error:
        lying(patch, "consistency", lambda honest, *args: [bytes(32), *honest[1:]])
        follow(url, None, tmp_path / "state")
    assert error.value.path == "registry.consistency"
    with monkeypatch.context() as patch, pytest.raises(Rejected) as error:
        lying(patch, "items", lambda honest, *args: [honest[0], item(99)])
        follow(url, None, tmp_path / "state")
    assert error.value.path == "registry.root"
    with monkeypatch.context() as patch, pytest.raises(Rejected) as error:
        lying(patch, "inclusion", lambda honest, *args: (honest[0], honest[1], [bytes(32), *honest[2][1:]]))
        find_bundle(url, item(1).entry.digest, None)
    assert error.value.path == "registry.inclusion"
    with monkeypatch.context() as patch, pytest.raises(Rejected) as error:
        lying(patch, "inclusion", lambda honest, *args: (honest[0], item(2).entry, honest[2]))
        find_bundle(url, item(1).entry.digest, None)
    assert error.value.path == "registry.entry"


def test_a_new_client_takes_no_foreign_beginning(
    registry: tuple[Store, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, url = registry
    for path, name, size, number in (
        ("registry.origin", "rest", 0, 0),
        ("registry.signer", "test", 0, 1),
        ("registry.origin", "test", 5, 0),  # as if the first five entries had been seen
    ):
        other = Checkpoint.sign(name, size, tree_root([]), key(number))
        lying(
            monkeypatch, "checkpoint", lambda honest, size=None, other=other: other if size == 0 else honest
        )
        with pytest.raises(Rejected) as error:
            follow(url, None, tmp_path)
        assert error.value.path == path


def test_vectors_that_are_not_the_entries(
    registry: tuple[Store, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, url = registry

    def changed(honest: dict[str, Any], path: str) -> dict[str, Any]:
        if path.startswith("/api/entries"):
            honest["entries"][0]["v"][0] += 1
        return honest

    lying(monkeypatch, "_object", changed)
    with pytest.raises(Rejected) as error:
        follow(url, None, tmp_path)
    assert error.value.path == "registry.vector"


NONSENSE: list[Any] = [
    {}, {"entries": 1}, {"entries": []}, {"entries": [1]}, {"entries": [{"entry": {}}]},
    {"entries": [{"entry": item(0).entry.model_dump(), "v": [True]}]},
    {"entries": [{"entry": item(0).entry.model_dump(), "v": [1 << 61] * 512}]},
    {"entries": [{"entry": item(0).entry.model_dump(), "v": 512}]}, {"entries": [{"entry": [], "v": []}]},
    {"entries": [{"entry": item(0).entry.model_dump(), "v": item(0).v}] * 6},
]  # fmt: skip


@pytest.mark.parametrize("answer", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_malformed(
    answer: Any, registry: tuple[Store, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, url = registry
    lying(monkeypatch, "_object", lambda honest, path: answer if "entries" in path else honest)
    with pytest.raises(Malformed):
        follow(url, None, tmp_path)


ENTRY = item(3).entry.model_dump()


@pytest.mark.parametrize("proof", [None, "00", [1], ["x"], ["00" * 32] * 129], ids=range(5))
def test_proofs_are_lists_of_hashes(
    proof: Any, registry: tuple[Store, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, url = registry
    server = Server(url)
    assert server.consistency(2, 5) and server.inclusion(item(3).entry.digest, 5)
    lying(monkeypatch, "_object", lambda honest, path: {**honest, "proof": proof})
    for ask in (lambda: server.consistency(2, 5), lambda: server.inclusion(item(3).entry.digest, 5)):
        with pytest.raises(Malformed, match="not an answer"):
            ask()


@pytest.mark.parametrize(
    "said", [{"entry": [ENTRY]}, {"number": "3"}, {"number": True}, {"entry": {}}], ids=str
)
def test_an_entry_comes_with_its_number(
    said: Any, registry: tuple[Store, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, url = registry
    lying(monkeypatch, "_object", lambda honest, path: {**honest, **said})
    with pytest.raises(Malformed):
        Server(url).inclusion(item(3).entry.digest, 5)


def get(url: str, path: str) -> bytes:
    return download(url + path, 1 << 22, schemes=("http",))


def test_pages(registry: tuple[Store, str]) -> None:
    made, url = registry
    made.append([replace(item(7), picture=b"a picture")], key())
    page = get(url, "/").decode()
    assert (
        "6 entries" in page
        and page.index("owner7/model") < page.index("owner0/model")
        and "<script" not in page
    )
    assert "1 of 6 entries" in get(url, "/?q=OWNER3").decode()
    hostile = get(url, "/?q=%22%3E%3Cscript%3E").decode()
    assert "<script" not in hostile and "&quot;&gt;&lt;script&gt;" in hostile
    entry = get(url, f"/entry/{item(3).entry.digest}").decode()
    assert f"huref verify {url}/bundles/{item(3).entry.digest}.huref --root {item(3).entry.model_id}" in entry
    assert get(url, f"/pictures/{item(7).entry.digest}.png") == b"a picture"
    for path in ("/entry/x", "/pictures/x.png", "/bundles/x.huref", f"/bundles/{item(3).entry.digest}.huref",
                 "/bundles/..%2f..%2fr.huref", "/api/checkpoint?size=99", "/nothing"):  # fmt: skip
        with pytest.raises(InputOutputError, match="404"):
            get(url, path)
    for path in ("/api/consistency?old=7&size=5", "/api/consistency?size=9", "/api/entries?start=--1",
                 "/api/entries?start=-1",
                 "/api/entries?count=x", "/api/inclusion?size=1e9"):  # fmt: skip
        with pytest.raises(InputOutputError, match="400"):
            get(url, path)


def test_plain_http_is_for_this_machine_only() -> None:
    with pytest.raises(HurefError, match="only https"):
        Server("http://registry.example").checkpoint()


@pytest.mark.slow
def test_many_clients_and_a_writer(tmp_path: Path) -> None:
    """Readers under load see whole states only: every checkpoint is signed and its entries are all there."""
    made = store(tmp_path / "r", 20)
    made.close()
    stop = threading.Event()

    def write() -> int:
        writer, number = Store.open(tmp_path / "r", write=True), 20
        while not stop.is_set():
            writer.append([item(number)], key())
            number += 1
        return number

    def read(url: str) -> None:
        server = Server(url)
        for _ in range(12):
            latest = server.checkpoint()
            leaves = [one.entry.leaf for one in server.items(0, latest.size)]
            assert tree_root(leaves).hex() == latest.root
            assert f"{item(3).entry.name}" in get(url, "/?q=owner3/").decode()

    with served(tmp_path / "r") as url, ThreadPoolExecutor(9) as pool:
        writing = pool.submit(write)
        readers = [pool.submit(read, url) for _ in range(8)]
        for one in readers:
            one.result()
        stop.set()
        assert Store.open(tmp_path / "r").audit().size <= writing.result()
