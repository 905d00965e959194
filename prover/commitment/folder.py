"""The folder of a commitment: commitment.json for everybody, private/ (0700) for the owner alone.

private/ holds the secret seed and the opening budget (`huref.prover.commitment.budget`), the quantized tensors in
one .npy file, stacked as they are committed, or the recipe to make them again, and the real value of one unit of each
tensor. The folder takes its name only when it is complete.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.proof import weights_geometry
from huref.circuits.commitment import (
    check_resources,
    compile_directory,
    compile_fingerprint,
    describe_directory,
    inference_facts,
    knobs_for,
    pinned_profile,
)
from huref.circuits.fingerprint.paper import EQUAL_TERM_WEIGHTS
from huref.circuits.fingerprint.profiles import LAYERS, Profile
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.facts import Facts
from huref.circuits.program.program import Program
from huref.common.errors import InputOutputError, Malformed, ProverError, Rejected
from huref.common.files.atomic import new_folder, write_file
from huref.common.files.canonical import parse_json
from huref.common.files.commitment_file import FILE_NAME, MAX_BYTES, CommitmentFile, SourceFile, TokenChoice
from huref.common.params import Knobs
from huref.prover.checkpoint.families import Model
from huref.prover.checkpoint.formats.partial import ready_whole, stated
from huref.prover.commitment import leaf_cache
from huref.prover.commitment.budget import OpeningBudget, Say
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.commitment.recipe import Recipe, Remake
from huref.prover.commitment.stacked import StackedWeights
from huref.prover.commitment.weights import WeightsCommitment, commit_weights
from huref.prover.commitment.weights_file import (
    named,
    nameless_weights,
    new_weights,
    read_weights,
    sync_weights,
)
from huref.prover.devices.compiled import COMPILED
from huref.prover.devices.interface import Device
from huref.prover.kernels.threads import run_tasks

PRIVATE = "private"
_STEPS = "steps.json"

Weights = Mapping[str, NDArray[np.int8]]


@dataclass(frozen=True)
class Source:
    """What is committed: integers and steps by tensor name, and the public facts about them.

    `term_weights` belong to `paper`; `owner` is the public key that will sign, if any; `inference` the facts of the
    inference program, if there is one.
    """

    profile: Profile
    shape: ModelShape
    k: int
    p: int
    tokens: TokenChoice
    weights: Weights
    steps: Mapping[str, float]
    files: tuple[SourceFile, ...]
    term_weights: tuple[int, ...] = EQUAL_TERM_WEIGHTS
    owner: str | None = None
    inference: Facts | None = None

    def program(self, challenge: bytes = b"") -> Program:
        """The fingerprint program under a challenge."""
        program = compile_fingerprint(
            self.shape, self.profile, self.k, self.p, self.tokens, self.term_weights, challenge
        )
        check_resources(program)
        return program


@dataclass(frozen=True)
class OpenedCommitment:
    """A commitment whose tree is in memory, with its owner's folder."""

    folder: Path
    public: CommitmentFile
    source: Source
    committed: WeightsCommitment

    def lock(self, say: Say = warnings.warn) -> OpeningBudget:
        """The opening budget, locked; a context manager. Raises what `OpeningBudget.load` raises."""
        return OpeningBudget.load(self.folder / PRIVATE, self.public.root, say)


@dataclass(frozen=True)
class Draft:
    """A commitment's folder under its temporary name. `weights`, a map of a file, is to be filled first.

    `recipe` is the checkpoint that gives the integers again, where they are not kept.
    """

    temporary: Path
    folder: Path
    source: Source
    program: Program
    weights: StackedWeights
    knobs: Knobs
    budget: OpeningBudget
    recipe: Path | None

    def finish(
        self,
        steps: Mapping[str, float],
        term_weights: tuple[int, ...],
        device: Device = COMPILED,
        inference: Facts | None = None,
    ) -> OpenedCommitment:
        """Commit to the weights on `device` and write the other files. Raises `InputOutputError`."""
        private, program = self.temporary / PRIVATE, self.program
        weights = self.weights
        if self.recipe is None:
            sync_weights(private)
            weights = read_weights(private, program, self.weights.data.shape[1])
        source = replace(
            self.source, weights=weights, steps=steps, term_weights=term_weights, inference=inference
        )
        seed = self.budget.seed
        committed = commit_weights(program, weights, self.knobs, seed, device)
        digest = leaf_cache.digest_of(weights.data)
        if self.recipe is not None:
            Recipe(self.recipe, digest).write(private)
        if device.for_proofs is device:  # what other machines made is checked by making it again here
            tree = committed.committed.tree
            leaf_cache.write(private, digest, seed, tree.levels[0])
            kept = leaf_cache.read(private, digest, seed, tree.n)
            tree.levels[0] = tree.levels[0] if kept is None else kept  # a map takes no memory
        write_file(private / _STEPS, json.dumps(dict(steps)).encode(), mode=0o600)
        public = _public_file(source, program, self.knobs, committed.root.hex())
        write_file(self.temporary / FILE_NAME, public.encode())
        self.budget.bind(public.root)
        return OpenedCommitment(self.folder, public, source, committed)


@contextmanager
def create(folder: Path, source: Source, knobs: Knobs, *, recipe: Path | None = None) -> Iterator[Draft]:
    """Begin a commitment with a fresh secret seed; its folder appears when the block ends without an error.

    The weights and steps of `source` are those that the block gives to the draft. With `recipe`, the place of the
    checkpoint, the integers are not kept.

    Raises:
        UsageError: the folder exists. InputOutputError: it cannot be written.
    """
    with new_folder(folder) as temporary:
        program = source.program()
        geometry = weights_geometry(program.committed, knobs)
        private = temporary / PRIVATE
        with OpeningBudget.create(private, geometry.code.random) as budget:
            make = new_weights if recipe is None else nameless_weights
            weights = make(private, program, geometry.w)
            yield Draft(temporary, folder, source, program, weights, knobs, budget, recipe)


