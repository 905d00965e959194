"""Lists of commands whose help is wrapped to the terminal's width, never cut."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

_WHOLE = 10_000
"""Letters of a command's first sentence that are shown: all."""


class WholeHelp(TyperGroup):
    """A group of commands that lists each with its whole first sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands; called by click."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [
            (name, command.get_short_help_str(_WHOLE))
            for name, command in found
            if command is not None and not command.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
