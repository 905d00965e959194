"""A checkpoint at an address is the same model as on disk, and no more of it comes than is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest

from huref.common.errors import Damaged, InputOutputError, Malformed, UsageError
from huref.prover.checkpoint.checkpoint import open_checkpoint
from huref.prover.checkpoint.families import open_model
from huref.prover.checkpoint.formats.magic import sniff
from huref.prover.checkpoint.remote.address import HubAddress, SiteAddress, parse_address
from huref.prover.checkpoint.remote.mirror import Traffic, mirrored
from huref.prover.commitment.folder import describe_files
from tests.prover.checkpoint.remote.conftest import Serve
from tests.prover.checkpoint.test_gguf_families import CASES, convert
from tests.prover.checkpoint.test_quantized import FORMATS, NAME, write
from tests.support import tiny_models
from tests.support.range_server import COMMIT, REPO
from tests.support.same_model import assert_same

HUB = f"hf://{REPO}"


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tiny llama in every form of file."""
    folder = tmp_path_factory.mktemp("forms")
    one = tiny_models.build("llama", folder / "one")
    tiny_models.build("llama", folder / "shards", max_shard_size="100KB")
    for name, options in (("gguf", {}), ("q8", {"quantize": True}), ("split", {"split": 10})):
        (folder / name).mkdir()
        convert(one, folder / name / "m.gguf", *CASES["llama"], **options)
    return folder


@pytest.mark.parametrize("name", ["one", "shards", "gguf", "q8", "split"])
@pytest.mark.parametrize("hub", [True, False], ids=["hub", "site"])
def test_it_is_the_same_model(name: str, hub: bool, forms: Path, serve: Serve) -> None:
    server = serve(forms / name, hub=hub)
    first = sorted(path.name for path in (forms / name).iterdir() if path.suffix == ".gguf")[:1]
    address = HUB if hub else "/".join([server.url, "files", *first])
    with mirrored(address) as place:
        here, there = open_model(forms / name), open_model(place)
        assert_same(there, here)
        assert describe_files(there) == describe_files(here)


@pytest.mark.parametrize("name", ["fp8 blocks", "gptq act-order", "bitsandbytes int8", "nvfp4"])
def test_quantized_formats_are_read_unchanged(name: str, forms: Path, serve: Serve, tmp_path: Path) -> None:
    parts, want, settings = FORMATS[name]()
    serve(write(tmp_path / "m", forms / "one", parts, settings))
    with mirrored(HUB) as place:
        np.testing.assert_array_equal(open_model(place).layer(2).up, want)
        rows = open_checkpoint(place).read_rows(f"{NAME}.weight", [3, 80])
    np.testing.assert_array_equal(rows, want[[3, 80]])


def test_only_what_is_read_comes_and_it_comes_once(checkpoint: Path, serve: Serve) -> None:
    server, traffic = serve(checkpoint), Traffic()
    ids = [5, 5990]
    with mirrored(HUB, traffic) as place:
        found = open_model(place).embedding_rows(ids)
    np.testing.assert_array_equal(found, open_model(checkpoint).embedding_rows(ids))
    weights = sum(path.stat().st_size for path in checkpoint.glob("*.safetensors"))
    assert traffic.total == weights and 0 < traffic.read < weights / 3
    asked, again = len(server.asked), Traffic()
    with mirrored(HUB, again) as place:
        np.testing.assert_array_equal(open_model(place).embedding_rows(ids), found)
    assert again.read == 0
    assert [path for path, *_ in server.asked[asked:]] == ["/api/models/owner/model?blobs=true"]


def test_a_reader_that_does_not_ask_never_sees_zeros(checkpoint: Path, serve: Serve) -> None:
    serve(checkpoint)
    with mirrored(HUB) as place:
        pass
    (shard, *_) = sorted(place.glob("*.safetensors"))
    assert shard.stat().st_size < 200
    with pytest.raises(Malformed, match="Git LFS pointer"):
        sniff(shard)


def test_what_a_crash_or_a_disk_did_to_the_cache_is_fetched_again(checkpoint: Path, serve: Serve) -> None:
    serve(checkpoint)
    with mirrored(HUB) as place:
        expected = open_model(place).embedding_rows([5, 5990])
    blocks = sorted((place / ".ranges").glob("*.safetensors"))
    for file in blocks:
        file.write_bytes(bytes(file.stat().st_size))
    traffic = Traffic()
    with mirrored(HUB, traffic) as place:
        np.testing.assert_array_equal(open_model(place).embedding_rows([5, 5990]), expected)
    assert traffic.read > 0
    for file in (place / ".ranges").glob("*.map"):
        file.write_bytes(file.read_bytes()[:-1])
    with mirrored(HUB) as place:
        np.testing.assert_array_equal(open_model(place).embedding_rows([5, 5990]), expected)