def load(folder: Path, device: Device = COMPILED, remake: Remake | None = None) -> OpenedCommitment:
    """Read a commitment's folder; its tree comes from the kept leaf digests, or is made anew on `device`.

    `remake` makes the integers again where only their recipe is kept.

    Raises:
        InputOutputError, Malformed: files are missing or damaged.
        ProverError: the private part does not give the public root, or the checkpoint not the integers.
    """
    public = read_public(folder)
    private = private_part(folder)
    source, program = _read_source(private, public)
    seed = read_seed(private)
    knobs = knobs_for(public.directory)
    geometry = weights_geometry(program.committed, knobs)
    recipe = Recipe.read(private)
    if recipe is None:
        weights = read_weights(private, program, geometry.w)
    else:
        weights = _made_again(folder, public, recipe, nameless_weights(private, program, geometry.w), remake)
    source, digest = replace(source, weights=weights), leaf_cache.digest_of(weights.data)
    if recipe is not None:
        recipe.check(digest, folder)
    leaves = leaf_cache.read(private, digest, seed, geometry.code.domain.n)
    committed = commit_weights(program, source.weights, knobs, seed, device, leaves)
    if leaves is not None and committed.root.hex() != public.root:
        committed = commit_weights(program, source.weights, knobs, seed, device)
    if committed.root.hex() != public.root:
        raise ProverError(
            f"{folder}: the private tensors and seed give another root than commitment.json",
            hint="the folder was changed or mixed from two commitments; commit again",
        )
    return OpenedCommitment(folder, public, source, committed)


def _made_again(
    folder: Path, public: CommitmentFile, recipe: Recipe, space: StackedWeights, remake: Remake | None
) -> StackedWeights:
    if remake is None:
        raise ProverError(f"{folder} keeps no integers, only the recipe to make them from a checkpoint again")
    remake(public, recipe.checkpoint, space)
    return space


def read_public(folder: Path) -> CommitmentFile:
    """The folder's commitment.json. Raises `InputOutputError`, `Malformed`."""
    path = folder / FILE_NAME
    with named(path), path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Malformed(f"{path}: more than {MAX_BYTES} bytes")
    return CommitmentFile.decode(data, str(path))


def restore(folder: Path, *, everything: bool = False, say: Say = warnings.warn) -> tuple[int, int, int]:
    """Adopt the private state of a folder that was copied or put back (`OpeningBudget.restore`).

    Returns the positions declared spent by this, those that are left, and how many a proof needs.
    """
    public = read_public(folder)
    _, program = _read_source(private_part(folder), public)
    queries = weights_geometry(program.committed, knobs_for(public.directory)).code.queries
    with OpeningBudget.restore(folder / PRIVATE, public.root, everything=everything, say=say) as budget:
        return budget.declared, budget.remaining, queries


def private_part(folder: Path) -> Path:
    """The private folder of a commitment. InputOutputError where there is none: what is published has none."""
    private = folder / PRIVATE
    if not private.is_dir():
        raise InputOutputError(
            f"{folder}: the private part of a commitment is not there",
            hint="name the folder that huref commit made, on the machine that made it; a bundle is none",
        )
    return private


def read_seed(private: Path) -> SecretSeed:
    """The secret seed in a private folder, without taking its lock. Raises `InputOutputError`, `Malformed`."""
    with named(private / "seed"):
        value = (private / "seed").read_bytes()
    try:
        return SecretSeed(value)
    except ValueError as error:
        raise Malformed(f"{private / 'seed'}: {error}") from None


def describe_files(model: Model, profile: Profile) -> tuple[SourceFile, ...]:
    """Name, size and SHA-256 of the checkpoint files that the committed weights are read from."""
    files = model.source_files(model.layers if profile.whole else LAYERS)
    return tuple(run_tasks(_describe, [(path,) for path in files]))


def _describe(path: Path) -> SourceFile:
    known = stated(path)
    if known is not None:
        return SourceFile(name=path.name, size=known[0], sha256=known[1])
    with ready_whole(path).open(
        "rb"
    ) as file:  # read, not mapped: a process is charged for the pages of a map
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return SourceFile(name=path.name, size=file.tell(), sha256=digest)


def _public_file(source: Source, program: Program, knobs: Knobs, root: str) -> CommitmentFile:
    directory = describe_directory(
        program,
        profile=source.profile.name,
        shape=source.shape,
        k=source.k,
        p=source.p,
        tokens=source.tokens,
        term_weights=source.term_weights,
        knobs=knobs,
        owner=source.owner,
        inference=source.inference,
    )
    return CommitmentFile.of(directory, root, list(source.files))


def _read_source(private: Path, public: CommitmentFile) -> tuple[Source, Program]:
    """What was committed, but for the weights, and the program that it is made for."""
    directory = public.directory
    try:
        program = compile_directory(directory)
    except Rejected as error:
        raise Malformed(f"{FILE_NAME}: {error.message}") from None
    with named(private / _STEPS):
        steps = parse_json((private / _STEPS).read_bytes(), str(private / _STEPS))
    source = Source(
        profile=pinned_profile(directory.profile),
        shape=ModelShape.from_dict(directory.shape),
        k=directory.k,
        p=directory.p,
        tokens=directory.tokens,
        weights={},
        steps=steps,
        files=tuple(public.sources),
        term_weights=tuple(directory.term_weights),
        owner=directory.owner,
        inference=inference_facts(directory),
    )
    return source, program
