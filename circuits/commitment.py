"""What commitment.json must say about given public facts; prover and verifier write it with this function."""

from __future__ import annotations

from collections.abc import Sequence

from huref.circuits.argument.layout import place_weights
from huref.circuits.argument.proof import weights_geometry
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.program.program import Program
from huref.circuits.statement import TokenChoice, knobs_for
from huref.common.files.commitment_file import CommitmentFile, SourceFile, TensorEntry


def describe_commitment(
    program: Program,
    *,
    profile: str,
    shape: ModelShape,
    k: int,
    p: int,
    tokens: TokenChoice,
    security: int,
    proofs: int,
    root: str,
    sources: Sequence[SourceFile],
) -> CommitmentFile:
    """The public file of a commitment with hex `root`; everything but the arguments is derived."""
    geometry = weights_geometry(program, knobs_for(security, proofs))
    placed, _ = place_weights(program, geometry.w)
    tensors = [
        TensorEntry(name=w.name, rows=w.rows, cols=w.cols, bits=w.bits, start=placed[w.name].start)
        for w in program.weights
    ]
    return CommitmentFile(
        profile=profile,
        shape=shape.to_dict(),
        k=k,
        p=p,
        tokens=tokens.model_dump(mode="json"),
        security=security,
        proofs=proofs,
        random_rows=geometry.code.random,
        width=geometry.w,
        tensors=tensors,
        root=root,
        sources=list(sources),
    )
