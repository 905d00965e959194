"""The directory of a commitment: written from a model's facts, and checked against what follows from them.

Prover and verifier derive every size with the same functions (protocol §2.1).
"""

from __future__ import annotations

from huref.circuits.argument.placed import place_weights
from huref.circuits.argument.proof import weights_geometry
from huref.circuits.fingerprint.hardened.tables import pool_count
from huref.circuits.fingerprint.paper import EQUAL_TERM_WEIGHTS, compile_paper
from huref.circuits.fingerprint.profiles import PROFILES, Profile
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.fingerprint.sizes import choose_sizes
from huref.circuits.inference.facts import Facts
from huref.circuits.program.program import Program
from huref.circuits.whole import compile_whole
from huref.common.errors import Malformed, Rejected, Unsupported, UsageError
from huref.common.files.commitment_file import Directory, TensorEntry, TokenChoice
from huref.common.params import Knobs

MAX_COMMITTED = 3 << 35
MAX_ACTIVATION = 5 << 27
MAX_PROOFS = 1 << 10
"""Caps on what a hostile directory can make a verifier compute. Models within them stay below `MAX_ROWS` rows and p
lookups, which every proof checks again."""


def knobs_for(directory: Directory) -> Knobs:
    """The protocol's knobs at the directory's level; grinding and code rate are pinned by the protocol version."""
    return Knobs(security=directory.security, proofs=directory.proofs)


def describe_directory(
    program: Program,
    *,
    profile: str,
    shape: ModelShape,
    k: int,
    p: int,
    tokens: TokenChoice,
    term_weights: tuple[int, ...],
    knobs: Knobs,
    owner: str | None,
    inference: Facts | None,
) -> Directory:
    """The directory of a commitment to the weights of `program`; everything but the arguments is derived."""
    geometry = weights_geometry(program.committed, knobs)
    placed, _ = place_weights(program.committed, geometry.w)
    tensors = [
        TensorEntry(name=w.name, rows=w.rows, cols=w.cols, bits=w.bits, start=placed[w.name].start)
        for w in program.committed
    ]
    return Directory.read(
        {
            "profile": profile,
            "shape": shape.to_dict(),
            "k": k,
            "p": p,
            "tokens": tokens,
            "term_weights": list(term_weights),
            "security": knobs.security,
            "proofs": knobs.proofs,
            "random_rows": geometry.code.random,
            "width": geometry.w,
            "tensors": tensors,
            "owner": owner,
            "inference": None if inference is None else inference.to_dict(),
        },
        "directory",
    )


def compile_directory(directory: Directory, challenge: bytes = b"") -> Program:
    """The program on a directory's weights under a challenge, all facts checked.

    Raises:
        Malformed, Unsupported: the path of the field that is impossible or unknown.
        Rejected: a derived field is not what follows from the others.
    """
    profile = pinned_profile(directory.profile)
    shape = ModelShape.from_dict(directory.shape)
    _check_sizes(profile, directory.k, directory.p)
    _check_tokens(directory, profile, shape)
    weights = tuple(directory.term_weights)
    if len(weights) != len(EQUAL_TERM_WEIGHTS):
        raise Malformed(f"directory.term_weights: {len(EQUAL_TERM_WEIGHTS)} integers are needed")
    if profile.whole and weights != EQUAL_TERM_WEIGHTS:
        raise Malformed(f"directory.term_weights: all are 1 in profile {profile.name}")
    try:
        program = compile_fingerprint(
            shape, profile, directory.k, directory.p, directory.tokens, weights, challenge
        )
    except UsageError as error:
        raise Malformed(f"directory: no such program: {error.message}") from None
    check_resources(program)
    _check_derived(directory, program, shape)
    _check_inference(inference_facts(directory), profile, shape)
    return program


def inference_facts(directory: Directory) -> Facts | None:
    """The facts of its inference program; None where it has none. Raises `Malformed`."""
    if directory.inference is None:
        return None
    try:
        return Facts.from_dict(directory.inference)
    except Malformed as error:
        raise Malformed(f"directory.{error.message}") from None


def compile_fingerprint(
    shape: ModelShape,
    profile: Profile,
    k: int,
    p: int,
    tokens: TokenChoice,
    term_weights: tuple[int, ...] = EQUAL_TERM_WEIGHTS,
    challenge: bytes = b"",
) -> Program:
    """The program of a profile on `k` tokens in `p` pools, under a challenge where it is not `paper`.

    Raises:
        UsageError: sizes do not suit the profile, or a static bound reaches p/2.
    """
    if profile.whole:
        return compile_whole(shape, tokens.ids, tokens.token_bytes, p, challenge)
    if challenge:
        raise UsageError(f"profile {profile.name} answers no challenges")
    return compile_paper(shape, k, p, term_weights)


