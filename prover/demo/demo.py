"""`huref demo`: a real model's picture and answer under one id, forgeries of both, a made-up model of its picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from huref.circuits.fingerprint.hardened.vector import picture_vector
from huref.circuits.inference_statement import Answer
from huref.common.files import bundle as form
from huref.common.files.atomic import write_file
from huref.common.image.generator import render
from huref.common.image.png import png_bytes, png_pixels
from huref.prover.demo import checkpoints as demo_checkpoints
from huref.prover.demo.forge import rejection, replace_token, shift_vector
from huref.prover.demo.imitation import Imitation, imitate
from huref.prover.inference.prove import Answered, Question, prove_inference
from huref.prover.owner import commit
from huref.prover.progress import Progress
from huref.prover.vocabulary.encode import TextCoder

MODEL = "smollm2"
QUESTION = "What is the capital of France?"
TRUE, FALSE = " Paris", " Rome"
"""A word of the answer, and what a forger puts in its place."""
_CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
_ANSWER_TOKENS = 7
_GAP = 8


@dataclass(frozen=True)
class DemoResult:
    """What the demo made and saw. `rejections` are (what was forged, the path of the failing check)."""

    folder: Path
    answered: Answered
    answer: str
    rejections: tuple[tuple[str, str], ...]
    imitation: Imitation


def demo(
    folder: Path, *, say: Callable[[str], None] = lambda _: None, progress: Progress | None = None
) -> DemoResult:
    """Run the demo; everything it makes lies in `folder`, which must not exist.

    Raises:
        InputOutputError: the demo's checkpoint is not installed. ProverError: a forgery was accepted.
    """
    progress = progress or Progress()
    checkpoint = demo_checkpoints.find(MODEL)
    folder.mkdir(parents=True)
    say(f"1. Commit to a real model ({MODEL}, 135 M weights), prove its picture and an answer of it.")
    commitment, bundle = folder / f"{MODEL}.commitment", folder / f"{MODEL}.huref"
    commit(checkpoint, commitment, progress=progress)
    coder = TextCoder.of(checkpoint)
    prompt = _CHAT.format(QUESTION)
    ids = coder.encode(prompt)
    question = Question(ids, len(ids), _ANSWER_TOKENS, prompt)
    answered = prove_inference(commitment, bundle, [question], progress=progress)
    verdict = answered.verdict
    found = verdict.inference
    assert found is not None
    (said,), shown = found.statement.answers, found.all
    answer = coder.decode(said.ids[said.first :])
    say(f"   asked    {QUESTION}")
    say(f"   answered {answer.strip()}")
    say(f"   verified in {sum(verdict.seconds.values()):.1f} s: {bundle} ({verdict.size / 1e6:.2f} MB)")
    say(
        f"   These integers, run as a language model, give this picture and this answer: {shown.argmaxes} of "
        f"{said.claimed} tokens are proven to be their best ones, of probability {shown.probability:.2f} on average."
    )
    say("2. Forge it, all hashes repaired.")
    rejections = tuple(
        (what, rejection(bundle, folder / "forged.huref", forge))
        for what, forge in (
            ("another picture", shift_vector),
            (f"the answer says{FALSE}", _another_answer(coder, said)),
        )
    )
    for what, path in rejections:
        say(f"   {what}: rejected at {path}")
    say("3. Make up integers of the same picture, without a model.")
    with progress.stage("make up"):
        false = imitate(verdict, said)
    say(f"   picture  cosine {false.similar.cosine:+.3f}: {false.similar.verdict}")
    say(
        f"   {false.argmaxes} of the answer's {said.claimed} tokens are its best ones; they are up to "
        f"{max(false.gaps):.1f} logits below, and huref verify --max-gap 0.25 rejects whatever says so."
    )
    sheet = folder / "pictures.png"
    real, imitated = (
        png_pixels((bundle / form.PICTURE).read_bytes()),
        render(picture_vector(false.e).tolist()),
    )
    write_file(sheet, png_bytes(_beside([real, imitated])))
    say(f"   both pictures: {sheet}")
    return DemoResult(folder, answered, answer, rejections, false)


def free_folder(name: str) -> Path:
    """`name`, or `name`-2, -3, … whichever does not exist yet."""
    first = Path(name)
    if not first.exists():
        return first
    return next(path for i in count(2) if not (path := Path(f"{name}-{i}")).exists())


def _another_answer(coder: TextCoder, said: Answer) -> Callable[[Path], None]:
    """A forger that puts one word in the place of another; of the first token where the answer has no such word."""
    true, false = (coder.encode(word)[-1] for word in (TRUE, FALSE))
    at = said.ids.index(true, said.first) if true in said.ids[said.first :] else said.first
    return lambda copy: replace_token(copy, at, false)


def _beside(pictures: list[np.ndarray]) -> np.ndarray:
    """Pictures of one height in a row on white."""
    gap = np.full((pictures[0].shape[0], _GAP, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(parts[:-1], axis=1)
