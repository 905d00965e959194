"""Random mutations of checkpoints' headers and configs: one line and a typed error, or a model, but never a crash.

    python -m benchmarks.fuzz_checkpoint [--seeds 1-40] [--count 500] [--json FILE]

Each seed of the random numbers mutates `count` times one of the tiny checkpoints of `checkpoint_seeds`. A mutation
changes bytes of a header, or values of a header or config as JSON. Every model that still opens is read as a whole.
Prints one JSON object with the number of mutations by their outcome; anything but a `HurefError` propagates, a warning
of Python or numpy too: nobody who reads a checkpoint should see one.

With --json, the result is written after every seed, and seeds that are in it are left out: a run that was stopped goes
on when it is started again. A file of other checkpoints, or of another source, is refused.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import struct
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.checkpoint_seeds import Files, seeds
from huref.common.errors import HurefError
from huref.common.files.atomic import write_file
from huref.common.output import result_json
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint import families
from huref.prover.checkpoint.families import Model, open_model

JUNK: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        3,
        7,
        1 << 24,
        1 << 40,
        1 << 70,
        10**400,
        1.5,
        1e308,
        "",
        "x",
        "llama",
        "F32",
        "I8",
    ),
    *(
        [],
        [0],
        [1, 2, 3],
        ["full_attention"],
        [[]],
        {},
        {"a": 1},
        {"model_type": "llama"},
        [8, 16],
        [1 << 62],
    ),
)


def mutate(files: Files, draw: random.Random) -> Files:
    """One to three random changes of headers and configs."""
    files = dict(files)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        name = draw.choice(sorted(files))
        data = files[name]
        if name.endswith(".json"):
            files[name] = _json(data, draw) if draw.random() < 0.8 else _bytes(data, len(data), draw)
        elif name.endswith(".safetensors") and draw.random() < 0.8:
            length = int.from_bytes(data[:8], "little")
            header = _json(data[8 : 8 + length], draw)
            files[name] = struct.pack("<Q", len(header)) + header + data[8 + length :]
        else:
            files[name] = _bytes(data, 2000, draw)
    return files


def _bytes(data: bytes, reach: int, draw: random.Random) -> bytes:
    at = draw.randrange(min(reach, len(data)) + 1)
    noise = draw.randbytes(draw.choice((1, 1, 4, 8)))
    return draw.choice(
        (data[:at], data[:at] + noise + data[at + len(noise) :], data[:at] + noise + data[at:])
    )


def _json(blob: bytes, draw: random.Random) -> bytes:
    try:
        value = json.loads(blob)
    except ValueError:
        return _bytes(blob, len(blob), draw)
    places: list[tuple[Any, Any]] = []
    _walk(value, places)
    if not places:
        return json.dumps(draw.choice(JUNK)).encode()
    holder, key = draw.choice(places)
    match draw.randrange(4):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            _, other = draw.choice([place for place in places if isinstance(place[0], dict)])
            holder[str(other) + draw.choice(("", ".x", "_scale", "s"))] = holder.pop(key)
        case 2 if isinstance(holder[key], int):
            holder[key] += draw.choice((-1, 1, 8, -8, holder[key]))
        case _:
            holder[key] = draw.choice(JUNK)
    return json.dumps(value).encode()


def _walk(value: Any, places: list[tuple[Any, Any]]) -> None:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        places.append((value, key))
        if isinstance(inner, (dict, list)):
            _walk(inner, places)


def read_all(model: Model) -> None:
    """Everything that any term of the model needs, and all that is committed."""
    model.embedding_rows(range(min(model.vocab, 4)))
    for index in range(model.layers):
        for term in model.layer_terms(index):
            for _ in term.pairs():
                pass
    for _ in whole_model(model):
        pass


def outcome(files: Files, folder: Path) -> str:
    """What becomes of these files: "read", or the type of the error and its exit code."""
    for old in folder.iterdir():
        old.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    try:
        with warnings.catch_warnings(action="error"):
            read_all(open_model(folder))
    except HurefError as error:
        if "\n" in error.message or not 1 <= error.exit_code <= 4:
            raise
        return f"{type(error).__name__}, exit {error.exit_code}"
    return "read"


def run(count: int, seed: int) -> Counter[str]:
    """Outcomes of `count` mutations."""
    draw, originals, found = random.Random(seed), seeds(), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        for files in originals:
            if outcome(files, Path(folder)) != "read":
                raise AssertionError("a seed is not read")
        for _ in range(count):
            files = mutate(draw.choice(originals), draw)
            try:
                found[outcome(files, Path(folder))] += 1
            except Exception:
                print({name: data[:3000] for name, data in files.items()})
                raise
    return found


def source_digest() -> str:
    """SHA-256 of what is tried: the prover's reading of checkpoints, and the checkpoints that are mutated."""
    total = hashlib.sha256(repr(seeds()).encode())
    room = Path(families.__file__).parent
    for path in sorted(room.rglob("*.py")):
        total.update(f"\0{path.relative_to(room)}\0".encode() + path.read_bytes())
    return total.hexdigest()


def resumed(out: Path | None, source: str) -> dict[str, Any]:
    """An earlier result of the same source, or an empty one. SystemExit if it is of another."""
    if out is None or not out.exists():
        return {"source": source, "count": 0, "seeds": [], "outcomes": {}}
    found: dict[str, Any] = json.loads(out.read_text())
    if found.get("source") != source:
        raise SystemExit(f"{out} is the result of another source; move it away first")
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Mutate headers and configs of checkpoints at random.")
    parser.add_argument("--seeds", default="1-40", metavar="FIRST-LAST")
    parser.add_argument("--count", type=int, default=500, help="mutations of each seed")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    total = resumed(options.json, source_digest())
    first, last = map(int, options.seeds.split("-"))
    for seed in range(first, last + 1):
        if seed in total["seeds"]:
            continue
        found = Counter(total["outcomes"]) + run(options.count, seed)
        total |= {"count": found.total(), "seeds": [*total["seeds"], seed]}
        total["outcomes"] = dict(found.most_common())
        if options.json is not None:
            write_file(options.json, (json.dumps(total) + "\n").encode())
    result_json(total)


if __name__ == "__main__":
    main()