def test_a_whole_file_must_have_the_digest_that_the_hub_states(forms: Path, serve: Serve) -> None:
    server = serve(forms / "one")
    size = (forms / "one" / "model.safetensors").stat().st_size
    server.lie_about["model.safetensors"] = {"lfs": {"sha256": "0" * 64, "size": size, "pointerSize": 1}}
    with mirrored(HUB) as place, pytest.raises(Damaged, match="states 0000"):
        model = open_model(place)
        model.embedding_rows(range(model.vocab))
        for index in range(model.layers):
            model.layer(index)
        model.checkpoint.read("model.norm.weight")
        model.checkpoint.read("lm_head.weight")


def test_a_small_file_must_have_the_digest_that_the_hub_states(forms: Path, serve: Serve) -> None:
    server = serve(forms / "one")
    server.lie_about["config.json"] = {"blobId": "0" * 40}
    with pytest.raises(Damaged, match="not the content"), mirrored(HUB):
        pass


def test_a_site_that_publishes_another_model_is_read_again(forms: Path, serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "served"
    shutil.copytree(forms / "one", folder)
    server = serve(folder, hub=False)
    with mirrored(f"{server.url}/files/model.safetensors") as place:
        assert_same(open_model(place), open_model(folder))
    tiny_models.build("llama", folder, seed=9)
    with mirrored(f"{server.url}/files/") as place:
        assert_same(open_model(place), open_model(folder))


def test_folders_and_files_of_a_repository(forms: Path, serve: Serve) -> None:
    serve(forms)
    for path in ("shards", "gguf/m.gguf", "one/model.safetensors"):
        with mirrored(f"{HUB}@v1/{path}") as place:
            assert_same(open_model(place), open_model(forms / path))
    with pytest.raises(InputOutputError, match="no three in") as error, mirrored(f"{HUB}/three"):
        pass
    assert "it has gguf" in str(error.value.hint)


def test_what_the_hubs_own_cache_has_is_not_fetched(forms: Path, serve: Serve, tmp_path: Path) -> None:
    server = serve(forms / "one")
    snapshot = tmp_path / "hub" / "models--owner--model" / "snapshots" / COMMIT
    shutil.copytree(forms / "one", snapshot)
    with mirrored(HUB) as place:
        assert_same(open_model(place), open_model(forms / "one"))
    assert not [path for path, *_ in server.asked if "safetensors" in path]


def test_offline(checkpoint: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    serve(checkpoint)
    with mirrored(HUB) as place:
        expected = open_model(place).embedding_rows([5])
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with mirrored(HUB) as place:
        model = open_model(place)
        np.testing.assert_array_equal(model.embedding_rows([5]), expected)
        with pytest.raises(InputOutputError, match="HF_HUB_OFFLINE"):
            model.embedding_rows([3000])
    with pytest.raises(InputOutputError, match="HF_HUB_OFFLINE"), mirrored(f"{HUB}@v1"):
        pass
    snapshot = tmp_path / "hub" / "models--owner--model" / "snapshots" / COMMIT
    shutil.copytree(checkpoint, snapshot)
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text(COMMIT)
    with mirrored(HUB) as place:
        assert place == snapshot


ENDPOINT = "https://hub.example"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://a/b", HubAddress("a/b", None, "")),
        ("hf://models/a/b@v1.0/sub/", HubAddress("a/b", "v1.0", "sub")),
        ("hf://a/b@refs/pr/7/x.gguf", HubAddress("a/b", "refs/pr/7", "x.gguf")),
        ("hf://a/b@refs%2Fpr%2F7", HubAddress("a/b", "refs/pr/7", "")),
        (f"{ENDPOINT}/a/b", HubAddress("a/b", None, "")),
        (f"{ENDPOINT}/a/b/tree/main/sub", HubAddress("a/b", "main", "sub")),
        (f"{ENDPOINT}/a/b/blob/main/x.gguf", HubAddress("a/b", "main", "x.gguf")),
        ("https://x.org/a/b/", SiteAddress("https://x.org/a/b/", "", "")),
        ("https://x.org/a/m.gguf?t=1", SiteAddress("https://x.org/a/", "m.gguf", "t=1")),
    ],
)
def test_addresses(text: str, expected: HubAddress | SiteAddress) -> None:
    assert parse_address(text, ENDPOINT) == expected


@pytest.mark.parametrize(
    "text", ["hf://a", "hf://a/b/../c", "hf://a/b@", "http://x.org/a", "ftp://x.org/m.gguf", "https://u:p@x.org/a",
             "https:///a", "https://x.org/a b", "hf:///a/b"],
)  # fmt: skip
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_address(text, ENDPOINT)
