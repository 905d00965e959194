"""The typed result of a successful verification, and the plain words for what it does and does not mean.

Three headings, the same wherever a verdict is shown: what the proof establishes, whose signatures were checked, and
what only the owner says. Family, layers, vocabulary, names and sources are the owner's words: no proof reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from huref.circuits.argument.security import SecurityReport
from huref.circuits.statement import Statement, fingerprint_name, needs_range
from huref.common.files.commitment_file import CommitmentFile, Directory
from huref.common.text import quoted
from huref.common.words import word_fingerprint
from huref.verifier.image import ImageVerdict
from huref.verifier.inference import ANSWERS, InferenceVerdict
from huref.verifier.measured import measured
from huref.verifier.notebook import verdict_html
from huref.verifier.terms import RARE, layers_said, terms_read

SCHEMA = "huref-verdict/1"
PROVEN = "Proven"
SIGNED = "Signed by"
SAID = "Said by the owner, not proven"

_SAID_OF_SHAPE = {"family": "family", "layers": "layers", "vocab": "vocabulary"}
"""Fields of the shape that no proof reads, with the names that people read. The other fields cut the weights."""
_MAX_SOURCES = 8

NO_MODEL = (
    "That there is a model behind the vector. Anybody can write down, in seconds and without a model, integers that "
    "reach any vector, another model's too. Only a challenge drawn after the commitment shows a model; this bundle "
    "answers none."
)
CHALLENGED = (
    "That the challenge was drawn after the commitment, unless you drew it (--challenge) or it is the joint one of two "
    "models (huref compare): whoever knew it before could write down integers that reach any vector under it."
)
EXPECT_ALONE = (
    "you named a fingerprint, but no model id (--root) and no signer (--signer): that the vector is the one you "
    "expect shows nothing about who made this bundle, since anybody can reach a vector that is published"
)

CLOSED = (
    "a prompt is hidden, and you did not open it (--open): an answer shows nothing of the model where the prompt could "
    "be any text"
)


@dataclass(frozen=True)
class Verdict:
    """A bundle that verified; a bundle that does not raises instead.

    `digest` is the bundle's own name (`Bundle.digest`, hex). `fingerprint` is the vector's public name, `model_id`
    what it is proven about (hex). `signer` is the owner's key, `cosigners` the auditors whom the caller named; others
    who signed as auditors are `unknown_cosigners`: anybody can make such keys, so no sentence counts them. `fidelity`
    is the owner's unproven note, `png` the picture if it matches. `expected` says what the caller named ("model_id",
    "fingerprint", "challenge", "signer"), `ignored` which files lay beside.
    """

    digest: str
    statement: Statement
    commitment: CommitmentFile
    security: SecurityReport
    picture: ImageVerdict
    signer: str | None
    cosigners: tuple[str, ...]
    unknown_cosigners: tuple[str, ...]
    fidelity: float | None
    size: int
    proof_size: int
    seconds: Mapping[str, float]
    png: bytes | None = None
    inference: InferenceVerdict | None = None
    ignored: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()

    @property
    def model_id(self) -> str:
        """Name of the committed weights and of all that gives them a meaning, hex (protocol §2.1)."""
        return self.statement.model_id

    @property
    def directory(self) -> Directory:
        """What the model id stands for, but for the weights' root."""
        return self.commitment.directory

    @property
    def fingerprint(self) -> str:
        """Public name of the vector, hex."""
        return fingerprint_name(self.statement, self.directory)

    @property
    def words(self) -> str:
        """Six words for exactly this vector under this model id."""
        return word_fingerprint(self.fingerprint, self.model_id)

    @property
    def v(self) -> list[int]:
        """The fingerprint vector."""
        return self.statement.v

    @property
    def challenge(self) -> str | None:
        """What the tables were drawn from, hex; None for the public fingerprint."""
        return self.statement.challenge

    def _repr_html_(self) -> str:
        """What notebooks show."""
        title = f"{self.words}: fingerprint of the model id {self.model_id}"
        return verdict_html(title, self.png, self.sections())

    def _repr_png_(self) -> bytes | None:
        """The picture, if it was checked."""
        return self.png

    def sections(self) -> list[tuple[str, list[str]]]:
        """The three headings in order, each with its lines; of several answers each one, and what others scored on such
        tokens. The same in every view.
        """
        found = [(PROVEN, self.proven()), (SIGNED, self.signed_by()), (SAID, self.not_proven())]
        if self.inference is None:
            return found
        one_by_one = [(ANSWERS, lines)] if (lines := self.inference.one_by_one()) else []
        return [*found, *one_by_one, (measured().heading, measured().lines())]

    def proven(self) -> list[str]:
        """What the proof and the checks establish, in sentences."""
        said = self.directory
        shape = said.shape
        lines = [
            f"Whoever made the proof knew integers under the model id {self.model_id}, each in its declared range, for "
            f"which the fingerprint program of profile {said.profile} under {self._tables} gives exactly "
            f"{self._integers}; every rounding step is the one the rule prescribes.",
            f"The program read them as {said.k} embedding rows and the tensors of {self._blocks}: width "
            f"{shape['hidden']}, {shape['heads']} heads ({shape['kv_heads']} for keys and values) of "
            f"{shape['head_dim']}, feed-forward width {shape['ffn']}.",
            *terms_read(shape),
            f"A false claim would be accepted with probability below 2^-{int(self.security.bits)} per hash "
            "evaluation of the cheater (provable in the random-oracle model).",
        ]
        if needs_range(self.commitment):
            lines.append(
                "Every entry committed under the model id is a signed byte (a range proof of its own)."
            )
        if self.inference is not None:
            lines += self.inference.proven()
        if self.picture.status == "matches":
            lines.append(self.picture.message[0].upper() + self.picture.message[1:] + ".")
        return lines

    @property
    def _integers(self) -> str:
        count, length = len(self.statement.outputs), len(self.v)
        if count == length:
            return f"this vector of {count} integers"
        return f"these {count} integers, whose sums are the vector's {length}"

    @property
    def _tables(self) -> str:
        return (
            "public tables" if self.challenge is None else f"tables drawn from the challenge {self.challenge}"
        )

    @property
    def _blocks(self) -> str:
        return "every block that is committed" if needs_range(self.commitment) else "two blocks"

    @property
    def _those(self) -> str:
        return "the width of those blocks" if needs_range(self.commitment) else "those two blocks"

    def signed_by(self) -> list[str]:
        """Whose signatures of this bundle hold. Who holds a key, the reader must know from elsewhere."""
        lines = []
        if self.signer:
            named = "the key you named" if "signer" in self.expected else "a key that you did not name"
            lines.append(f"{self.signer} as the owner ({named}).")
        lines += [
            f"{key} as an auditor, who says that the commitment and the vector were recomputed from a checkpoint."
            for key in self.cosigners
        ]
        lines += [
            f"{key}, a key that you did not name: it counts for nothing." for key in self.unknown_cosigners
        ]
        return lines or ["Nobody."]

    def not_proven(self) -> list[str]:
        """What nobody should read into the verdict, and the owner's own notes."""
        said = self.directory
        lines = [
            *self._no_model(),
            "That the committed integers are the weights of any deployed or downloadable model, quantized by the "
            "pinned rule: an auditor who was shown a checkpoint can recompute them.",
            self._tokens(),
        ]
        if not {"model_id", "signer"} & set(self.expected):
            lines.append("Whose model it is: you named no model id (--root) and no signer (--signer).")
        if self.picture.status != "matches":
            lines.append(f"The picture: {self.picture.message}.")
        names = ", ".join(f"{name} {said.shape[field]}" for field, name in _SAID_OF_SHAPE.items())
        lines.append(f"What the model is called and how large it is beyond {self._those}: {names}.")
        lines += layers_said(said.shape)
        lines += [
            f"Source file {quoted(file.name)}, {file.size} bytes, SHA-256 {file.sha256}."
            for file in self.commitment.sources[:_MAX_SOURCES]
        ]
        if len(self.commitment.sources) > _MAX_SOURCES:
            lines.append(f"{len(self.commitment.sources) - _MAX_SOURCES} more source files.")
        closeness = "not given" if self.fidelity is None else f"cosine {self.fidelity} with floating point"
        lines.append(f"Fidelity ({closeness}) and timings.")
        return lines

    def _no_model(self) -> list[str]:
        answer = [] if self.inference is None else self.inference.not_proven()
        if self.challenge is None:
            return [NO_MODEL, *answer]
        return answer if "challenge" in self.expected else [CHALLENGED, *answer]

    def _tokens(self) -> str:
        source = self.directory.tokens.source
        if source == "word-list":
            return (
                "That the tokens follow the pinned rule for this model's tokenizer: an auditor can replay it."
            )
        return f"The choice of tokens: it comes from a {source}, not from the pinned rule."

    def warnings(self) -> list[str]:
        """Where the caller's expectations show less than they may seem to."""
        found = [EXPECT_ALONE] if self.expected == ("fingerprint",) else []
        return found + ([CLOSED] if self.inference is not None and self.inference.closed else [])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for --json (docs/schemas/verdict.json)."""
        said = self.directory
        return {
            "schema": SCHEMA,
            "verified": True,
            "digest": self.digest,
            "fingerprint": self.fingerprint,
            "words": self.words,
            "model_id": self.model_id,
            "profile": said.profile,
            "challenge": self.challenge,
            "dimensions": {name: x for name, x in said.shape.items() if name not in {*_SAID_OF_SHAPE, *RARE}},
            "security": {
                "bits": round(self.security.bits, 2),
                "binding": self.security.binding.label,
                "level": said.security,
            },
            "picture": self.picture.to_dict(),
            "signer": self.signer,
            "cosigners": list(self.cosigners),
            "unknown_cosigners": list(self.unknown_cosigners),
            "said_by_owner": {
                **{name: said.shape[field] for field, name in _SAID_OF_SHAPE.items()},
                **{name: said.shape[name] for name in RARE if name in said.shape},
                "token_source": said.tokens.source,
                "sources": [file.model_dump(mode="json") for file in self.commitment.sources],
                "fidelity": self.fidelity,
            },
            "bytes": {"bundle": self.size, "proof": self.proof_size},
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
            "expected": list(self.expected),
            "ignored": list(self.ignored),
            "inference": None if self.inference is None else self.inference.to_dict(),
            "warnings": self.warnings(),
            "proven": self.proven(),
            "signed_by": self.signed_by(),
            "not_proven": self.not_proven(),
        }
