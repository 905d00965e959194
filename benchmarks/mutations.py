"""Random mutations of a bundle's files: changes of bytes, files of another bundle, changes of JSON values and keys.

A change of a JSON value is followed through the files that repeat it, and resealed, so that hashes do not hide the
checks behind them.
"""

from __future__ import annotations

import copy
import hashlib
import json
import random
from contextlib import suppress
from typing import Any

from huref.common.files import bundle as form
from huref.common.files.canonical import canonical_json
from huref.common.files.commitment_file import ID_TAG

Files = dict[str, bytes]

JSON_FILES = (form.MANIFEST, form.COMMITMENT, form.FINGERPRINT)
NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 63, 64, 1 << 16, (1 << 31) - 1, 1 << 32, (1 << 61) - 1, 1 << 61, 1 << 64,
    -(1 << 63), 10**39, 10**41, 0.5, -0.0, 1e300, 5e-324, "", " ", "0", "f" * 64, "0" * 64, "x" * 5000, "é", "\ud800",
    "\x1b[2J\x1b[31mVERIFIED", "a\nProven:\n  - everything", "\r", "\u202egnp.exe", "\u2066\u200b", "\x00",
    "<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "../../etc/passwd", "llama", "hardened",
    "paper-1", "hardened-2", "word-list", "corpus", "file", [], {}, [[]], {"": {}}, [0] * 600, [None], ["ys"],
    {"ys": 1}, {"\x1b[31m": 0}, {"a": [{"b": [{"c": [0]}]}]},
)  # fmt: skip
OF_STATEMENT = ("challenge", "shifts", "calibration_sums", "caps", "ratios", "e", "v")
OF_DIRECTORY = ("profile", "shape", "k", "p", "term_weights")
OF_TOKENS = {"token_source": "source", "token_ids": "ids", "tokenizer_digest": "tokenizer_digest",
             "frequency_digest": "frequency_digest", "token_pieces": "pieces"}  # fmt: skip
"""What fingerprint.json repeats of the statement, of the directory, and of its tokens by other names."""


def mutate(
    files: Files, random_: random.Random, deep: float, other: Files | None = None
) -> tuple[Files, bool]:
    """One random change; whether it was resealed. `deep` is the share of byte changes that are."""
    draw = random_.random()
    if draw < 0.6:
        return change_value(files, random_, other)
    if draw < 0.65 and other is not None:
        name = random_.choice(sorted(set(files) & set(other)))
        changed = {**files, name: other[name]}
    elif draw < 0.67:
        gone = random_.choice(sorted(files))
        return {name: data for name, data in files.items() if name != gone}, False
    else:
        name = random_.choice(sorted(files))
        changed = {**files, name: _change(files[name], random_)}
    if random_.random() < deep and name != form.MANIFEST:
        return reseal(changed), True
    return changed, False


def change_value(files: Files, random_: random.Random, other: Files | None) -> tuple[Files, bool]:
    """Change a value or a key somewhere in a JSON file, perhaps in what repeats it, and perhaps reseal."""
    name = random_.choices(JSON_FILES, (6, 2, 2))[0]
    value = json.loads(files[name])
    place, key = _place(value, random_)
    twin = _twin(json.loads(other[name]) if other else None, value, place, key)
    _alter(place, key, twin, random_)
    changed = {**files, name: canonical_json(value)}
    sealed = random_.random() < 0.8
    if sealed and name != form.FINGERPRINT and random_.random() < 0.9:
        changed = follow(changed)
    return (reseal(changed) if sealed else changed), sealed


def _place(value: Any, random_: random.Random) -> tuple[Any, Any]:
    """A container in the value, reached by random steps, and a key of it."""
    place, key = value, random_.choice(list(value))
    while isinstance(place[key], (dict, list)) and place[key] and random_.random() < 0.85:
        place = place[key]
        key = random_.choice(list(place)) if isinstance(place, dict) else random_.randrange(len(place))
    return place, key


def _twin(foreign: Any, value: Any, place: Any, key: Any) -> Any:
    """What another bundle has at the same place, where that is found by name."""
    if isinstance(foreign, dict) and place is value:
        return foreign.get(key)
    statement = foreign.get("statement", {}) if isinstance(foreign, dict) else {}
    return statement.get(key) if isinstance(statement, dict) and isinstance(key, str) else None


