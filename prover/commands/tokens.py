"""`huref tokens`: print or save the token ids of a checkpoint, most frequent first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from huref.common.output import exit_on_error, note, result
from huref.prover.commands.located import CHECKPOINT, located


def register(app: typer.Typer) -> None:
    """Add `huref tokens` to the root command."""

    @app.command("tokens")
    def tokens(
        checkpoint: Annotated[str, typer.Argument(help=f"{CHECKPOINT} Or a tokenizer.json.")],
        corpus: Annotated[Path | None, typer.Option(help="UTF-8 text to count tokens in.")] = None,
        out: Annotated[Path | None, typer.Option(help="Write the list here instead of printing it.")] = None,
        rarest: Annotated[int | None, typer.Option("-k", help="Only the K rarest tokens.")] = None,
    ) -> None:
        """List ordinary token ids by descending frequency, one a line (the format of --tokens)."""
        with exit_on_error():
            from huref.prover.vocabulary.tokens import (
                format_ids,
                order_tokens,
                select_rarest,
                write_token_file,
            )

            with located(checkpoint) as place:
                order = order_tokens(place, corpus)
            ids = order.ids if rarest is None else select_rarest(order.ids, rarest)
            if out is None:
                result(*format_ids(ids).splitlines())
            else:
                write_token_file(out, ids)
                note(f"{len(ids)} token ids written to {out}")
