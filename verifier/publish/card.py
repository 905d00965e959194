"""The section of a model card that says what a bundle shows, and what it does not; Markdown with a YAML head."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from huref.common.errors import UsageError
from huref.common.text import escape, shorten
from huref.verifier.compare import FingerprintComparison
from huref.verifier.verdict import NO_MODEL, Verdict

Relation = Literal["finetune", "quantized", "merge", "adapter"]
RELATIONS: tuple[Relation, ...] = ("finetune", "quantized", "merge", "adapter")
SIZE = (1200, 630)
"""Width and height of pictures that sites show beside a link."""
_REPO = re.compile(r"[\w-][\w.-]{0,95}(?:/[\w-][\w.-]{0,95})?", re.ASCII)
_MARGIN = 48


@dataclass(frozen=True)
class Base:
    """A base model that is claimed: its name on a hub, how it was made into this one, and the two fingerprints."""

    name: str
    relation: Relation
    comparison: FingerprintComparison
    proven: bool


def check_base(name: str | None, relation: str) -> Relation:
    """The relation, if it is one and the name could be a model's. Raises `UsageError`."""
    if name is not None and not _REPO.fullmatch(name):
        raise UsageError(f"{shorten(name)}: not the name of a model", hint="write OWNER/MODEL")
    for known in RELATIONS:
        if known == relation:
            return known
    raise UsageError(f"{shorten(relation)}: choose {', '.join(RELATIONS)}")


def section(verdict: Verdict, bundle: str, picture: str | None, base: Base | None) -> str:
    """The section; `bundle` and `picture` are the names under which both are published.

    Raises:
        UsageError: a base whose fingerprint does not match.
    """
    lines = ["---", *_yaml(verdict, base), "---", "", "## Fingerprint", ""]
    if picture is not None:
        lines += [f"![{verdict.words}]({picture})", ""]
    lines += [
        f"**{verdict.words}**, proven with huref to {int(verdict.security.bits)} bits to be the fingerprint of weights "
        "that were committed to, under this model id:",
        "",
        "```",
        verdict.model_id,
        "```",
        "",
    ]
    if base is not None:
        cosine = f"{base.comparison.similarity.cosine:+.4f}"
        how = "a bundle, verified" if base.proven else "a bare fingerprint, unproven"
        lines += [f"Base model: `{base.name}`. Cosine of the two fingerprints {cosine} ({how}).", ""]
    lines += [
        "Check it:",
        "",
        "```",
        "pip install huref",
        f"huref verify {bundle} --root {verdict.model_id}",
        "```",
        "",
    ]
    owner = verdict.signer or "nobody"
    lines += [f"Signed by: `{owner}`.", "", f"Not proven. {NO_MODEL}", ""]
    return "\n".join(lines)


def _yaml(verdict: Verdict, base: Base | None) -> list[str]:
    """Facts for programs; every value is written as JSON, which YAML reads."""
    lines = []
    facts: dict[str, object] = {
        "model_id": verdict.model_id,
        "fingerprint": verdict.fingerprint,
        "words": verdict.words,
        "bundle_digest": verdict.digest,
        "security_bits": int(verdict.security.bits),
    }
    if base is not None:
        if base.comparison.verdict != "same base":
            found = (
                f"cosine {base.comparison.similarity.cosine:+.4f}, {base.comparison.verdict or 'no verdict'}"
            )
            raise UsageError(f"the fingerprints do not show {base.name} as the base: {found}")
        lines += [f"base_model: {json.dumps(base.name)}", f"base_model_relation: {base.relation}"]
        facts["base_model_cosine"] = round(base.comparison.similarity.cosine, 4)
        facts["base_model_fingerprint_proven"] = base.proven
    return [*lines, "huref:", *(f"  {name}: {json.dumps(value)}" for name, value in facts.items())]


def share_image(picture: NDArray[np.uint8], title: str, verdict: Verdict) -> NDArray[np.uint8]:
    """A picture for links, (630, 1200, 3): the fingerprint, a title, its words and the model id."""
    width, height = SIZE
    canvas = Image.new("RGB", SIZE, "white")
    side = height - 2 * _MARGIN
    canvas.paste(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS), (_MARGIN, _MARGIN))
    draw = ImageDraw.Draw(canvas)
    left = side + 2 * _MARGIN
    words = verdict.words.split()
    lines = [
        (_fitted(escape(title), 52, width - left - _MARGIN), 52, "black"),
        ("", 20, "black"),
        *((" ".join(words[at : at + 2]), 44, "#333333") for at in range(0, len(words), 2)),
        ("", 20, "black"),
        (f"fingerprint proven to {int(verdict.security.bits)} bits", 28, "#1a7f37"),
        (f"model id {verdict.model_id[:16]}…", 28, "#666666"),
    ]
    at = _MARGIN
    for text, size, colour in lines:
        draw.text((left, at), text, fill=colour, font=ImageFont.load_default(size))
        at += size + size // 3
    return np.asarray(canvas).copy()


def _fitted(text: str, size: int, space: int) -> str:
    """Cut so that it fits into `space` pixels."""
    font, shown = ImageFont.load_default(size), text
    while font.getlength(shown) > space and len(text) > 1:
        text = text[:-1]
        shown = text + "…"
    return shown