def _alter(place: Any, key: Any, twin: Any, random_: random.Random) -> None:
    old = place[key]
    match random_.randrange(8):
        case 0 if isinstance(place, dict):
            del place[key]
        case 1 if isinstance(place, dict):
            place[str(random_.choice(NASTY))[:200]] = place.pop(key)
        case 2 if isinstance(place, dict):
            place[str(random_.choice(NASTY))[:200]] = random_.choice(NASTY)
        case 3 if isinstance(place, list):
            place.insert(key, random_.choice(place))
        case 4 if isinstance(place, list) and len(place) > 1:
            other = random_.randrange(len(place))
            place[key], place[other] = place[other], place[key]
        case 5 if type(old) is int:
            place[key] = old + random_.choice((-1, 1, -2, 2, 1 << random_.randrange(62)))
        case 6 if twin is not None:
            place[key] = twin
        case _:
            place[key] = random_.choice(NASTY)


def _change(data: bytes, random_: random.Random) -> bytes:
    at, length = random_.randrange(len(data) + 1), random_.choice((1, 1, 1, 4, 32, 1000))
    noise = random_.randbytes(length)
    match random_.randrange(7):
        case 0:
            return data[:at] + noise + data[at + length :]
        case 1:
            return data[:at] + noise + data[at:]
        case 2:
            return data[:at] + data[at + length :]
        case 3:
            return data[:at]
        case 4:
            at = min(at, len(data) - 1)
            return data[:at] + bytes([data[at] ^ 1 << random_.randrange(8)]) + data[at + 1 :]
        case 5:
            other = random_.randrange(len(data) + 1)
            return data[:at] + data[other : other + length] + data[at + length :]
        case _:
            return data[:at] + bytes(length) + data[at + length :]


def follow(files: Files) -> Files:
    """Repeat in fingerprint.json what it repeats of statement and directory, as far as they still have it."""
    statement = _part(files[form.MANIFEST], "statement")
    directory = _part(files[form.COMMITMENT], "directory")
    content = json.loads(files[form.FINGERPRINT])
    before = copy.deepcopy(content)
    content.update({field: statement[field] for field in OF_STATEMENT if field in statement})
    content.update({field: directory[field] for field in OF_DIRECTORY if field in directory})
    tokens = directory.get("tokens")
    if isinstance(tokens, dict):
        content.update({mine: tokens[theirs] for mine, theirs in OF_TOKENS.items() if theirs in tokens})
    return files if content == before else {**files, form.FINGERPRINT: canonical_json(content)}


def _part(data: bytes, name: str) -> dict[str, Any]:
    """An object inside a file's object, or an empty one where there is none any more."""
    value = json.loads(data)
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def reseal(files: Files) -> Files:
    """Repair the model id, sizes, hashes and the statement's notes, as far as the files still have places for them."""
    files = {**files, form.COMMITMENT: _renamed(files[form.COMMITMENT])}
    manifest = json.loads(files[form.MANIFEST])
    entries = {
        name: {"size": len(files[name]), "sha256": _sha256(files[name])}
        for name in (*form.LISTED, *({form.RANGE} & set(files)))
    }
    if isinstance(manifest.get("files"), dict):
        manifest["files"].update(
            {name: entry for name, entry in entries.items() if name in manifest["files"]}
        )
    statement = manifest.get("statement")
    if isinstance(statement, dict):
        with suppress(ValueError, KeyError, TypeError):
            statement["model_id"] = json.loads(files[form.COMMITMENT])["model_id"]
        if isinstance(statement.get("notes"), dict):
            for name, file in (("commitment", form.COMMITMENT), ("fingerprint", form.FINGERPRINT)):
                if name in statement["notes"]:
                    statement["notes"][name] = entries[file]["sha256"]
    return {**files, form.MANIFEST: canonical_json(manifest)}


def _renamed(data: bytes) -> bytes:
    """commitment.json with the model id of its directory and root, if it has them."""
    with suppress(ValueError, KeyError, TypeError):
        content = json.loads(data)
        named = (
            ID_TAG.ljust(32, b"\0") + canonical_json(content["directory"]) + bytes.fromhex(content["root"])
        )
        content["model_id"] = _sha256(named)
        return canonical_json(content)
    return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
