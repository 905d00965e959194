"""`huref prove-inference`: prove which tokens the committed model gives behind one prompt or several."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from huref.common.options import JsonOption
from huref.common.output import exit_on_error, note, result, result_json
from huref.common.text import quoted
from huref.prover.commands.commit import DeviceOption

if TYPE_CHECKING:
    from huref.common.files.passages import Passage
    from huref.prover.inference.prove import Answered

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
        list[str] | None,
        typer.Option(
            metavar="TEXT|FILE",
            help="The prompt: a text, or a file that holds it. Again for every further prompt of one proof.",
        ),
    ] = None,
    answer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT|FILE", help="The answer to prove, likewise; one for every prompt, in order."
        ),
    ] = None,
    generate: Annotated[
        int | None, typer.Option(min=1, help="Prove so many tokens of the model's own answers instead.")
    ] = None,
    prompt_ids: Annotated[
        list[str] | None, typer.Option(metavar="JSON", help="The prompt as a JSON list of token ids.")
    ] = None,
    answer_ids: Annotated[
        list[str] | None, typer.Option(metavar="JSON", help="The answer as a JSON list of token ids.")
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Take all prompts, and answers unless they are generated, from lines of JSON, as huref ask --out "
            "writes them: prompt or prompt_ids, answer or answer_ids.",
        ),
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
    hide_prompt: Annotated[
        bool,
        typer.Option(
            "--hide-prompt",
            help="Show the prompts' lengths and salted digests alone; NAME.prompts.jsonl, written beside the bundle, "
            "opens them to those you give it to.",
        ),
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
    """Prove answers of the committed model, in one proof; the bundle holds its fingerprint as well."""
    with exit_on_error(as_json=as_json, interrupted=_INTERRUPTED):
        from huref.common.errors import UsageError
        from huref.common.files.keys import SecretKey
        from huref.common.memory import keep_freed_memory
        from huref.prover.commands.first_use import announced
        from huref.prover.commands.progress import ProgressBar
        from huref.prover.inference.prove import check_commitment, opening_of
        from huref.prover.inference.prove import prove_inference as make
        from huref.prover.inference.questions import questions

        keep_freed_memory()
        signer = None if key is None else SecretKey.load(key)
        check_commitment(commitment, signer)
        passages = _passages(prompts, prompt, answer, prompt_ids, answer_ids, generate)
        if hide_prompt and prompts is not None and prompts.resolve() == opening_of(out).resolve():
            raise UsageError(
                f"{prompts} is where what opens the prompts is written", hint="call one of them otherwise"
            )
        asked = questions(passages, generate, commitment, tokenizer)
        with announced("commit", "witness", "prove"), ProgressBar(_STAGES) as progress:
            done = make(
                commitment,
                out,
                asked,
                each=each,
                hide_prompt=hide_prompt,
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
        opening = None if done.opening is None else str(done.opening)
        left = {"seconds": done.seconds, "proofs_left": done.proofs_left, "opening": opening}
        result_json({**summary, **left})
        return
    result(f"{done.path}: {_told(done)}")
    for number, (said, shown) in enumerate(zip(found.statement.answers, found.answers, strict=True), 1):
        if len(found.answers) > 1:
            result(f"  answer {number}: {shown.line()}")
        result(f"  answer ids  {said.answer_ids}")
        if said.answer is not None:
            result(f"  answer      {quoted(said.answer, 400)}")
    if done.opening is not None:
        note(f"the prompts are hidden; {done.opening} opens them (huref verify --open). Keep it private")
    note(f"gaps: largest {found.all.largest:.3g}, median {found.all.median:.3g} logits")
    if found.unlikely:
        note(
            f"warning: on average a probability of {found.all.probability:.2g} is proven of these tokens, and readers "
            "are told that many others are as good"
        )
    note("time: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in done.seconds.items()))
    note(f"size: bundle {verdict.size / 1e6:.2f} MB, of it the proof of inference {found.size / 1e6:.2f} MB")
    note(f"{done.proofs_left} proofs left")


def _told(done: Answered) -> str:
    """What was proven, in a few words."""
    found = done.verdict.inference
    assert found is not None
    claimed, argmaxes = len(found.all.gaps), found.all.argmaxes
    if len(found.answers) > 1:
        return f"{claimed} tokens in {len(found.answers)} answers, {argmaxes} proven argmaxes"
    return f"{claimed} tokens behind {found.statement.answers[0].first}, {argmaxes} proven argmaxes"


def _passages(
    file: Path | None,
    prompt: list[str] | None,
    answer: list[str] | None,
    prompt_ids: list[str] | None,
    answer_ids: list[str] | None,
    generate: int | None,
) -> list[Passage]:
    """What the options ask.

    Raises:
        UsageError: they contradict each other. Other `HurefError`s: a file cannot be read.
    """
    from huref.common.errors import UsageError
    from huref.common.files.passages import read_passages
    from huref.prover.inference.questions import paired

    if file is not None:
        if prompt or answer or prompt_ids or answer_ids:
            raise UsageError("give prompts and answers with --prompts, or each with an option of its own")
        return read_passages(file)
    return paired(
        [_text(text) for text in prompt or ()],
        [_ids(text, "--prompt-ids") for text in prompt_ids or ()],
        [_text(text) for text in answer or ()],
        [_ids(text, "--answer-ids") for text in answer_ids or ()],
        generate,
    )


def _text(given: str) -> str:
    """A text as given, or what is in the file of this name."""
    from huref.common.errors import Malformed
    from huref.common.files.capped import read_capped

    if len(given) > 4096 or "\n" in given or not Path(given).is_file():
        if re.fullmatch(r"\S*\.[a-z]{1,5}", given):
            note(f"warning: there is no file {given}, so these letters are the text")
        return given
    try:
        return read_capped(Path(given), _MOST_TEXT).decode()
    except UnicodeDecodeError:
        raise Malformed(f"{given}: not a text in UTF-8") from None


def _ids(given: str, option: str) -> list[int]:
    """A JSON list of token ids."""
    import json

    from huref.common.errors import UsageError

    try:
        found = json.loads(given)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or any(type(x) is not int for x in found):
        raise UsageError(f"{option}: expected a JSON list of integers, such as [1, 2, 3]")
    return found
