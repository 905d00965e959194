"""Relations of attention in all layers (docs/inference.md §4, protocol §13.7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from huref.circuits.inference.builder import Builder
from huref.circuits.inference.family import Family
from huref.circuits.inference.limits import OCTAVE_BITS, RAW_HIGH, SCORE_HEIGHT, SCORE_REACH
from huref.circuits.inference.relate_heads import relate_heads
from huref.circuits.inference.sites import Divide, InferenceProgram, Linear, Mix, Scores, Turn
from huref.circuits.inference.tables import block, block_signs, head_signs, turns
from huref.circuits.model.rotary import rotary_planes
from huref.circuits.program.functions import EXP_BITS, EXP_LOW, OCTAVE, reciprocal
from huref.circuits.program.tables import Table
from huref.circuits.relations.frame import Frame, Matrix
from huref.circuits.relations.products import CausalMix, CausalScores, Projection, RowScale
from huref.circuits.relations.program import Own
from huref.circuits.relations.terms import Beside, Cells, Mapped, Public, RowSum
from huref.common.errors import Unsupported


def relate_linear(builder: Builder, family: Family, name: str, normed: Matrix, half: int) -> Matrix:
    """round(W·n / 2^s), clipped; norms 2n + half are read."""
    sites = family.all(name, Linear)
    first, layers = sites[0], len(sites)
    reach = first.clamp + (3 << first.limb >> 1) if first.limb else 4 * (first.clamp + 1)
    tensors = family.tensors(name)
    steps = builder.steps(
        name,
        tensors,
        first.cols,
        [site.base for site in sites],
        [site.extra for site in sites],
        reach,
        first.bound,
    )
    frame = Frame(builder.tokens, layers, 1, first.cols)
    if first.limb:
        h = out = builder.matrix(name, frame, reach)
        high = builder.matrix(f"{name}.high", frame, RAW_HIGH)
        low = builder.matrix(f"{name}.low", frame, 1 << first.limb >> 1)
        table = Table("joined", (RAW_HIGH, first.limb))
        builder.look(f"{name}.limbs", table, Own(high), Own(low), Own(out))
        if steps.coarse is not None:
            builder.reached(name, steps, out, out, reach)
    else:
        h, out = builder.matrix(f"{name}.h", frame, reach), builder.matrix(name, frame, first.clamp)
        if steps.coarse is None:
            builder.look(
                f"{name}.clamp", Table("clamp", (reach, first.clamp, -first.clamp)), Own(h), Own(out)
            )
        else:
            builder.reached(name, steps, h, out, first.clamp)
    equation = builder.rounded(name, frame, steps, ((h, 1),), *builder.bias(tensors, first.bias))
    select = tuple(2 * n + half for n in range(layers))
    builder.product(Projection(equation, normed, tensors, 1, select))
    return out


def head_maps(program: InferenceProgram, site: Turn) -> NDArray[np.int64]:
    """H·D·R_t of every position of the longest sequence: (positions × size × size)."""
    size, n, longest = site.size, block(site.size), program.longest
    planes, rest = rotary_planes(program.shape)
    cosine, sine = turns(longest, len(planes), program.shape.rotary_dim, site.theta, site.scale, site.stretch)
    turned = np.zeros((longest, size, size), np.int64)
    a, b = planes[:, 0], planes[:, 1]
    turned[:, a, a], turned[:, a, b] = cosine, -sine
    turned[:, b, b], turned[:, b, a] = cosine, sine
    turned[:, rest, rest] = int(turns(1, 1, 2, 2, site.scale)[0][0, 0])
    hadamard = np.kron(np.eye(size // n, dtype=np.int64), block_signs(n))
    return (hadamard * head_signs(size)[None, :]) @ turned


def _turned(builder: Builder, family: Family, name: str, source: Matrix) -> Matrix:
    sites = family.all(f"{name}_turned", Turn)
    first, shifts = sites[0], tuple(site.shift for site in sites)
    frame = source.frame
    out, rest, half, h = builder.clamped(f"{name}_turned", frame, first.clamp, shifts)
    kinds = {(site.theta, site.stretch): site for site in sites}
    maps = [
        Mapped(
            source,
            head_maps(family.program, site),
            1 if len(kinds) == 1 else tuple(int((each.theta, each.stretch) == kind) for each in sites),
            builder.positions if len(builder.lengths) > 1 else None,
        )
        for kind, site in kinds.items()
    ]
    builder.equation(
        f"{name}_turned",
        frame,
        first.bound + (h.largest + 2 << max(shifts)),
        *maps,
        half,
        rest,
        Cells(h, tuple(-(1 << s) for s in shifts)),
    )
    return out


def relate_attention(builder: Builder, family: Family, normed: Matrix) -> tuple[Matrix, Matrix]:
    """Everything up to what o reads; returns its limbs, the high one first."""
    q, k, v = (relate_linear(builder, family, name, normed, 0) for name in ("q", "k", "v"))
    if family.program.shape.qk_norm:
        q, k = (relate_heads(builder, family, name, x) for name, x in (("q", q), ("k", k)))
    query, key = (_turned(builder, family, name, x) for name, x in (("q", q), ("k", k)))
    sites = family.all("scores", Scores)
    share, total = _softmax(builder, sites, query, key)
    return _gathered(builder, family, share, total, v)


def _softmax(builder: Builder, sites: Sequence[Scores], query: Matrix, key: Matrix) -> tuple[Matrix, Matrix]:
    """The powers e of all scores, and 2^31 over their sums."""
    first, longest, shifts = sites[0], builder.longest, tuple(site.shift for site in sites)
    frame = Frame(builder.tokens, len(sites), first.heads, longest, builder.lengths)
    rows = Frame(builder.tokens, len(sites), first.heads)
    z, e = builder.matrix("scores.z", frame, -EXP_LOW), builder.matrix("scores", frame, 2 << EXP_BITS)
    builder.look("scores.powers", Table("powers", ()), Own(z), Own(e))
    rest, half = builder.rest("scores.rest", frame, shifts)
    octave = builder.matrix("scores.octave", rows, 1 << (OCTAVE_BITS - 1), flat=True)
    builder.bits("scores.octave", octave, OCTAVE_BITS, 1 << (OCTAVE_BITS - 1))
    if first.cap:
        raw, reach = _capped(builder, first.cap, z, octave), SCORE_HEIGHT + 2
        quotient: tuple[Cells | Beside, ...] = (Cells(raw, tuple(-(1 << s) for s in shifts)),)
    else:
        reach = SCORE_REACH
        quotient = (
            Cells(z, tuple(-(1 << s) for s in shifts)),
            Beside(octave, tuple(-(OCTAVE << s) for s in shifts)),
        )
    bound = first.bound + (reach << max(shifts))
    equation = builder.equation("scores", frame, bound, half, rest, *quotient)
    builder.product(CausalScores(equation, query, key, first.size, first.group))
    if longest >= 1 << EXP_BITS:
        raise Unsupported("inference: too many tokens for one softmax")
    total = builder.matrix("scores.total", rows, 2 << EXP_BITS, flat=True)
    inverse = builder.matrix("scores.inverse", rows, 1 << 16, flat=True)
    table = Table("reciprocals", ((1 << EXP_BITS) - longest, 2 << EXP_BITS))
    builder.look("scores.inverse", table, Own(total), Own(inverse))
    bound = (longest << (EXP_BITS + 1)) + (2 << EXP_BITS)
    builder.equation("scores.total", rows, bound, RowSum(e), Beside(total, -1))
    return e, inverse


def _capped(builder: Builder, cap: int, z: Matrix, octave: Matrix) -> Matrix:
    """z = capped score − 256 · M; returns the scores before the cap."""
    raw = builder.matrix("scores.raw", z.frame, SCORE_HEIGHT)
    capped = builder.matrix("scores.capped", z.frame, SCORE_HEIGHT)
    builder.look("scores.cap", Table("score_caps", (SCORE_HEIGHT, cap)), Own(raw), Own(capped))
    bound = SCORE_HEIGHT + SCORE_REACH
    builder.equation("scores.z", z.frame, bound, Cells(capped), Cells(z, -1), Beside(octave, -OCTAVE))
    return raw


def _gathered(
    builder: Builder, family: Family, share: Matrix, inverse: Matrix, value: Matrix
) -> tuple[Matrix, Matrix]:
    """round(Σ e·v / 2^16) / Σ e, at the unit of each row of o, in limbs."""
    mixes, sites = family.all("mix", Mix), family.all("y", Divide)
    mix, site = mixes[0], sites[0]
    frame = Frame(builder.tokens, len(sites), 1, mix.cols)
    bits = (mix.bound >> mix.shift).bit_length() + 1
    mixed = builder.matrix("mix", frame, 1 << (bits - 1))
    builder.bits("mix", mixed, bits, 1 << (bits - 1))
    rest = builder.matrix("mix.rest", frame, (1 << mix.shift) - 1)
    builder.bits("mix.rest", rest, mix.shift)
    equation = builder.equation(
        "mix",
        frame,
        mix.bound + (2 << mix.shift) + (1 << (bits - 1 + mix.shift)),
        Public((1 << mix.shift) >> 1),
        Cells(rest, -1),
        Cells(mixed, -(1 << mix.shift)),
    )
    builder.product(CausalMix(equation, share, value, mix.size, mix.group))
    reach = (site.high << site.limb) + (1 << site.limb >> 1)
    bases = [divide.base for divide in sites]
    bound = mixed.largest * int(reciprocal(np.array((1 << EXP_BITS) - builder.longest)))
    steps = builder.steps("y", family.tensors("o"), site.cols, bases, [()] * len(sites), reach, bound)
    high, low = builder.limbs("y", frame, Table("limbs", (site.high, site.limb)))
    if steps.coarse is not None:
        builder.reached("y", steps, high, high, site.high, site.limb)
    equation = builder.rounded("y", frame, steps, ((high, 1 << site.limb), (low, 1)))
    builder.product(RowScale(equation, ((mixed, 1),), inverse))
    return high, low
