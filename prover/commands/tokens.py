"""`huref tokens`: print or save the token ids of a checkpoint, most frequent first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from huref.common.options import JsonOption
from huref.common.output import exit_on_error, note, result, result_json
from huref.prover.commands.located import CHECKPOINT, located


def register(app: typer.Typer) -> None:
    """Add `huref tokens` to the root command."""

    @app.command("tokens")
    def tokens(
        checkpoint: Annotated[str, typer.Argument(help=f"{CHECKPOINT} Or a tokenizer.json.")],
        corpus: Annotated[Path | None, typer.Option(help="UTF-8 text to count tokens in.")] = None,
        out: Annotated[
            Path | None, typer.Option("--out", "-o", help="Write the list here instead of printing it.")
        ] = None,
        k: Annotated[int | None, typer.Option("--k", "-k", help="Only the K rarest tokens.")] = None,
        as_json: JsonOption = False,
    ) -> None:
        """List ordinary token ids by descending frequency, one a line (the format of --tokens)."""
        with exit_on_error(as_json=as_json):
            from huref.prover.vocabulary.tokens import (
                format_ids,
                order_tokens,
                select_rarest,
                write_token_file,
            )

            with located(checkpoint) as place:
                order = order_tokens(place, corpus)
            ids = order.ids if k is None else select_rarest(order.ids, k)
            if out is not None:
                write_token_file(out, ids)
            if as_json:
                file = None if out is None else str(out)
                result_json({"schema": "huref-tokens/1", "token_ids": ids, "file": file})
            elif out is None:
                result(*format_ids(ids).splitlines())
            else:
                note(f"{len(ids)} token ids written to {out}")
