"""Replay of a verification with everything on record: what `huref inspect` shows (docs/bundle.md).

The replay is the verifier itself; a recorder listens to its transcript. On a bad bundle the record ends at the
first check that failed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from huref.circuits.argument.layout import SiteColumns
from huref.circuits.argument.proof import Setup
from huref.circuits.argument.security import security_report
from huref.circuits.inference_statement import InferenceStatement, prepare_inference
from huref.circuits.program.program import (
    Accumulator,
    GatedMatMul,
    HeadProducts,
    Likeness,
    MatMul,
    SketchSum,
)
from huref.circuits.relations.security import relation_security
from huref.circuits.statement import Statement, fingerprint_name, prepare_range, prepare_statement
from huref.common.errors import HurefError, InputOutputError, Rejected, UsageError
from huref.common.files import bundle as form
from huref.common.files.bundle import Bundle, read_bundle
from huref.common.files.commitment_file import CommitmentFile, Directory
from huref.common.rejection import WORD, meaning
from huref.common.text import shorten
from huref.verifier.report.transcripts import ProofView, sizes
from huref.verifier.terms import layers_said, terms_read
from huref.verifier.verdict import Verdict
from huref.verifier.verification import read_claim, verify

SCHEMA = "huref-inspection/1"


@dataclass(frozen=True)
class LayerView:
    """One re-quantized step of the program: what it computes and the public facts about it."""

    name: str
    formula: str
    rows: int
    cols: int
    shift: int
    clamp: tuple[int, int]
    table_height: int
    static_bound: int
    calibration: tuple[int, int | None]
    claims: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """The first check that failed; `path` and `meaning` are empty for a file that cannot be read as a bundle."""

    kind: str
    path: str
    message: str
    meaning: str = ""
    expected: str | None = None
    got: str | None = None
    hint: str | None = None

    @property
    def word(self) -> str:
        """REJECTED, or what else is wrong: MALFORMED, DAMAGED, UNSUPPORTED."""
        return WORD if self.kind == "Rejected" else self.kind.upper()


@dataclass
class Inspection:
    """Everything about a bundle; fields stay empty from the point where the check failed.

    `picture` is there only when it was checked: drawn again from the vector, and equal. `root` is that of the
    committed weights, hex; `checked` the time of this replay by the clock here. `proof` is that of the fingerprint,
    `others` are those of range and inference that were reached.
    """

    bundle: str
    verdict: Verdict | None = None
    failure: Failure | None = None
    files: dict[str, int] = field(default_factory=dict)
    statement: Statement | None = None
    directory: Directory | None = None
    fingerprint: str | None = None
    root: str | None = None
    words: list[str] = field(default_factory=list)
    layers: list[LayerView] = field(default_factory=list)
    proof: ProofView = field(default_factory=lambda: ProofView(form.PROOF))
    others: list[ProofView] = field(default_factory=list)
    picture: bytes | None = None
    ignored: tuple[str, ...] = ()
    checked: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def word(self) -> str:
        """VERIFIED, or what is wrong; what was never verified is not."""
        if self.failure is not None:
            return self.failure.word
        return WORD if self.verdict is None else "VERIFIED"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for --json."""
        proof = self.proof.to_dict()
        return {
            "schema": SCHEMA,
            "bundle": self.bundle,
            "verified": self.verdict is not None,
            "failure": None if self.failure is None else asdict(self.failure),
            "verdict": None if self.verdict is None else self.verdict.to_dict(),
            "files": self.files,
            "ignored": list(self.ignored),
            "statement": None if self.statement is None else self.statement.model_dump(mode="json"),
            "words": self.words,
            "geometry": proof["geometry"],
            "layers": [asdict(layer) for layer in self.layers],
            "security": proof["security"],
            "messages": proof["messages"],
            "positions": proof["positions"],
            "others": [other.to_dict() for other in self.others],
        }


def inspect(path: str | Path | Bundle, min_security: int = 0) -> Inspection:
    """Replay the verification of a bundle; a bundle that fails is described, not raised.

    Raises:
        InputOutputError: the bundle cannot be read at all. UsageError: an address of another kind than https.
    """
    found = Inspection(str(path.path if isinstance(path, Bundle) else path))
    try:
        bundle = path if isinstance(path, Bundle) else read_bundle(path)
        _describe(found, bundle)
        found.others = [ProofView(form.RANGE), ProofView(form.INFERENCE_PROOF)]
        found.proof.start = time.perf_counter()
        listening = {view.file: view.record for view in (found.proof, *found.others)}
        found.verdict = verify(bundle, min_security=min_security, recorders=listening)
        if found.verdict.picture.status == "matches":
            found.picture = bundle.files[form.PICTURE]
    except Rejected as error:
        found.failure = Failure(
            "Rejected", error.path, error.reason, meaning(error.path), _text(error.expected), _text(error.got)
        )
    except HurefError as error:
        if isinstance(error, (InputOutputError, UsageError)):
            raise
        found.failure = Failure(type(error).__name__, "", error.message, hint=error.hint)
    found.others = [_sized(view, bundle) for view in found.others if view.messages]
    return found


