"""`huref ask`: challenge prompts drawn from public randomness."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from huref.common.options import JsonOption
from huref.common.output import exit_on_error, note, result, result_json


def register(app: typer.Typer) -> None:
    """Add `huref ask` to the root command."""
    app.command("ask")(ask)


def ask(
    seed: Annotated[
        str,
        typer.Option(
            metavar="HEX", help="64 hex digits that nobody could foresee when the model was committed."
        ),
    ],
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="The model's tokenizer: its folder or file, or the whole checkpoint."),
    ] = None,
    commitment: Annotated[
        Path | None, typer.Option(help="Take the tokenizer that this folder of huref commit knows.")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", help="Number of prompts.")] = 1,
    tokens: Annotated[int, typer.Option(help="Random words of a prompt, one token each.")] = 8,
    beginning: Annotated[
        str, typer.Option(metavar="TEXT", help="What a prompt begins with.")
    ] = "Write a short story with these words:",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write them here, one JSON object a line: what --prompts of huref prove-inference and verify reads.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw prompts that a served model is to answer before a proof of some answers is asked for."""
    with exit_on_error(as_json=as_json):
        from huref.common.errors import UsageError
        from huref.common.files.atomic import write_file
        from huref.common.files.passages import Passage, passage_lines
        from huref.prover.inference.tokenizer import tokenizer_of
        from huref.prover.vocabulary.prompts import draw_prompts, parse_seed

        drawn = parse_seed(seed)
        if (tokenizer is None) == (commitment is None):
            raise UsageError("give the model's tokenizer with --tokenizer, or --commitment to take its own")
        vocabulary = tokenizer_of(commitment, tokenizer)
        prompts = draw_prompts(vocabulary, drawn, count, tokens, beginning)
        if out is not None:
            lines = passage_lines(Passage(prompt=one.text, prompt_ids=one.ids) for one in prompts)
            write_file(out, lines)
    if as_json:
        rule = {"seed": drawn.hex(), "tokenizer_digest": vocabulary.digest, "beginning": beginning}
        made = [{"text": prompt.text, "ids": prompt.ids} for prompt in prompts]
        result_json({"schema": "huref-asked/1", **rule, "words": tokens, "prompts": made})
        return
    if out is None:
        result(*(prompt.text for prompt in prompts))
    else:
        note(f"{len(prompts)} prompts written to {out}")
    note(f"tokenizer digest {vocabulary.digest}: with another one the prompts are others")
