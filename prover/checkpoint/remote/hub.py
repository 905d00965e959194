"""A model repository on a hub: which files it has. By huggingface_hub, with the settings that its users know."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

import httpx2
from huggingface_hub import (
    HfApi,
    cached_assets_path,
    constants,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers

from huref.common.errors import InputOutputError, Malformed, UsageError
from huref.prover.checkpoint.remote.address import HubAddress
from huref.prover.checkpoint.remote.client import Client, Patience, RemoteFile
from huref.prover.checkpoint.remote.listing import Listing
from huref.prover.checkpoint.remote.refusals import OFFLINE, refusal

_TIMEOUT = 30.0
_COMMIT = re.compile("[0-9a-f]{40}")


def endpoint() -> str:
    """The hub's address, without a slash at its end."""
    return str(constants.ENDPOINT)


def client(patience: Patience | None = None) -> Client:
    """A client that shows the user's token to the hub, and to nobody else."""
    headers = build_hf_headers(library_name="huref")
    kept = {name: value for name, value in headers.items() if name.lower() == "authorization"}
    return Client(endpoint(), kept, patience)


def list_repository(address: HubAddress) -> Listing:
    """The files of the addressed folder at one commit, asked for now; offline, as they were asked for last.

    Raises:
        InputOutputError: no such model, revision or file; no access; the hub cannot be reached.
        UsageError: not a name of a model. Malformed: the hub's answer makes no sense.
    """
    if constants.is_offline_mode():
        return _remembered(address)
    try:
        found = HfApi(endpoint=endpoint()).model_info(
            address.repo, revision=address.revision, files_metadata=True, timeout=_TIMEOUT
        )
    except GatedRepoError as error:
        raise refusal(403, str(address), error.response.headers) from None
    except RepositoryNotFoundError as error:
        raise refusal(error.response.status_code, str(address), {}) from None
    except RevisionNotFoundError:
        raise InputOutputError(f"{address}: no such revision", hint="a branch, a tag, or a commit") from None
    except HFValidationError as error:
        raise UsageError(f"{address}: {str(error).splitlines()[0]}") from None
    except HfHubHTTPError as error:
        raise refusal(error.response.status_code, str(address), error.response.headers) from None
    except OfflineModeIsEnabled:
        raise InputOutputError(f"{address}: {OFFLINE}") from None
    except (httpx2.HTTPError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputOutputError(f"{address}: {endpoint()} cannot be reached: {reason}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Malformed(f"{address}: {endpoint()} gives an answer that makes no sense") from None
    commit = found.sha or ""
    if not _COMMIT.fullmatch(commit):
        raise Malformed(f"{address}: {endpoint()} names no commit")
    here = PurePosixPath(address.path)
    files, seen = [], set()
    for sibling in found.siblings or []:
        path = PurePosixPath(sibling.rfilename)
        seen |= {path, *path.parents}
        if path.parent not in (here, here.parent) or path.name in ("", ".", "..") or "\\" in path.name:
            continue
        size, lfs = sibling.size, sibling.lfs
        if not isinstance(size, int) or size < 0:
            raise Malformed(f"{address}: {endpoint()} does not say how large {path} is")
        url = f"{endpoint()}/{address.repo}/resolve/{commit}/{quote(str(path))}"
        files.append(
            (
                path,
                RemoteFile(
                    path.name, url, size, lfs.sha256 if lfs else None, None if lfs else sibling.blob_id
                ),
            )
        )
    if address.path and here not in seen:
        raise InputOutputError(f"{address}: no {address.path} in this revision", hint=f"it has {_some(seen)}")
    chosen = next((file for path, file in files if path == here), None)
    parent = here.parent if chosen is not None else here
    folder = _folder(address.repo, commit, parent)
    listing = Listing(
        folder, [file for path, file in files if path.parent == parent], chosen.name if chosen else None
    )
    _remember(address, commit)
    return listing


def downloaded(address: HubAddress) -> Path | None:
    """The folder or file in the hub's own cache, if all of it was downloaded; used when offline."""
    if not constants.is_offline_mode():
        return None
    try:
        snapshot = snapshot_download(address.repo, revision=address.revision, local_files_only=True)
    except (LocalEntryNotFoundError, HFValidationError, OSError, ValueError):
        return None
    path = Path(snapshot) / address.path
    return path if path.exists() else None


def cached_file(file: RemoteFile, address: HubAddress, commit: str) -> Path | None:
    """A file of this commit that the hub's own cache has whole."""
    name = str(PurePosixPath(_directory(address, file)) / file.name)
    found = try_to_load_from_cache(address.repo, name, revision=commit)
    path = Path(found) if isinstance(found, str) else None
    return path if path is not None and path.is_file() and path.stat().st_size == file.size else None


def _directory(address: HubAddress, file: RemoteFile) -> str:
    here = PurePosixPath(address.path)
    return str(here.parent if here.name == file.name else here)


def _home(repo: str) -> Path:
    """Where what came of a repository lies; other hubs than the usual one have folders of their own."""
    host = urlsplit(endpoint()).netloc
    prefix = "" if endpoint() == constants._HF_DEFAULT_ENDPOINT else f"{host}--"
    return Path(cached_assets_path("huref", f"{prefix}{repo.replace('/', '--')}", "refs")).parent


def _folder(repo: str, commit: str, parent: PurePosixPath) -> Path:
    inner = "" if str(parent) == "." else "--" + str(parent).replace("/", "--")
    return _home(repo) / (commit + inner)


def _reference(address: HubAddress) -> Path:
    return _home(address.repo) / "refs" / quote(address.revision or "HEAD", safe="")


def _remember(address: HubAddress, commit: str) -> None:
    reference = _reference(address)
    temporary = reference.with_name(f"{reference.name}.{os.getpid()}.tmp")
    temporary.write_text(commit, encoding="ascii")
    os.replace(temporary, reference)


def _remembered(address: HubAddress) -> Listing:
    commit = address.revision if address.revision and _COMMIT.fullmatch(address.revision) else None
    try:
        commit = commit or _reference(address).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        raise InputOutputError(
            f"{address}: {OFFLINE}", hint="unset HF_HUB_OFFLINE, or give a downloaded folder"
        ) from None
    here = PurePosixPath(address.path)
    for parent, chosen in ((here, None), (here.parent, here.name)):
        listing = Listing.recall(_folder(address.repo, commit, parent), chosen)
        if listing is not None:
            return listing
    raise InputOutputError(f"{address}: {OFFLINE}", hint="unset HF_HUB_OFFLINE, or give a downloaded folder")


def _some(paths: set[PurePosixPath]) -> str:
    names = sorted(str(path) for path in paths if str(path) != ".")
    return ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
