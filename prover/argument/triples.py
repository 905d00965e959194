"""The prover of the triple check; twin of `huref.verifier.argument.triples` (protocol §5)."""

from __future__ import annotations

from huref.common.algebra.field import KArray
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table
from huref.common.argument.hidden import PadSpace
from huref.prover.argument.channel import ProverChannel
from huref.prover.argument.lookup_tree import mont, scalar
from huref.prover.argument.sumcheck import prove_rounds
from huref.prover.kernels.field import vectors
from huref.prover.kernels.field.field import U32, k_to_mont


class TripleOracle:
    """Σ_i eq(ζ, i)·(A_i·B_i − T_i), bound from the top variable."""

    def __init__(self, lists: list[U32], zeta: list[KS]) -> None:
        self.tables = lists
        self.left = list(zeta)

    def message(self) -> tuple[KS, KS]:
        half = self.tables[0].shape[1] // 2
        eq = k_to_mont(eq_table(self.left[1:]))
        a, b, t = (x[:, :half] for x in self.tables)
        rise = [vectors.sub(x[:, half:], x[:, :half]) for x in self.tables[:2]]
        zero = vectors.dot(eq, vectors.sub(vectors.mul(a, b), t))
        return scalar(zero), scalar(vectors.dot(eq, vectors.mul(*rise)))

    def bind(self, value: KS) -> None:
        self.tables = [vectors.fold(x, mont(value)) for x in self.tables]
        self.left = self.left[1:]


def prove_triples(channel: ProverChannel, space: PadSpace, pads: KArray) -> None:
    """Prove T = A∘B for the triples in `pads` (space.total, 5)."""
    zeta = channel.point("triples.zeta", space.log_triples)
    lists = [pads[space.singles + part * space.triples :][: space.triples] for part in range(3)]
    oracle = TripleOracle([k_to_mont(x) for x in lists], zeta)
    prove_rounds(channel, "triples", oracle, space.log_triples)
    channel.public("triples.final", [scalar(x[:, 0]) for x in oracle.tables])
    channel.challenge("pads.merge")
