"""Random mutations of a bundle's files: the verifier must never crash and never accept a changed bundle.

    python -m benchmarks.fuzz_bundle BUNDLE [--count 20000] [--deep 0.1] [--seed 1]

Most mutations leave the manifest alone and die at a hash. A share of `deep` is resealed: sizes, hashes and the
statement's notes are repaired, so that the checks behind them must do the work. Prints one JSON object with the
number of mutations by the check that stopped them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from collections import Counter
from pathlib import Path

from huref.common.errors import HurefError, Rejected
from huref.common.files import bundle as form
from huref.common.files.bundle import parse_bundle
from huref.common.files.canonical import canonical_json
from huref.common.output import result_json
from huref.verifier.verification import verify

Files = dict[str, bytes]


def mutate(files: Files, random_: random.Random, deep: float) -> tuple[Files, bool]:
    """One random change of one file; whether it was resealed."""
    name = random_.choice(sorted(files))
    changed = {**files, name: _change(files[name], random_)}
    if random_.random() < deep and name != form.MANIFEST:
        return _reseal(changed), True
    return changed, False


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


def _reseal(files: Files) -> Files:
    manifest = json.loads(files[form.MANIFEST])
    for name in form.LISTED:
        digest = hashlib.sha256(files[name]).hexdigest()
        manifest["files"][name] = {"size": len(files[name]), "sha256": digest}
    notes = manifest["statement"]["notes"]
    for name, file in (("commitment", form.COMMITMENT), ("fingerprint", form.FINGERPRINT)):
        notes[name] = manifest["files"][file]["sha256"]
    return {**files, form.MANIFEST: canonical_json(manifest)}


def stopped_by(files: Files) -> str:
    """The check that refuses these files. Anything but a `HurefError` is a crash and propagates."""
    try:
        verify(parse_bundle(Path("mutated"), files))
    except Rejected as error:
        return error.path
    except HurefError as error:
        return type(error).__name__
    return "verified"


def main() -> None:
    """Run and report; exit code 1 if a mutation verified."""
    parser = argparse.ArgumentParser(description="Mutate a bundle at random and verify each mutation.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--deep", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    files = {path.name: path.read_bytes() for path in options.bundle.iterdir()}
    random_, counts, unchanged, resealed = random.Random(options.seed), Counter[str](), 0, 0
    start = time.perf_counter()
    for _ in range(options.count):
        changed, deep = mutate(files, random_, options.deep)
        unchanged += changed == files
        if changed != files:
            resealed += deep
            counts[stopped_by(changed)] += 1
    seconds = round(time.perf_counter() - start, 1)
    result_json(
        {"mutations": counts.total(), "resealed": resealed, "identical": unchanged, "seconds": seconds,
         "stopped_by": dict(counts.most_common())}
    )  # fmt: skip
    raise SystemExit(1 if counts["verified"] else 0)


if __name__ == "__main__":
    main()
