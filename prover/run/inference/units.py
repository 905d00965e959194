"""Whether a checkpoint gets an inference program, and the facts of it that lie under its model id."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from huref.circuits.fingerprint.profiles import Profile
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference.facts import Facts
from huref.circuits.inference.relate_head import Claims
from huref.circuits.inference.relations import relate
from huref.circuits.whole import committed_tensors
from huref.common.errors import ProverError, Unsupported, UsageError
from huref.prover.checkpoint.families import Model
from huref.prover.run.inference.calibrate import calibrate
from huref.prover.run.inference.float_run import Weights
from huref.prover.run.inference.products import OwnProducts
from huref.prover.run.inference.settings import Settings, read_settings
from huref.prover.run.inference.texts import calibration_texts
from huref.prover.vocabulary.tokens import load_vocabulary


@dataclass(frozen=True)
class Calibration:
    """What a calibration needs beside the integers: settings of the checkpoint, and texts as token ids.

    `tokenizer` is where the texts' tokenizer lies, `digest` that of its vocabulary, `own` as in `calibrate`.
    """

    shape: ModelShape
    settings: Settings
    texts: list[list[int]]
    tokenizer: Path
    digest: str
    own: OwnProducts | None = None

    def facts(self, weights: Weights, progress: Callable[[str], None] | None = None) -> Facts:
        """Facts that compile to a program.

        Raises:
            ProverError: the values of the run have no units.
        """
        facts = calibrate(self.shape, self.settings, weights, self.texts, progress, self.own)
        try:
            program = compile_inference(self.shape, facts, 1)
            relate(program, [0], Claims((0,), (0,), (0,), (4,)), committed_tensors(self.shape))
        except (UsageError, Unsupported) as error:
            raise ProverError(f"inference: {error.message.removeprefix('inference: ')}") from None
        return facts


def plan(model: Model, profile: Profile, tokenizer: Path | None = None) -> Calibration:
    """Prepare a calibration; `tokenizer` where it does not lie beside the checkpoint.

    Raises:
        Unsupported: no inference program is known for the model, or its tokenizer is not there.
    """
    if not profile.whole:
        raise Unsupported(f"profile {profile.name} commits to two layers, which cannot run")
    settings = read_settings(model)
    vocabulary = load_vocabulary(tokenizer or model.checkpoint)
    texts = [] if vocabulary is None else calibration_texts(vocabulary, model.vocab)
    if vocabulary is None or not texts:
        raise Unsupported(f"{model.checkpoint.path}: no tokenizer to calibrate an inference program with")
    place = tokenizer or model.checkpoint.path
    own = OwnProducts(model) if model.shape.output_norm else None
    return Calibration(model.shape, settings, texts, place, vocabulary.digest, own)


def first_difference(one: Facts, other: Facts) -> str | None:
    """The first fact by which two calibrations of the same integers cannot differ; None where they may both be right.

    A run in floating point is not the same to the last bit everywhere, so a value may fall to either side of a power
    of two: units one apart are alike.
    """
    exact = ("activation", "epsilon", "window", "embedding_square", "score_square", "score_cap", "logit_cap")
    found = [name for name in exact if getattr(one, name) != getattr(other, name)]
    if not found and _turns(one) != _turns(other):
        found = ["theta"] if len(one.layers) == len(other.layers) else ["layers"]
    if not found:
        ours, theirs = _units(one), _units(other)
        found = [name for name in ours | theirs if abs(ours.get(name, 0) - theirs.get(name, 0)) > 1]
    return found[0] if found else None


def _turns(facts: Facts) -> list[tuple[int, int]]:
    return [(layer.theta, layer.stretch) for layer in facts.layers]


def _units(facts: Facts) -> dict[str, int]:
    """All units by name; a neuron that is no outlier has none."""
    units = {"embedding": facts.embedding, "logits": facts.logits, "lifted": facts.lifted}
    units |= {f"final[{i}]": unit for i, unit in enumerate(facts.final)}
    units |= {f"shifts.{name}[{i}]": shift for name, pair in facts.shifts for i, shift in enumerate(pair)}
    for n, layer in enumerate(facts.layers):
        for field in fields(layer):
            value, name = getattr(layer, field.name), f"layers[{n}].{field.name}"
            if field.name.endswith("_outliers"):
                units |= {f"{name}.{row}": by for row, by in value}
            else:
                units |= {
                    f"{name}.{i}": unit
                    for i, unit in enumerate(value if isinstance(value, tuple) else (value,))
                }
    return units
