"""A process that has the prover loaded and forks one `huref` command per order, for tests that kill commands.

Loading and compiling takes longer than a tiny model's whole proof, so it is done once. Orders are JSON lines on
stdin: {"args": [...], "replaces": n or null}; with n the command kills itself right after its n-th rename of a
file or folder. Answers are lines on stdout: "ready", then per order the command's pid and its wait status.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from huref.common.cli import main
from huref.prover.owner import Options, commit, prove


def warm(checkpoint: str, profile: str) -> None:
    """Load and compile everything. With a single thread of OpenMP nothing is left running that a fork loses."""
    with tempfile.TemporaryDirectory() as folder:
        commit(checkpoint, Path(folder) / "c", Options(profile, proofs=16))
        prove(None, Path(folder) / "b.huref", commitment=Path(folder) / "c")


def run(args: list[str], replaces: int | None) -> NoReturn:
    """The command, in a fork."""
    null, log = os.open(os.devnull, os.O_RDWR), os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for target, source in enumerate((null, log, log)):
        os.dup2(source, target)
    if replaces is not None:
        die_after(replaces)
    sys.argv = ["huref", *args]
    try:
        main()
    except SystemExit as stop:
        os._exit(int(stop.code or 0))
    os._exit(0)


def die_after(replaces: int) -> None:
    """Kill this process right after so many renames."""
    replace, count = os.replace, 0

    def counted(*arguments: Any) -> None:
        nonlocal count
        replace(*arguments)
        count += 1
        if count == replaces:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = counted


def serve() -> None:
    """Answer orders until stdin ends."""
    answer = os.fdopen(os.dup(1), "w")
    warm(*sys.argv[1:3])
    answer.write("ready\n")
    answer.flush()
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            run(order["args"], order["replaces"])
        answer.write(f"{pid}\n")
        answer.flush()
        answer.write(f"{os.waitpid(pid, 0)[1]}\n")
        answer.flush()


if __name__ == "__main__":
    serve()
