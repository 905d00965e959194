"""Assemble a bundle: statement and descriptive files before the proof, the folder after it (docs/bundle.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huref.circuits.argument.security import SecurityReport
from huref.circuits.program.evaluate import Trace
from huref.circuits.statement import FORMAT, PROTOCOL, Statement
from huref.common.files import bundle as form
from huref.common.files.atomic import write_file
from huref.common.files.bundle import Bundle, FileEntry, Manifest
from huref.common.files.commitment_file import CommitmentFile
from huref.common.files.fingerprint_file import SCHEMA, FidelityReport, FingerprintFile
from huref.common.files.identity import sign_manifest
from huref.common.files.keys import SecretKey
from huref.common.image.generator import render
from huref.common.image.png import png_bytes
from huref.common.image.registry import Installed
from huref.prover.commitment.folder import OpenedCommitment
from huref.prover.run.fidelity import Fidelity
from huref.prover.run.fingerprint import published_trace
from huref.verifier.verification import summarize


@dataclass(frozen=True)
class Draft:
    """A bundle without its proof."""

    statement: Statement
    commitment: CommitmentFile
    files: Mapping[str, bytes]


def draft(
    commitment: OpenedCommitment,
    challenge: str | None,
    trace: Trace,
    fidelity: Fidelity | None,
    generator: Installed,
    seconds: Mapping[str, float],
) -> Draft:
    """The statement of a run, and the files that do not depend on the proof; `challenge` in hex, or None."""
    public, directory = commitment.public, commitment.public.directory
    said = published_trace(trace)
    v = said["v"]
    fingerprint = FingerprintFile(
        schema_version=SCHEMA,
        profile=directory.profile,
        k=directory.k,
        p=directory.p,
        shape=directory.shape,
        token_source=directory.tokens.source,
        tokenizer_digest=directory.tokens.tokenizer_digest,
        frequency_digest=directory.tokens.frequency_digest,
        token_ids=directory.tokens.ids,
        token_pieces=directory.tokens.pieces,
        term_weights=directory.term_weights,
        challenge=challenge,
        **said,
        fidelity=_published(fidelity),
        timings={name: round(value, 3) for name, value in seconds.items()},
    )
    files = {
        form.COMMITMENT: public.encode(),
        form.FINGERPRINT: fingerprint.encode(),
        form.PICTURE: png_bytes(render(v, generator)),
    }
    statement = Statement.read(
        {
            "format": FORMAT,
            "protocol": PROTOCOL,
            "kind": "fingerprint",
            "model_id": public.model_id,
            "challenge": challenge,
            **said,
            "generator": generator.digest,
            "notes": {
                "commitment": public.digest(),
                "fingerprint": FileEntry.of(files[form.FINGERPRINT]).sha256,
            },
        },
        "statement",
    )
    return Draft(statement, public, files)


def write(
    folder: Path,
    draft: Draft,
    proof: bytes,
    report: SecurityReport,
    key: SecretKey | None,
    range_proof: bytes | None,
) -> None:
    """Write all files of a bundle into an existing folder, signed if there is a key."""
    files = {**draft.files, form.PROOF: proof}
    if range_proof is not None:
        files[form.RANGE] = range_proof
    manifest = Manifest(
        statement=draft.statement.model_dump(mode="json"),
        security=summarize(draft.commitment, report),
        files={name: FileEntry.of(data) for name, data in files.items()},
    ).encode()
    for name, data in {**files, form.MANIFEST: manifest}.items():
        write_file(folder / name, data)
    if key is not None:
        digest = bytes.fromhex(FileEntry.of(manifest).sha256)
        write_file(folder / form.SIGNATURE, sign_manifest(key, digest).encode())


def extend(folder: Path, base: Bundle, added: Mapping[str, bytes], key: SecretKey | None) -> None:
    """Write a bundle's files into a folder with more of them, signed anew if there is a key; auditors sign anew."""
    kept = {name: data for name, data in base.files.items() if name in base.manifest.files}
    files = {**kept, **added}
    entries = {name: FileEntry.of(data) for name, data in files.items()}
    manifest = base.manifest.model_copy(update={"files": entries}).encode()
    for name, data in {**files, form.MANIFEST: manifest}.items():
        write_file(folder / name, data)
    if key is not None:
        digest = bytes.fromhex(FileEntry.of(manifest).sha256)
        write_file(folder / form.SIGNATURE, sign_manifest(key, digest).encode())


def _published(fidelity: Fidelity | None) -> FidelityReport:
    """Cosines to four digits: they come from the private float weights, outside the zero-knowledge argument."""
    if fidelity is None:
        return FidelityReport(v=None, terms={})
    v = None if fidelity.v is None else round(fidelity.v, 4)
    return FidelityReport(v=v, terms={name: round(cosine, 4) for name, cosine in fidelity.terms.items()})
