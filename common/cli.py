"""The `huref` command: a thin root that the verifier's and the prover's commands hang on.

The two halves are found by name, so that neither package imports the other and the root stays light;
the prover's commands import torch and numba only when they run.
"""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

from huref.common.errors import ExitCode
from huref.common.output import exit_on_error, note, result

app = typer.Typer(
    name="huref",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich would double the start-up time
    help="Publish and check human-readable fingerprints of large language models.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        result(f"huref {version('huref')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keeps every command a subcommand, however few are registered."""


def main() -> None:
    """Console entry point; an unexpected exception is an internal bug (exit code 70)."""
    try:
        with exit_on_error():
            for module in ("huref.verifier.commands.register", "huref.prover.commands.register"):
                importlib.import_module(module).register(app)
            app()
    except Exception as error:  # the last line of defence: never a traceback as the user's message
        note(f"internal error: {type(error).__name__}: {error}")
        note("hint: this is a bug in huref; please report it with the command you ran")
        raise SystemExit(ExitCode.INTERNAL) from error
