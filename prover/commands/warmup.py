"""`huref warmup`: compiles the kernels before they are needed."""

from __future__ import annotations

from typing import Annotated

import typer

from huref.common.output import exit_on_error, is_quiet, note, result, result_json


def register(app: typer.Typer) -> None:
    """Add `huref warmup` to the root command."""
    app.command("warmup")(warmup)


def warmup(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compile what commit, prove and fingerprint need on the CPU; a second run finds it done."""
    with exit_on_error(as_json=as_json):
        import time

        from tqdm import tqdm

        from huref.common.errors import InputOutputError
        from huref.prover.kernels import cache
        from huref.prover.kernels.examples import STAGES, examples
        from huref.prover.kernels.first_use import Worker, counted

        if not cache.lasting():
            raise InputOutputError(
                "no folder to keep compiled kernels in can be written",
                hint="set NUMBA_CACHE_DIR to a folder of your own",
            )
        start, worker = time.perf_counter(), Worker(STAGES)
        try:
            with counted() as compiled:
                hidden = is_quiet() or None  # None: shown on a terminal only
                shown = {"unit": "kernel", "leave": False, "bar_format": "{l_bar}{bar}| {elapsed}"}
                for example in tqdm(examples(), disable=hidden, **shown):
                    example()
            worker.wait()
        finally:
            worker.stop()
    folder, seconds = str(cache.folder()), round(time.perf_counter() - start, 1)
    if as_json:
        found = {"folder": folder, "compiled": compiled(), "seconds": seconds}
        result_json({"schema": "huref-warmup/1", **found})
        return
    result(f"compiled kernels are in {folder}")
    note(f"compiled {compiled()} here in {seconds} s; the others were there or came from a second process")
