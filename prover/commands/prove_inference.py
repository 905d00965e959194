"""`huref prove-inference`: prove which tokens the committed model gives."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from huref.common.options import JsonOption
from huref.common.output import exit_on_error, note, result, result_json
from huref.common.text import quoted
from huref.prover.commands.commit import DeviceOption

if TYPE_CHECKING:
    from huref.prover.inference.prove import Question

_INTERRUPTED = "no bundle was written; if a proof had begun, the positions that it reserved stay spent"
_STAGES = ("load", "commit", "witness", "prove", "run", "self-verify")
_MOST_TEXT = 1 << 16


def register(app: typer.Typer) -> None:
    """Add `huref prove-inference` to the root command."""
    app.command("prove-inference")(prove_inference)


def prove_inference(
    commitment: Annotated[Path, typer.Option(help="Folder made by huref commit.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Bundle folder to make, NAME.huref.")],
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT|FILE", help="The prompt: a text, or a file that holds it.")
    ] = None,
    answer: Annotated[
        str | None, typer.Option(metavar="TEXT|FILE", help="The answer to prove, likewise.")
    ] = None,
    generate: Annotated[
        int | None, typer.Option(min=1, help="Prove so many tokens of the model's own answer instead.")
    ] = None,
    prompt_ids: Annotated[
        str | None, typer.Option(metavar="JSON", help="The prompt as a JSON list of token ids.")
    ] = None,
    answer_ids: Annotated[
        str | None, typer.Option(metavar="JSON", help="The answer as a JSON list of token ids.")
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Checkpoint or tokenizer that cuts texts into tokens; default: the commitment's.",
        ),
    ] = None,
    each: Annotated[
        bool, typer.Option("--each-gap", help="Publish every token's own gap, not one for all.")
    ] = False,
    fingerprint: Annotated[
        str | None,
        typer.Option(metavar="BUNDLE", help="Take the fingerprint from this bundle; default: prove it too."),
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Sign with this key file (huref keygen).")] = None,
    device: DeviceOption = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace an older bundle of this name.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Prove an answer of the committed model; the bundle holds its fingerprint as well."""
    with exit_on_error(as_json=as_json, interrupted=_INTERRUPTED):
        from huref.common.files.keys import SecretKey
        from huref.prover.commands.first_use import announced
        from huref.prover.commands.memory import keep_freed_memory
        from huref.prover.commands.progress import ProgressBar
        from huref.prover.inference.prove import check_commitment
        from huref.prover.inference.prove import prove_inference as make

        keep_freed_memory()
        signer = None if key is None else SecretKey.load(key)
        check_commitment(commitment, signer)
        question = _question(commitment, prompt, answer, generate, prompt_ids, answer_ids, tokenizer)
        with announced("commit", "witness", "prove"), ProgressBar(_STAGES) as progress:
            done = make(
                commitment,
                out,
                question,
                each=each,
                fingerprint=fingerprint,
                key=signer,
                replace_existing=force,
                device=device,
                progress=progress,
            )
    verdict = done.verdict
    found = verdict.inference
    assert found is not None
    if as_json:
        summary = {**verdict.to_dict(), "schema": "huref-answered/1", "bundle": str(done.path)}
        result_json({**summary, "seconds": done.seconds, "proofs_left": done.proofs_left})
        return
    said = found.statement
    result(f"{done.path}: {said.claimed} tokens behind {said.first}, {found.argmaxes} proven argmaxes")
    result(f"  answer ids  {said.ids[said.first :]}")
    if said.answer is not None:
        result(f"  answer      {quoted(said.answer, 400)}")
    note(f"gaps: largest {found.largest:.3g}, median {found.median:.3g} logits")
    if found.unlikely:
        note(
            f"warning: on average a probability of {found.probability:.2g} is proven of these tokens, and readers are "
            "told that many others are as good"
        )
    note("time: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in done.seconds.items()))
    note(f"size: bundle {verdict.size / 1e6:.2f} MB, of it the proof of inference {found.size / 1e6:.2f} MB")
    note(f"{done.proofs_left} proofs left")


def _question(
    commitment: Path,
    prompt: str | None,
    answer: str | None,
    generate: int | None,
    prompt_ids: str | None,
    answer_ids: str | None,
    tokenizer: str | None,
) -> Question:
    """What the options ask.

    Raises:
        UsageError: they contradict each other, or a text needs a tokenizer that is neither named nor known.
    """
    from huref.common.errors import UsageError
    from huref.prover.inference.prove import Question

    if (prompt is None) == (prompt_ids is None):
        raise UsageError("give the prompt with --prompt or --prompt-ids")
    if sum(x is not None for x in (answer, answer_ids, generate)) != 1:
        raise UsageError("give one of --answer, --answer-ids and --generate")
    said_prompt, said_answer = _text(prompt), _text(answer)
    if said_prompt is None and said_answer is None:
        begun, behind = _ids(prompt_ids, "--prompt-ids"), _ids(answer_ids, "--answer-ids")
        return Question(begun + behind, len(begun), generate or 0)
    from huref.prover.inference.tokenizer import tokenizer_of
    from huref.prover.vocabulary.encode import TextCoder

    coder = TextCoder(tokenizer_of(commitment, tokenizer).tokenizer, None)
    if said_prompt is not None and said_answer is not None:
        ids, first = coder.continued(said_prompt, said_answer)
        return Question(ids, first, 0, said_prompt, said_answer)
    begun = _ids(prompt_ids, "--prompt-ids") if said_prompt is None else coder.encode(said_prompt)
    behind = _ids(answer_ids, "--answer-ids") if said_answer is None else coder.encode(said_answer)
    told = None
    if said_prompt is not None:
        told = partial(coder.told, said_prompt, first=len(begun))
    return Question(begun + behind, len(begun), generate or 0, said_prompt, said_answer, told)


def _text(given: str | None) -> str | None:
    """A text as given, or what is in the file of this name."""
    from huref.common.errors import Malformed
    from huref.common.files.capped import read_capped

    if given is None or len(given) > 4096 or "\n" in given or not Path(given).is_file():
        if given is not None and re.fullmatch(r"\S*\.[a-z]{1,5}", given):
            note(f"warning: there is no file {given}, so these letters are the text")
        return given
    try:
        return read_capped(Path(given), _MOST_TEXT).decode()
    except UnicodeDecodeError:
        raise Malformed(f"{given}: not a text in UTF-8") from None


def _ids(given: str | None, option: str) -> list[int]:
    """A JSON list of token ids; none where the option was not given."""
    import json

    from huref.common.errors import UsageError

    if given is None:
        return []
    try:
        found = json.loads(given)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or any(type(x) is not int for x in found):
        raise UsageError(f"{option}: expected a JSON list of integers, such as [1, 2, 3]")
    return found
