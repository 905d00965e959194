"""The typed result of a successful verification, and the plain words for what it does and does not mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from huref.circuits.argument.security import SecurityReport
from huref.circuits.statement import Statement
from huref.common.words import word_fingerprint
from huref.verifier.image import ImageVerdict


@dataclass(frozen=True)
class Verdict:
    """A bundle that verified; a bundle that does not raises instead.

    `fingerprint` is the vector's public name, `root` the weights' commitment (hex). `signer` and `cosigners`
    are public keys whose signatures were checked. `fidelity` and `sources` are the owner's unproven notes.
    """

    statement: Statement
    security: SecurityReport
    picture: ImageVerdict
    signer: str | None
    cosigners: tuple[str, ...]
    fidelity: float | None
    sources: tuple[str, ...]
    size: int
    proof_size: int
    seconds: Mapping[str, float]

    @property
    def root(self) -> str:
        """Commitment to the weights, hex."""
        return self.statement.root

    @property
    def fingerprint(self) -> str:
        """Public name of the vector, hex."""
        return self.statement.fingerprint_id()

    @property
    def words(self) -> str:
        """The public name as six words."""
        return word_fingerprint(self.fingerprint)

    @property
    def v(self) -> list[int]:
        """The fingerprint vector."""
        return self.statement.v

    def proven(self) -> list[str]:
        """What the proof and the checks establish, in sentences."""
        said = self.statement
        shape = said.shape
        lines = [
            f"The owner knows integer weights under the commitment {said.root} for which the fingerprint "
            f"program of profile {said.profile} with encoder {said.encoder} gives exactly this vector of "
            f"{len(said.v)} integers.",
            f"The program read {said.k} token embeddings and the last two of {shape['layers']} layers of a "
            f"{shape['family']} model with hidden size {shape['hidden']}; every weight is a small integer in "
            "its declared range, and every rounding step is the one the rule prescribes.",
            f"A false claim would be accepted with probability below 2^-{int(self.security.bits)} per hash "
            "evaluation of the cheater (provable in the random-oracle model).",
        ]
        if self.picture.status == "matches":
            lines.append(self.picture.message[0].upper() + self.picture.message[1:] + ".")
        if self.signer:
            lines.append(f"The bundle is signed by {self.signer}.")
        if self.cosigners:
            lines.append(f"{len(self.cosigners)} auditor(s) signed that they recomputed the commitment.")
        return lines

    def not_proven(self) -> list[str]:
        """What nobody should read into the verdict."""
        lines = [
            "That the committed weights are those of any deployed or downloadable model: only an auditor "
            "who recomputes the commitment, or a proof of inference under the same root, links the two.",
            "Who the owner is"
            + (", beyond the key above." if self.signer else ": the bundle is not signed."),
        ]
        if self.cosigners:
            lines[0] = (
                "That a deployed service uses the committed weights. The auditors vouch only for the "
                "checkpoint they were shown."
            )
        source = self.statement.tokens.source
        if source not in ("word-list", "id-order"):
            lines.append(f"The choice of tokens: it comes from a {source}, not from the pinned rule.")
        elif not self.cosigners:
            lines.append(
                "That the tokens follow the pinned rule for this tokenizer: an auditor can replay it."
            )
        if not self.cosigners:
            lines.append(
                "That the integers are the pinned quantization of real-valued weights: the proof says only that "
                "they are in range. An auditor can recompute them."
            )
        if self.picture.status != "matches":
            lines.append(f"The picture: {self.picture.message}.")
        lines.append("The owner's notes: fidelity, timings and hashes of the source files.")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for --json."""
        return {
            "verified": True,
            "fingerprint": self.fingerprint,
            "words": self.words,
            "root": self.root,
            "profile": self.statement.profile,
            "encoder": self.statement.encoder,
            "shape": self.statement.shape,
            "security": {
                "bits": round(self.security.bits, 2),
                "binding": self.security.binding.label,
                "level": self.statement.security,
            },
            "picture": self.picture.to_dict(),
            "signer": self.signer,
            "cosigners": list(self.cosigners),
            "bytes": {"bundle": self.size, "proof": self.proof_size},
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
            "proven": self.proven(),
            "not_proven": self.not_proven(),
        }
