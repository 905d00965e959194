"""Servers that are slow, break off, refuse or lie: the same values as from disk, or a clear error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import huggingface_hub.constants
import numpy as np
import pytest

from huref.common.errors import Damaged, HurefError, InputOutputError
from huref.prover.checkpoint.families import open_model
from huref.prover.checkpoint.remote import client as client_module
from huref.prover.checkpoint.remote.client import Client, Patience
from huref.prover.checkpoint.remote.mirror import Traffic, mirrored
from tests.prover.checkpoint.remote.conftest import Serve
from tests.support.range_server import REPO

HUB = f"hf://{REPO}"
HASTY = Patience(silence=0.5, deadline=3.0, tries=4, pause=0.01, longest=0.05)
IDS = [5, 3000, 5990]


def rows(address: str, traffic: Traffic | None = None, patience: Patience = HASTY) -> np.ndarray[Any, Any]:
    with mirrored(address, traffic, patience) as place:
        model = open_model(place)
        return np.concatenate([model.embedding_rows(IDS), model.layer(2).q])


@pytest.fixture(scope="module")
def expected(checkpoint: Path) -> np.ndarray[Any, Any]:
    model = open_model(checkpoint)
    return np.concatenate([model.embedding_rows(IDS), model.layer(2).q])


@pytest.mark.parametrize(
    "faults",
    [
        {"kind": "short", "times": 2},
        {"kind": "short", "after": 5, "times": 1},
        {"kind": "status", "status": 503, "times": 3},
        {"kind": "status", "status": 429, "times": 2, "headers": {"Retry-After": "0"}},
        {"kind": "status", "status": 500, "after": 4, "times": 1},
        {"kind": "silent", "pause": 0.7, "times": 1},
        {"kind": "expired", "after": 6, "times": 1},
        {"kind": "slow", "pause": 0.02},
    ],
    ids=lambda faults: "-".join(map(str, faults.values())),
)
def test_what_passes_changes_nothing(
    faults: dict[str, Any], checkpoint: Path, serve: Serve, expected: np.ndarray[Any, Any]
) -> None:
    server = serve(checkpoint)
    server.begin(**faults)
    np.testing.assert_array_equal(rows(HUB), expected)


@pytest.mark.parametrize(
    ("faults", "kind", "said"),
    [
        ({"kind": "ignore-range"}, Damaged, "ignores Range"),
        ({"kind": "other-range"}, Damaged, "another range"),
        ({"kind": "long"}, Damaged, "more than was asked"),
        ({"kind": "short"}, InputOutputError, "4 tries"),
        ({"kind": "other-total"}, Damaged, "the file changed"),
        ({"kind": "other-tag", "after": 6}, Damaged, "changed while it was read"),
        ({"kind": "packed"}, Damaged, "packed"),
        ({"kind": "silent", "pause": 0.7}, InputOutputError, "silent"),
        ({"kind": "slow", "pause": 1.0}, InputOutputError, "silent|too slow"),
        ({"kind": "status", "status": 503}, InputOutputError, "answers 503 .4 tries"),
        ({"kind": "status", "status": 429}, InputOutputError, "too many requests"),
        ({"kind": "status", "status": 403}, InputOutputError, "refuses access"),
        ({"kind": "status", "status": 404}, InputOutputError, "not there"),
        ({"kind": "status", "status": 416}, Damaged, "shorter"),
        ({"kind": "expired"}, InputOutputError, "refuses access"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_what_does_not_pass_is_a_clear_error(
    faults: dict[str, Any], kind: type[HurefError], said: str, checkpoint: Path, serve: Serve
) -> None:
    server = serve(checkpoint)
    server.begin(**faults)
    with pytest.raises(kind, match=said) as error:
        rows(HUB)
    assert "\n" not in error.value.message and "signature" not in error.value.message


def test_other_bytes_of_a_block_that_came_before(checkpoint: Path, serve: Serve) -> None:
    """A gap that is fetched a second time must hold what it held."""
    server = serve(checkpoint)
    with mirrored(HUB, None, HASTY) as place:
        model = open_model(place)
        model.embedding_rows([1100])  # one block
        server.begin(kind="other-bytes")
        with pytest.raises(Damaged, match="changed while it was read"):
            model.embedding_rows([800, 1100, 1400])


def test_what_came_before_a_failure_is_kept(
    checkpoint: Path, serve: Serve, expected: np.ndarray[Any, Any]
) -> None:
    server, all_of_it, rest = serve(checkpoint), Traffic(), Traffic()
    server.begin(kind="status", after=6, status=403)
    with pytest.raises(InputOutputError):
        rows(HUB, all_of_it)
    server.begin()
    np.testing.assert_array_equal(rows(HUB, rest), expected)
    whole = Traffic()
    other = serve(checkpoint)
    np.testing.assert_array_equal(rows(HUB, whole), expected)
    assert other.url != server.url
    assert all_of_it.read > 0 and rest.read > 0 and all_of_it.read + rest.read == whole.read


def test_tokens_go_to_the_hub_alone(
    checkpoint: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, expected: np.ndarray[Any, Any]
) -> None:
    server = serve(checkpoint, token="hf_right")
    for token, said in ((None, "wants to know who asks"), ("hf_wrong", "401")):
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(InputOutputError, match=said) as error:
            rows(HUB)
        assert "HF_TOKEN" in str(error.value.hint)
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    np.testing.assert_array_equal(rows(HUB), expected)
    storage = {token for path, _, token in server.asked if path.startswith("/cdn/")}
    assert storage == {None}


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("hf://owner/nobody", "not there .404."),
        (f"{HUB}@v9", "no such revision"),
        ("hf://-/--", "must|cannot|Repo"),
    ],
)
def test_what_is_not_there(address: str, said: str, checkpoint: Path, serve: Serve) -> None:
    serve(checkpoint)
    with pytest.raises(HurefError, match=said) as error, mirrored(address, None, HASTY):
        pass
    assert error.value.exit_code in (2, 4)


def test_nobody_listens(checkpoint: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(checkpoint)
    server.close()
    with pytest.raises(InputOutputError, match="cannot be reached"):
        rows(HUB)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "https://hub.invalid")
    with pytest.raises(InputOutputError, match="connection fails"):
        rows(f"{server.url}/files/model.safetensors")


def test_sites_without_a_checkpoint(checkpoint: Path, serve: Serve, tmp_path: Path) -> None:
    server = serve(tmp_path, hub=False)
    for address, said in (("", "no checkpoint there"), ("m.gguf", "not there")):
        with pytest.raises(InputOutputError, match=said):
            rows(f"{server.url}/files/{address}")
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../b.safetensors"}}')
    with pytest.raises(HurefError, match="outside its folder"):
        rows(f"{server.url}/files/")


def answering(monkeypatch: pytest.MonkeyPatch, answer: Callable[[httpx2.Request], httpx2.Response]) -> None:
    """Requests of the client come to `answer`."""
    session = httpx2.Client(transport=httpx2.MockTransport(answer))
    monkeypatch.setattr(client_module, "get_session", lambda: session)


def test_redirects_never_leave_https(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        return httpx2.Response(302, headers={"Location": "http://plain.example/m.gguf"})

    answering(monkeypatch, answer)
    with pytest.raises(InputOutputError, match="away from https"):
        Client("https://a.example", {}, HASTY).probe("m.gguf", "https://a.example/m.gguf")
    assert asked == ["https://a.example/m.gguf"]


def test_redirects_end_and_lead_to_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, lambda request: httpx2.Response(302, headers={"Location": "/again"}))
    with pytest.raises(InputOutputError, match="redirects"):
        Client("https://a.example", {}, HASTY).probe("m", "https://a.example/m")
    answering(monkeypatch, lambda request: httpx2.Response(302, headers={"Location": "https://a b:x/"}))
    with pytest.raises(HurefError, match="no address"):
        Client("https://a.example", {}, HASTY).probe("m", "https://a.example/m")