def _sized(view: ProofView, bundle: Bundle) -> ProofView:
    """A proof that was reached, so that its statement compiles, with its sizes and its ledger."""
    _, commitment = read_claim(bundle)
    if view.file == form.RANGE:
        _, setup = prepare_range(commitment)
        view.geometry = sizes(setup)
        view.security = security_report(setup.layout, setup.geometry, setup.knobs)
        return view
    relations = prepare_inference(
        InferenceStatement.decode(bundle.files[form.INFERENCE], form.INFERENCE), commitment
    )
    view.geometry, view.security = sizes(relations), relation_security(relations)
    return view


def _describe(found: Inspection, bundle: Bundle) -> None:
    """Fill in what follows from the statement alone; nothing of it is read before the statement compiles."""
    found.files = {name: len(data) for name, data in bundle.files.items()}
    found.ignored = bundle.ignored
    statement, commitment = read_claim(bundle)
    setup = prepare_statement(statement, commitment)
    found.statement, found.directory = statement, commitment.directory
    found.fingerprint = fingerprint_name(statement, commitment.directory)
    found.root = commitment.root
    found.words = _words(statement, commitment)
    found.proof.geometry = sizes(setup)
    found.layers = [_layer(setup, columns) for columns in setup.layout.sites.values()]
    found.proof.security = security_report(setup.layout, setup.geometry, setup.knobs)


def _words(statement: Statement, commitment: CommitmentFile) -> list[str]:
    said = commitment.directory
    shape: Mapping[str, Any] = said.shape
    ffn = f"{'gated ' if shape['gated'] else ''}feed-forward width {shape['ffn']}"
    return [
        f"Profile {said.profile}, protocol {statement.protocol}, {_tables(statement)}.",
        f"Weights cut as hidden size {shape['hidden']}, {shape['heads']} heads ({shape['kv_heads']} for keys and "
        f"values) of {shape['head_dim']}, {ffn}.",
        *terms_read(shape),
        *layers_said(shape),
        f"{said.k} tokens pooled into {said.p} blocks.",
        f"Model id {statement.model_id}: this directory, and the weights committed under {commitment.root} with "
        f"{said.random_rows} random rows, enough for {said.proofs} proofs.",
        f"Claim: the program on these weights gives ({', '.join(map(str, statement.outputs[:6]))}, …), "
        f"{len(statement.outputs)} integers.",
        f"Fingerprint {fingerprint_name(statement, said)}.",
    ]


def _tables(statement: Statement) -> str:
    return (
        "public tables"
        if statement.challenge is None
        else f"tables drawn from the challenge {statement.challenge}"
    )


def _layer(setup: Setup, columns: SiteColumns) -> LayerView:
    site = columns.site
    coarse, fine = setup.public.sums[site.name]
    claims = [
        block.label
        for space in setup.layout.spaces
        for block in space.blocks
        if block.label.startswith(site.name + ".")
    ]
    return LayerView(
        name=site.name,
        formula=_formula(site.acc),
        rows=site.rows,
        cols=site.cols,
        shift=columns.shift,
        clamp=(site.low, site.clamp),
        table_height=columns.height,
        static_bound=site.bound,
        calibration=(coarse, fine),
        claims=tuple(claims),
    )


def _formula(acc: Accumulator) -> str:
    if isinstance(acc, SketchSum):
        return f"S · diag(μ) · {acc.source}" if acc.multipliers else f"S · {acc.source}"
    if isinstance(acc, MatMul):
        kinds = [
            view.source if view.kind == "plain" else f"{view.kind}({view.source})"
            for view in (acc.left, acc.right)
        ]
        runs = "" if len(acc.runs) == 1 else f", in {len(acc.runs)} sums"
        return f"{kinds[0]} · {kinds[1]}" + ("" if acc.right.transposed else "ᵀ") + runs
    if isinstance(acc, GatedMatMul):
        return f"{acc.left} · ({acc.gate} ∘ {acc.up})ᵀ"
    if isinstance(acc, HeadProducts):
        right = acc.right.source if acc.right.kind == "plain" else f"{acc.right.kind}({acc.right.source})"
        return f"Σ {acc.left} ∘ {right} by head"
    if isinstance(acc, Likeness):
        return f"{acc.source}ᵀ · {acc.source} by layer"
    return f"{1 << acc.bits} · {acc.source} − w · {acc.base}"


def _text(value: object) -> str | None:
    return None if value is None else shorten(value)
