"""The proof of inference in a bundle: which tokens the committed model gives (protocol §13)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from huref.circuits.argument.security import SecurityReport
from huref.circuits.inference.claim import ODDS_BITS
from huref.circuits.inference_statement import InferenceStatement, inference_program, prepare_inference
from huref.common.errors import Rejected
from huref.common.files import bundle as form
from huref.common.files.commitment_file import CommitmentFile
from huref.common.text import escape, quoted
from huref.verifier.measured import measured
from huref.verifier.relations.verify import verify_relations

FLAT = 0.05
"""Below this probability a verdict warns."""
UNLIKELY = (
    "That the model tells tokens apart: it gives the claimed ones so small a probability that many others are as good, "
    "and where all logits are equal any answer can be proven."
)


@dataclass(frozen=True)
class InferenceVerdict:
    """A proof of inference that holds. Gaps are in logits, one for every claimed token."""

    statement: InferenceStatement
    security: SecurityReport
    gaps: tuple[float, ...]
    size: int

    @property
    def argmaxes(self) -> int:
        """How many claimed tokens are proven to have the largest logit."""
        return sum(gap == 0 for gap in self.gaps)

    @property
    def probability(self) -> float:
        """The harmonic mean of the claimed tokens' probabilities, from below."""
        claimed = self.statement.claimed
        return min(1.0, claimed / (math.exp(self.largest) * self.statement.odds * 2.0**-ODDS_BITS))

    @property
    def largest(self) -> float:
        """The largest gap."""
        return max(self.gaps)

    @property
    def median(self) -> float:
        """The median gap."""
        return float(median(self.gaps))

    def proven(self) -> list[str]:
        """What the proof establishes, in sentences."""
        said, best = self.statement, self.argmaxes
        tokens = "token" if said.claimed == 1 else f"{said.claimed} tokens"
        how = "the largest logit"
        if best < said.claimed:
            how = f"a logit at most {self.largest:.3g} below the largest"
            if best:
                how += f" (of {best} of them proven: the largest)"
        return [
            f"The integers under this model id, run as a language model by their directory's inference program, "
            f"give each of the last {tokens} of {len(said.ids)} published ones, behind those before it, {how}, and on "
            f"average (harmonic mean) a probability of at least {self.probability:.2g}.",
        ]

    @property
    def unlikely(self) -> bool:
        """Whether many other tokens may be as good as the claimed ones."""
        return self.probability < FLAT

    def not_proven(self) -> list[str]:
        """What nobody should read into it, and the owner's words."""
        said = self.statement
        lines = [
            "That this answer was ever served, or served by this model: whoever serves another one may prove this one "
            "afterwards. Ask with prompts that nobody could foresee (huref ask), keep the answers, and demand the "
            "proof of some that you pick later.",
        ]
        if self.unlikely:
            lines.insert(0, UNLIKELY)
        if self.largest > 0:
            lines.append(
                "That the claimed tokens are the model's own choice: within such a gap there may be several."
            )
        for name, text in (("prompt", said.prompt), ("answer", said.answer)):
            if text is not None:
                lines.append(
                    f"That the {name}'s token ids are those of the text {quoted(escape(text), 400)}."
                )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        said = self.statement
        return {
            "prompt_ids": said.ids[: said.first],
            "answer_ids": said.ids[said.first :],
            "claimed": said.claimed,
            "argmaxes": self.argmaxes,
            "largest_gap": self.largest,
            "median_gap": self.median,
            "probability": self.probability,
            "bits": round(self.security.bits, 2),
            "proof_bytes": self.size,
            "said_by_owner": {"prompt": said.prompt, "answer": said.answer},
            "measured": measured().to_dict(),
        }


def verify_inference(
    files: Mapping[str, bytes], commitment: CommitmentFile, min_security: int
) -> InferenceVerdict | None:
    """Check the proof of inference among a bundle's files; None if there is none.

    Raises:
        Rejected: it does not hold. Malformed, Unsupported: it has the wrong form.
    """
    if form.INFERENCE not in files:
        return None
    statement = InferenceStatement.decode(files[form.INFERENCE], form.INFERENCE)
    setup = prepare_inference(statement, commitment)
    proof = files[form.INFERENCE_PROOF]
    try:
        report = verify_relations(
            setup, statement.encode(), bytes.fromhex(commitment.root), proof, min_security
        )
    except Rejected as error:
        raise Rejected(
            f"inference.{error.path}", error.reason, expected=error.expected, got=error.got
        ) from None
    unit = inference_program(commitment)[1].logits
    gaps = statement.claims().gaps
    return InferenceVerdict(statement, report, tuple(gap * 2.0**-unit for gap in gaps), len(proof))


def require_answer(
    found: InferenceVerdict | None,
    max_gap: float | None,
    min_argmax: float | None,
    min_probability: float | None = None,
) -> None:
    """Hold a proof of inference against what the caller asks for: the largest gap, the least share of argmaxes, and the
    least mean probability.

    Raises:
        Rejected: there is none, or it shows less.
    """
    if max_gap is None and min_argmax is None and min_probability is None:
        return
    if found is None:
        raise Rejected("expect.inference", "the bundle holds no proof of inference")
    if max_gap is not None and not found.largest <= max_gap:  # also where it is no number
        raise Rejected(
            "expect.max_gap",
            "a claimed token may be further below the best",
            expected=max_gap,
            got=found.largest,
        )
    if min_probability is not None and not found.probability >= min_probability:
        raise Rejected(
            "expect.min_probability",
            "the claimed tokens may be less likely",
            expected=min_probability,
            got=found.probability,
        )
    share = found.argmaxes / found.statement.claimed
    if min_argmax is not None and not share >= min_argmax:
        raise Rejected(
            "expect.min_argmax", "fewer tokens are proven argmaxes", expected=min_argmax, got=share
        )
