"""Verification of a bundle: form, statement, proof, picture, signatures; the first failing check raises.

The bundle's own word is never the trust root: the caller says which root, fingerprint, level and signer to
expect (layout habit 16).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from huref.circuits.argument.security import SecurityReport
from huref.circuits.program.program import Weight
from huref.circuits.statement import Statement, fingerprint_name, needs_range, prepare_statement
from huref.common.argument.transcript import Recorder
from huref.common.errors import Malformed, Rejected, UsageError
from huref.common.files import bundle as form
from huref.common.files.bundle import Bundle, SecuritySummary, is_bundle, read_bundle
from huref.common.files.canonical import canonical_json
from huref.common.files.commitment_file import CommitmentFile
from huref.common.files.fingerprint_file import FingerprintFile, parse_fingerprint, read_fingerprint
from huref.common.files.identity import AuditSignatures, OwnerSignature, check_auditors, check_owner
from huref.common.files.keys import read_public_key
from huref.common.text import parse_hex, shorten
from huref.verifier.argument.verify import verify_program
from huref.verifier.asked import asked_passages, require_prompts
from huref.verifier.expectations import given, parse_digest, parse_root, refuse_own
from huref.verifier.hidden_prompts import open_prompts, opening_passages
from huref.verifier.image import ImageVerdict, check_image, require_generator
from huref.verifier.inference import require_answer, verify_inference
from huref.verifier.ranges import verify_range
from huref.verifier.verdict import Verdict

_OF_STATEMENT = ("challenge", "shifts", "e", "v")
_OF_DIRECTORY = ("profile", "shape", "k", "p", "term_weights")


def verify(
    bundle: str | Path | Bundle,
    root: str | None = None,
    expect: str | Path | None = None,
    min_security: int = 100,
    *,
    challenge: str | None = None,
    signer: str | Path | None = None,
    auditors: Sequence[str | Path] = (),
    require_image: bool = False,
    generator: str | None = None,
    max_gap: float | None = None,
    min_argmax: float | None = None,
    min_probability: float | None = None,
    prompts: str | Path | None = None,
    opening: str | Path | None = None,
    recorders: Mapping[str, Recorder] = MappingProxyType({}),
) -> Verdict:
    """Verify a bundle; returning at all means that it holds.

    Args:
        bundle: a folder, a zip of one, the https address of a zip, or one that was read before.
        root: the model id that it must be about: 64 hex digits or a commitment.json that is not the bundle's own.
        expect: the fingerprint that it must prove: its 64 hex digits, a fingerprint.json that is not the bundle's
            own, or another bundle, which is verified first.
        min_security: fewest provable bits.
        challenge: the challenge that its tables must be drawn from, in hex.
        signer: public key that must have signed it, in hex or as a file.
        auditors: public keys, in hex or as files, that must have signed as auditors. Only these count as such;
            the verdict lists all others as unknown.
        require_image: fail unless the picture is the one that the embedded generator, or `generator`, draws.
        generator: digest (64 hex digits) of the generator that must have drawn the picture; like `require_image`.
        max_gap: logits that a claimed token of its proof of inference may be below the best one at most.
        min_argmax: share of the claimed tokens that must be proven to be the best ones.
        min_probability: harmonic mean of the claimed tokens' probabilities that must be proven.
        prompts: file with the prompts that its proof of inference must answer, these alone and in this order, as token
            ids, and perhaps with the answers (`huref.common.files.passages`).
        opening: file of the owner's that opens the hidden prompts of its proof of inference.
        recorders: by the name of a proof's file, what sees every message of its transcript, for `huref inspect`; a
            range proof that is listened to is verified whether it was before or not.

    Raises:
        Rejected: a check failed; `path`, `expected` and `got` say which.
        Malformed, Unsupported: it is not a bundle that this version can read.
        InputOutputError: it cannot be read. UsageError: an expectation is not well-formed.
    """
    place = bundle.path if isinstance(bundle, Bundle) else Path(bundle)
    wanted_root = None if root is None else parse_root(root, place)
    wanted_signer = None if signer is None else read_public_key(signer)
    named = list(dict.fromkeys(read_public_key(key) for key in auditors))
    wanted_challenge = None if challenge is None else parse_digest(challenge, "challenge")
    wanted_generator = None if generator is None else parse_digest(generator, "generator")
    wanted = None if expect is None else expected_fingerprint(expect, place)
    asked = None if prompts is None else asked_passages(Path(prompts))
    opened = None if opening is None else opening_passages(Path(opening))
    watch = _Watch()
    with watch("read"):
        read = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
        statement, commitment = read_claim(read)
        signed, audit = _read_signatures(read)
    _require("expect.model_id", "the proof is about another model", wanted_root, statement.model_id)
    _require(
        "expect.challenge", "another challenge was answered, or none", wanted_challenge, statement.challenge
    )
    name = fingerprint_name(statement, commitment.directory)
    _require("expect.fingerprint", "another fingerprint", wanted, name)
    with watch("compile"):
        setup = prepare_statement(statement, commitment)
        fingerprint = check_fingerprint(read, statement, commitment)
    with watch("proof"):
        report = verify_program(
            setup, statement.encode(), bytes.fromhex(commitment.root), read.files[form.PROOF],
            min_security, recorders.get(form.PROOF),
        )  # fmt: skip
        _require("security", "the manifest claims another level", summarize(commitment, report),
                 read.manifest.security)  # fmt: skip
    with watch("range"):
        listener = recorders.get(form.RANGE)
        _check_range(read, commitment, setup.program.committed, min_security, listener)
    with watch("inference"):
        answer = verify_inference(read.files, commitment, min_security, recorders.get(form.INFERENCE_PROOF))
        require_answer(answer, max_gap, min_argmax, min_probability)
        answer = open_prompts(answer, opened, commitment.directory.shape["vocab"])
        require_prompts(answer, asked)
    with watch("picture"):
        required = require_image or wanted_generator is not None
        if required:
            require_generator(statement.generator, wanted_generator)
        picture = check_picture(read, statement, required)
    with watch("signatures"):
        owner = _check_owner(signed, read.digest, commitment.directory.owner)
        audited = () if audit is None else check_auditors(audit, read.digest)
        _require("expect.signer", "not signed by the expected key", wanted_signer, owner)
        for key in named:
            if key not in audited:
                raise Rejected("expect.auditor", "an auditor whom you named has not signed", expected=key,
                               got=f"{len(audited)} other keys")  # fmt: skip
    return Verdict(
        digest=read.digest.hex(),
        statement=statement,
        commitment=commitment,
        security=report,
        inference=answer,
        picture=picture,
        signer=owner,
        cosigners=tuple(named),
        unknown_cosigners=tuple(key for key in audited if key not in named),
        fidelity=fingerprint.fidelity.v,
        ignored=read.ignored,
        expected=tuple(
            name
            for name, asked in (
                ("model_id", root),
                ("fingerprint", expect),
                ("challenge", challenge),
                ("signer", signer),
            )
            if asked is not None
        ),
        size=read.size,
        proof_size=len(read.files[form.PROOF]),
        seconds=watch.seconds,
        png=read.files[form.PICTURE] if picture.status == "matches" else None,
    )


def expected_fingerprint(expect: str | Path, bundle: Path | None = None) -> str:
    """The fingerprint's hex name: given as such, or that of another bundle (verified here) or a fingerprint.json.

    UsageError if it is one of `bundle`, which agrees with itself.
    """
    name = parse_hex(given("expect", str(expect)), 64)
    if name is not None:
        return name
    if bundle is not None:
        refuse_own("expect", Path(expect), bundle)
    if is_bundle(expect):
        return verify(expect).fingerprint
    file = read_fingerprint(Path(expect))
    return fingerprint_name(file, file)


def summarize(commitment: CommitmentFile, report: SecurityReport) -> SecuritySummary:
    """What the manifest says about a report."""
    level = commitment.directory.security
    return SecuritySummary(level=level, bits=round(report.bits, 2), binding=report.binding.label)


def read_claim(bundle: Bundle) -> tuple[Statement, CommitmentFile]:
    """The statement and the commitment that it is about, well-formed. Raises `Malformed`, `Rejected`."""
    statement = Statement.decode(canonical_json(bundle.manifest.statement), "statement")
    commitment = CommitmentFile.decode(bundle.files[form.COMMITMENT], form.COMMITMENT)
    _require("statement.notes.commitment", "another commitment.json", statement.notes.commitment,
             commitment.digest())  # fmt: skip
    return statement, commitment


def _check_range(
    bundle: Bundle,
    commitment: CommitmentFile,
    committed: Sequence[Weight],
    min_security: int,
    recorder: Recorder | None,
) -> None:
    """The range proof must be there exactly where the statement relies on one, and hold."""
    proof = bundle.files.get(form.RANGE)
    if needs_range(commitment) != (proof is not None):
        message = (
            "the proof that all committed entries are bytes is missing" if proof is None else "not needed"
        )
        raise Rejected("files.range.proof", message)
    if proof is not None:
        verify_range(commitment, proof, min_security, committed, recorder)


def check_fingerprint(bundle: Bundle, statement: Statement, commitment: CommitmentFile) -> FingerprintFile:
    """fingerprint.json must repeat statement and directory. Raises `Rejected` with the field."""
    data = bundle.files[form.FINGERPRINT]
    found = parse_fingerprint(data, form.FINGERPRINT)
    for said, names in ((statement, _OF_STATEMENT), (commitment.directory, _OF_DIRECTORY)):
        for name in names:
            _same(
                f"fingerprint.{name}",
                "differs from what is proven",
                getattr(said, name),
                getattr(found, name),
            )
    sums = {name: tuple(pair) for name, pair in found.calibration_sums.items()}
    _same("fingerprint.calibration_sums", "differ from what is proven", statement.calibration_sums, sums)
    for name in ("caps", "ratios"):
        proven = {key: list(numbers) for key, numbers in getattr(statement, name).items()}
        _same(f"fingerprint.{name}", "differ from what is proven", proven, getattr(found, name))
    tokens = commitment.directory.tokens
    repeated = (
        found.token_source, found.tokenizer_digest, found.frequency_digest, found.token_ids, found.token_pieces
    )  # fmt: skip
    _same("fingerprint.tokens", "differ from what is proven",
          (tokens.source, tokens.tokenizer_digest, tokens.frequency_digest, tokens.ids, tokens.pieces),
          repeated)  # fmt: skip
    _require("statement.notes.fingerprint", "another fingerprint.json", statement.notes.fingerprint,
             form.FileEntry.of(data).sha256)  # fmt: skip
    return found


def check_picture(bundle: Bundle, statement: Statement, required: bool) -> ImageVerdict:
    """Draw the picture again and compare the files. Raises `Rejected`."""
    try:
        picture = check_image(statement.v, bundle.files[form.PICTURE], statement.generator)
    except UsageError as error:
        raise Malformed(f"statement.v: {error.message}") from None
    picture.reject_difference()
    if required:
        picture.require()
    return picture


def _read_signatures(bundle: Bundle) -> tuple[OwnerSignature | None, AuditSignatures | None]:
    """The two files of signatures that are there, well-formed. Raises `Malformed`."""
    owner, audit = (bundle.files.get(name) for name in (form.SIGNATURE, form.COSIGNATURES))
    return (
        None if owner is None else OwnerSignature.decode(owner, form.SIGNATURE),
        None if audit is None else AuditSignatures.decode(audit, form.COSIGNATURES),
    )


def _check_owner(signed: OwnerSignature | None, digest: bytes, owner: str | None) -> str | None:
    """The owner's signature must be there exactly where the model id names an owner, and be that owner's."""
    signer = None if signed is None else check_owner(signed, digest, owner)
    if signer != owner:
        message = "the bundle is not signed by the owner that the model id names"
        raise Rejected("signature.signer", message, expected=owner, got=signer)
    return signer


def _require(path: str, message: str, expected: object, got: object) -> None:
    """Reject unless equal; an expectation of None is none."""
    if expected is not None:
        _same(path, message, expected, got)


def _same(path: str, message: str, expected: object, got: object) -> None:
    """Reject unless equal."""
    if got != expected:
        raise Rejected(path, message, expected=shorten(expected), got=shorten(got))


class _Watch:
    """Wall time per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - start