def pinned_profile(name: str) -> Profile:
    """The profile of exactly this name. Raises `Unsupported`."""
    if name not in PROFILES:
        raise Unsupported(f"directory.profile: {name!r} is not known to this version", hint="update huref")
    return PROFILES[name]


def check_resources(program: Program) -> None:
    """Refuse programs that would exhaust a verifier's memory. Raises `Unsupported`."""
    committed = sum(weight.rows * weight.cols for weight in program.committed)
    widest = max(site.rows * site.cols for site in program.sites)
    if committed > MAX_COMMITTED or widest > MAX_ACTIVATION:
        raise Unsupported(
            f"directory.shape: a model with {committed} committed weights, {widest} entries in one site, is too large",
            hint=f"a verifier takes at most {MAX_COMMITTED} weights, and {MAX_ACTIVATION} entries in one site",
        )


def _check_sizes(profile: Profile, k: int, p: int) -> None:
    """P must be the one that the profile pins for K."""
    try:
        allowed = (k, pool_count(k)) if profile.whole else choose_sizes(k, k)
    except UsageError as error:
        raise Malformed(f"directory.k: {error.message}") from None
    if (k, p) != allowed:
        raise Malformed(f"directory.p: {k} tokens are pooled into {allowed[1]} blocks, not {p}")


def _check_tokens(directory: Directory, profile: Profile, shape: ModelShape) -> None:
    """K different ids of the vocabulary with different bytes, and digests exactly where the source has them."""
    tokens = directory.tokens
    if len(tokens.ids) != directory.k or len(set(tokens.ids)) != directory.k:
        raise Malformed(f"directory.tokens.ids: {directory.k} different ids are needed")
    if max(tokens.ids) >= shape.vocab:
        raise Malformed(f"directory.tokens.ids: an id is outside the vocabulary of {shape.vocab}")
    if (tokens.pieces is not None) != profile.whole:
        raise Malformed(f"directory.tokens.pieces: do not go with profile {profile.name}")
    if profile.whole and (
        len(tokens.token_bytes) != directory.k or len(set(tokens.token_bytes)) != directory.k
    ):
        raise Malformed(f"directory.tokens.pieces: the bytes of {directory.k} different tokens are needed")
    said = (tokens.tokenizer_digest is not None, tokens.frequency_digest is not None)
    allowed = {(True, True)} if tokens.source != "file" else {(False, False), (profile.whole, False)}
    if said not in allowed:
        raise Malformed(f"directory.tokens: source {tokens.source} goes with other digests")


def _check_inference(facts: Facts | None, profile: Profile, shape: ModelShape) -> None:
    """Facts lie beside a whole model only, are of its size, and compile to a program without overflow."""
    if facts is None:
        return
    if not profile.whole:
        raise Malformed(f"directory.inference: profile {profile.name} commits to no whole model")
    for n, layer in enumerate(facts.layers):
        for name in ("up_outliers", "product_outliers"):
            if any(row >= shape.ffn for row, _ in getattr(layer, name)):
                raise Malformed(
                    f"directory.inference.layers[{n}].{name}: a row beyond the {shape.ffn} neurons"
                )
    from huref.circuits.inference.compile import compile_inference  # much to load, for those that have facts

    try:
        compile_inference(shape, facts, 1)
    except UsageError as error:
        raise Malformed(f"directory.inference: no such program: {error.message}") from None
    except Unsupported as error:
        raise Unsupported(f"directory.inference: {error.message}", hint="update huref") from None


def _check_derived(directory: Directory, program: Program, shape: ModelShape) -> None:
    expected = describe_directory(
        program,
        profile=directory.profile,
        shape=shape,
        k=directory.k,
        p=directory.p,
        tokens=directory.tokens,
        term_weights=tuple(directory.term_weights),
        knobs=knobs_for(directory),
        owner=directory.owner,
        inference=None,
    )
    for name in ("random_rows", "width", "tensors"):
        wanted, got = getattr(expected, name), getattr(directory, name)
        if wanted != got:
            message = "not what follows from shape, sizes and level"
            raise Rejected(f"directory.{name}", message, expected=str(wanted)[:200], got=str(got)[:200])
