"""A folder on a plain web server, which has no list of its files: those of a checkpoint are asked for by name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from huggingface_hub import cached_assets_path

from huref.common.errors import InputOutputError, Malformed
from huref.prover.checkpoint.formats.split import part_names
from huref.prover.checkpoint.remote.address import SiteAddress
from huref.prover.checkpoint.remote.client import Client, RemoteFile
from huref.prover.checkpoint.remote.listing import Listing

INDEX = "model.safetensors.index.json"
_BESIDE = (
    "config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.txt", "vocab.json",
    "merges.txt",
)  # fmt: skip
_MAX_INDEX = 64_000_000
_MAX_SHARDS = 10_000


def list_site(address: SiteAddress, client: Client) -> Listing:
    """The checkpoint's files that are there.

    Raises:
        InputOutputError: no checkpoint there, or the server cannot be reached. Damaged: it contradicts itself.
    """
    names = list(_BESIDE) if not address.file.endswith(".gguf") else []
    if address.file:
        names += part_names(address.file)
    else:
        names += ["model.safetensors"]
    found = {name: client.probe(name, address.of(name)) for name in names}
    if address.file and found[address.file] is None:
        raise InputOutputError(f"{address}: not there (404)")
    if not address.file.endswith(".gguf") and (address.file or found["model.safetensors"] is None):
        index = client.probe(INDEX, address.of(INDEX))
        if index is not None:
            shards = _shards(client.read(index, 0, min(index.size, _MAX_INDEX)), str(address))
            found |= {INDEX: index} | {
                name: client.probe(name, address.of(name)) for name in shards - set(found)
            }
    files = [file for file in found.values() if file is not None]
    if not any(file.name.endswith((".safetensors", ".gguf", ".onnx")) for file in files):
        raise InputOutputError(
            f"{address}: no checkpoint there: neither model.safetensors nor {INDEX}",
            hint="give the address of the weights file, or hf://OWNER/MODEL",
        )
    name = hashlib.sha256(f"{address.folder}?{address.query}".encode()).hexdigest()[:32]
    folder = Path(cached_assets_path("huref", "https", name))
    return Listing(folder, files, address.file or None)


def _shards(index: bytes, name: str) -> set[str]:
    try:
        shards = set(json.loads(index)["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Malformed(f"{name}: {INDEX} is no index of shards") from None
    plain = all(isinstance(x, str) and "/" not in x and x.endswith(".safetensors") for x in shards)
    if not plain or len(shards) > _MAX_SHARDS:
        raise Malformed(f"{name}: {INDEX} names files outside its folder")
    return shards


def identity(file: RemoteFile) -> str | None:
    """What names this version of a file; None if the server gives nothing that would."""
    return file.sha256 or file.git_sha1 or (file.validator and f"{file.url} {file.validator}")
