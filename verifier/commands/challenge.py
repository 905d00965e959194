"""`huref challenge`: the joint challenge of two committed models."""

from __future__ import annotations

from typing import Annotated

import typer

from huref.common.options import JsonOption
from huref.common.output import exit_on_error, note, result, result_json

_SIDE = "Model id, commitment.json, the folder of a commitment, or a bundle (verified first)"


def register(app: typer.Typer) -> None:
    """Add `huref challenge` to the root command."""
    app.command("challenge")(challenge)


def challenge(
    first: Annotated[str, typer.Argument(help=f"{_SIDE}.")],
    second: Annotated[str, typer.Argument(help="The same, of the other model.")],
    beacon: Annotated[
        str | None,
        typer.Option(
            metavar="HEX",
            help="Public randomness, in hex, that nobody could foresee when the models were committed.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """The joint challenge of two models, for `huref prove --challenge` on both sides."""
    with exit_on_error(as_json=as_json):
        from huref.circuits.challenge import joint_challenge, parse_beacon
        from huref.common.files.bundle import is_bundle
        from huref.verifier.expectations import parse_root
        from huref.verifier.verification import verify

        drawn = parse_beacon(beacon)
        ids = [verify(side).model_id if is_bundle(side) else parse_root(side) for side in (first, second)]
        found = joint_challenge(ids[0], ids[1], drawn)
    if as_json:
        public = {"model_ids": ids, "beacon": drawn.hex() or None}
        result_json({"schema": "huref-challenge/1", "challenge": found, **public})
        return
    result(found)
    note(
        "now on both sides: huref prove --commitment FOLDER --challenge … --out NAME.huref, then huref compare"
    )
