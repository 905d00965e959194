"""Random mutations of bundles, through everything that shows a reader something.

    python -m benchmarks.fuzz_bundle BUNDLE... --seeds 1-40 [--count 500] [--out benchmarks/results/fuzz_bundle.json]

Each seed mutates one of the bundles, in turn, with files and values of another (`benchmarks.mutations`). Each mutation
goes through `huref inspect` (which verifies), its terminal lines, JSON and HTML page, and through `load_vector`, which
verifies for `huref compare`; its fingerprint.json alone is compared with the honest one. Where the proof itself was
reached the second verification runs on a tenth, and of all others a tenth goes through the commands inspect, verify and
compare themselves. A crash is anything but a `HurefError`, an exit code of a bug, or a character
that a terminal or browser obeys.

With --out, the result is written after every seed, and seeds that are in it are left out: a run that was stopped goes
on when it is started again. Exit code 1 if a changed bundle verified or a mutation crashed.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
import shutil
import tempfile
import time
import zipfile
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import typer

from benchmarks.mutations import Files, mutate
from huref.common.cli import app, register
from huref.common.errors import ExitCode, HurefError, Rejected
from huref.common.files import bundle as form
from huref.common.files.atomic import write_file
from huref.common.files.fingerprint_file import parse_fingerprint
from huref.common.output import result_json
from huref.common.text import escape
from huref.verifier.commands.inspect import describe
from huref.verifier.compare import compare_fingerprints
from huref.verifier.published import load_vector
from huref.verifier.report.inspect_html import page
from huref.verifier.report.inspection import Inspection, inspect
from huref.verifier.verification import verify

_EXITS = (ExitCode.VERIFIED, ExitCode.REJECTED, ExitCode.USAGE, ExitCode.MALFORMED, ExitCode.IO)
Result = dict[str, Any]


def show(files: Files, folder: Path, random_: random.Random, honest: Files) -> str:
    """The check that refuses these files, after everything that shows them ran; "verified" if none does.

    `folder` is made and removed. Anything but a `HurefError` is a crash and propagates.
    """
    place = _write(files, folder, random_)
    try:
        found = inspect(place)
        _views(found)
        stopped = "verified"
        if found.failure is not None:
            stopped = found.failure.path or found.failure.kind
        if not found.proof.messages or random_.random() < 0.1:  # the transcript begins with the proof
            _agree(place, stopped)
        if not found.proof.messages and random_.random() < 0.1:
            _commands(place, folder / "page.html")
        _bare(folder / form.FINGERPRINT, files, honest)
        return stopped
    finally:
        shutil.rmtree(folder)


def _write(files: Files, folder: Path, random_: random.Random) -> Path:
    """As a folder, or now and then as a zip of it."""
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    if random_.random() >= 0.1:
        return folder
    with zipfile.ZipFile(folder / "bundle.zip", "w") as archive:
        for name in files:
            archive.write(folder / name, f"model/{name}")
    return folder / "bundle.zip"


def _views(found: Inspection) -> None:
    """Terminal, JSON and page; none may hold a character that a terminal or browser obeys, or an unchecked picture."""
    json.dumps(found.to_dict(), allow_nan=False)
    text = page(found)
    lines = [escape(line) for line in describe(found)]
    broken = [line for line in (*lines, *text.splitlines()) if not line.isprintable()]
    if broken or "<script" in text or "<img src=x" in text:
        raise AssertionError(f"not escaped: {broken[:1]}")
    if found.verdict is None and "data:image" in text:
        raise AssertionError("an unchecked picture is shown")


def _agree(place: Path, stopped: str) -> None:
    """What `huref verify` and `huref compare` call ends at the same check as `huref inspect`."""
    again = "verified"
    try:
        if load_vector(place).verdict is None:
            again = "unproven"
    except Rejected as error:
        again = error.path
    except HurefError as error:
        again = type(error).__name__
    if again != stopped:
        raise AssertionError(f"verify says {again}, inspect {stopped}")


def _commands(place: Path, html: Path) -> None:
    """The commands themselves: printable results, and the exit codes that are documented."""
    bundle = str(place)
    for line in (("inspect", bundle, "--html", str(html)), ("inspect", bundle, "--json"), ("verify", bundle),
                 ("verify", bundle, "--json"), ("compare", bundle, bundle)):  # fmt: skip
        code, out = ExitCode.VERIFIED, io.StringIO()
        with redirect_stdout(out), redirect_stderr(io.StringIO()):
            try:
                _command().main(list(line), "huref")
            except SystemExit as stop:
                code = stop.code
        if code not in _EXITS:
            raise AssertionError(f"{line[0]} exits with {code}")
        if not all(text.isprintable() for text in out.getvalue().split("\n")):
            raise AssertionError(f"{line[0]} prints what a terminal obeys")


@cache
def _command() -> Any:
    """All of huref's commands; putting them together takes longer than most mutations."""
    register(app)
    return typer.main.get_command(app)


