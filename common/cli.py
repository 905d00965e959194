"""The `huref` command: a thin root that the verifier's and the prover's commands hang on.

The two halves are found by name, so that neither package imports the other and the root stays light;
the prover's commands import torch and numba only when they run.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import Annotated

import typer

from huref.common.errors import ExitCode, InputOutputError
from huref.common.help import WholeHelp
from huref.common.output import exit_on_error, finish, is_verbose, note, result, set_level

app = typer.Typer(
    name="huref",
    cls=WholeHelp,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
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
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="On stderr nothing but warnings and errors.")
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Times of all stages, and where an internal error happened."),
    ] = False,
) -> None:
    """Keeps every command a subcommand, however few are registered."""
    set_level(quiet=quiet, verbose=verbose)


def register(app: typer.Typer, named: str | None = None) -> None:
    """Add the command or group of this name, alone: to load and describe all takes longer than most need. All of them
    if there is none of this name.
    """
    places = [
        (name, f"{package}.{module}")
        for package in ("huref.verifier.commands", "huref.prover.commands")
        for name, module in importlib.import_module(f"{package}.register").COMMANDS.items()
    ]
    wanted = [module for name, module in places if name == named] or [module for _, module in places]
    for module in dict.fromkeys(wanted):
        importlib.import_module(module).register(app)


def main() -> None:
    """Console entry point; an unexpected exception is an internal bug (exit code 70)."""
    try:
        with exit_on_error():
            register(app, next((word for word in sys.argv[1:] if not word.startswith("-")), None))
            try:
                app()
            finally:
                if not finish():
                    raise InputOutputError("standard output: not all of the text could be written")
    except Exception as error:  # the last line of defence: never a traceback as the user's message
        note(f"internal error: {type(error).__name__}: {error}")
        if is_verbose():
            note(*(line for part in traceback.format_exception(error) for line in part.splitlines()))
        note("hint: this is a bug in huref; please report it with the command you ran")
        raise SystemExit(ExitCode.INTERNAL) from error
