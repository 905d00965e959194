"""A hub and a web server on 127.0.0.1, with a cache of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
import wordfreq
from tokenizers import Tokenizer, models, pre_tokenizers

from huref.prover.checkpoint.remote import address
from tests.support import tiny_models
from tests.support.range_server import RangeServer

VOCAB = 6000
Serve = Callable[..., RangeServer]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny llama in shards, with an embedding of 24 blocks of which little is read, and a vocabulary of words."""
    folder = tmp_path_factory.mktemp("remote") / "model"
    tiny_models.build("llama", folder, vocab_size=VOCAB, max_shard_size="300KB")
    words = {word: i for i, word in enumerate(wordfreq.top_n_list("en", VOCAB))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="the"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start a server of a folder and make it the hub; `hub=False`: a web server that is no hub."""
    servers: list[RangeServer] = []
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    monkeypatch.setattr("huggingface_hub.utils._cache_assets.HF_ASSETS_CACHE", str(tmp_path / "assets"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(address, "SCHEMES", ("https", "http"))

    def start(folder: Path, token: str | None = None, hub: bool = True) -> RangeServer:
        server = RangeServer(folder, token=token)
        servers.append(server)
        if hub:
            monkeypatch.setattr(constants, "ENDPOINT", server.url)
        return server

    yield start
    for server in servers:
        server.close()