def _bare(path: Path, files: Files, honest: Files) -> None:
    """The fingerprint file alone, as `huref compare` takes it: refused, or compared with the honest one."""
    if form.FINGERPRINT not in files:
        return
    alone = path.with_name("alone.json")
    path.rename(alone)
    try:
        found = load_vector(alone).file
        other = parse_fingerprint(honest[form.FINGERPRINT], form.FINGERPRINT)
        compared = compare_fingerprints(found, other)
    except HurefError:
        return
    said = [*compared.warnings(["fingerprint", "bundle"]), *compared.words([None, "0" * 64])]
    json.dumps([compared.to_dict(), said], allow_nan=False)


def load(bundle: Path) -> Files:
    """The files of a bundle's folder."""
    return {path.name: path.read_bytes() for path in bundle.iterdir() if path.name in form.CAPS}


def valid(bundle: Path) -> Files:
    """The files of a bundle that verifies. SystemExit if it does not: any mutation of it would be refused for that."""
    try:
        verify(bundle)
    except HurefError as error:
        raise SystemExit(f"{bundle} does not verify: {error.message}") from None
    return load(bundle)


def unsigned(changed: Files, files: Files) -> bool:
    """Whether nothing but audit.sig is gone, which no manifest covers: the bundle is that of before the audit."""
    return changed == {name: data for name, data in files.items() if name != form.COSIGNATURES}


def run(bundle: Files, other: Files, count: int, seed: int, deep: float = 0.1) -> Result:
    """Counts of `count` mutations by what stopped them, with the seed that makes them again."""
    random_, counts, identical, resealed = random.Random(seed), Counter[str](), 0, 0
    crashes = []
    start = time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        while counts.total() < count:
            changed, sealed = mutate(bundle, random_, deep, other)
            if changed == bundle:
                identical += 1
                continue
            resealed += sealed
            try:
                stopped = show(changed, Path(scratch) / "bundle", random_, bundle)
            except Exception as error:
                crashes.append(f"seed {seed}, mutation {counts.total()}: {type(error).__name__}: {error}")
                stopped = "crashed"
            if stopped == "verified" and unsigned(changed, bundle):
                stopped = "audit.sig is gone"
            counts[stopped] += 1
    return {
        "mutations": counts.total(), "resealed": resealed, "identical": identical, "seeds": [seed],
        "cpu_seconds": round(time.process_time() - start, 1), "verified": counts["verified"],
        "crashed": len(crashes), "crashes": crashes, "stopped_by": dict(counts.most_common()),
    }  # fmt: skip


def merged(one: Result, two: Result) -> Result:
    """The sum of two results."""
    total = {key: one[key] + two[key] for key in one if key not in ("stopped_by", "bundles")}
    counts = Counter(one["stopped_by"]) + Counter(two["stopped_by"])
    return {"bundles": one["bundles"], **total, "stopped_by": dict(counts.most_common())}


def resumed(out: Path | None, digests: list[str]) -> Result | None:
    """An earlier result for the same bundles, if there is one. SystemExit if it is for others."""
    if out is None or not out.exists():
        return None
    found: Result = json.loads(out.read_text())
    if found.get("bundles") != digests:
        raise SystemExit(f"{out} is the result for other bundles; move it away first")
    return found


def main() -> None:
    """Run and report; exit code 1 if a mutation verified or crashed."""
    parser = argparse.ArgumentParser(
        description="Mutate bundles at random and show each mutation to a reader."
    )
    parser.add_argument(
        "bundles", type=Path, nargs="+", help="valid bundles of different models, two or more"
    )
    parser.add_argument("--seeds", default="1-1", metavar="FIRST-LAST")
    parser.add_argument("--count", type=int, default=500, help="mutations of each seed")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    bundles = [valid(path) for path in options.bundles]
    digests = [hashlib.sha256(files[form.MANIFEST]).hexdigest() for files in bundles]
    total = resumed(options.out, digests)
    first, last = map(int, options.seeds.split("-"))
    for seed in range(first, last + 1):
        if total is not None and seed in total["seeds"]:
            continue
        at, step = seed % len(bundles), 1 + seed // len(bundles) % (len(bundles) - 1)
        found = {
            "bundles": digests,
            **run(bundles[at], bundles[(at + step) % len(bundles)], options.count, seed),
        }
        total = found if total is None else merged(total, found)
        if options.out is not None:
            write_file(options.out, json.dumps(total).encode())
    result_json(total)
    raise SystemExit(1 if total is None or total["verified"] or total["crashed"] else 0)


if __name__ == "__main__":
    main()
