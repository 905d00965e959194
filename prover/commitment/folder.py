"""The folder of a commitment: commitment.json for everybody, private/ (0700) for the owner alone.

private/ holds the secret seed and the opening budget (`huref.prover.commitment.budget`), the quantized tensors in
one .npy file, stacked as they are committed, and the real value of one unit of each tensor. The folder takes its
name only when it is complete.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.placed import place_weights
from huref.circuits.argument.proof import weights_geometry
from huref.circuits.commitment import (
    check_resources,
    compile_directory,
    compile_fingerprint,
    describe_directory,
    knobs_for,
    pinned_profile,
)
from huref.circuits.fingerprint.compile import EQUAL_TERM_WEIGHTS
from huref.circuits.fingerprint.profiles import LAYERS, Profile
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.program.program import Program
from huref.common.errors import InputOutputError, Malformed, ProverError, Rejected
from huref.common.files.atomic import new_folder, write_file
from huref.common.files.canonical import parse_json
from huref.common.files.commitment_file import FILE_NAME, MAX_BYTES, CommitmentFile, SourceFile, TokenChoice
from huref.common.params import Knobs
from huref.prover.checkpoint.families import Model
from huref.prover.commitment import leaf_cache
from huref.prover.commitment.budget import OpeningBudget, Say
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.commitment.stacked import StackedWeights
from huref.prover.commitment.weights import WeightsCommitment, commit_weights
from huref.prover.devices.compiled import COMPILED
from huref.prover.devices.interface import Device
from huref.prover.kernels.threads import run_tasks

PRIVATE = "private"
_WEIGHTS = "weights.npy"
_STEPS = "steps.json"

Weights = Mapping[str, NDArray[np.int8]]


@dataclass(frozen=True)
class Source:
    """What is committed: integers and steps by tensor name, and the public facts about them.

    `term_weights` belong to the `meanpool` encoder; `owner` is the public key that will sign, if any.
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

    def program(self, encoder: str | None = None) -> Program:
        """The fingerprint program with an encoder (default: the profile's)."""
        program = compile_fingerprint(
            self.shape, self.profile, encoder, self.k, self.p, self.tokens.ids, self.term_weights
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
    """A commitment's folder under its temporary name. `weights`, a map of the file, is to be filled first."""

    temporary: Path
    folder: Path
    source: Source
    program: Program
    weights: StackedWeights
    knobs: Knobs
    budget: OpeningBudget

    def finish(
        self, steps: Mapping[str, float], term_weights: tuple[int, ...], device: Device = COMPILED
    ) -> OpenedCommitment:
        """Commit to the weights on `device` and write the other files. Raises `InputOutputError`."""
        private, program = self.temporary / PRIVATE, self.program
        with _named(private / _WEIGHTS), (private / _WEIGHTS).open("rb") as file:
            os.fsync(file.fileno())
        weights = _read_weights(private, program, self.weights.data.shape[1])
        source = replace(self.source, weights=weights, steps=steps, term_weights=term_weights)
        seed = self.budget.seed
        committed = commit_weights(program, weights, self.knobs, seed, device)
        if device.for_proofs is device:  # what other machines made is checked by making it again here
            leaf_cache.write(private, weights.data, seed, committed.committed.tree.levels[0])
        write_file(private / _STEPS, json.dumps(dict(steps)).encode(), mode=0o600)
        public = _public_file(source, program, self.knobs, committed.root.hex())
        write_file(self.temporary / FILE_NAME, public.encode())
        self.budget.bind(public.root)
        return OpenedCommitment(self.folder, public, source, committed)


@contextmanager
def create(folder: Path, source: Source, knobs: Knobs) -> Iterator[Draft]:
    """Begin a commitment with a fresh secret seed; its folder appears when the block ends without an error.

    The weights and steps of `source` are those that the block gives to the draft.

    Raises:
        UsageError: the folder exists. InputOutputError: it cannot be written.
    """
    with new_folder(folder) as temporary:
        program = source.program()
        geometry = weights_geometry(program.committed, knobs)
        private = temporary / PRIVATE
        with OpeningBudget.create(private, geometry.code.random) as budget:
            weights = _new_weights(private / _WEIGHTS, program, geometry.w)
            yield Draft(temporary, folder, source, program, weights, knobs, budget)


def load(folder: Path, device: Device = COMPILED) -> OpenedCommitment:
    """Read a commitment's folder; its tree comes from the kept leaf digests, or is made anew on `device`.

    Raises:
        InputOutputError, Malformed: files are missing or damaged.
        ProverError: the private part does not give the public root.
    """
    public = read_public(folder)
    private = folder / PRIVATE
    source, program = _read_source(private, public)
    seed = read_seed(private)
    knobs = knobs_for(public.directory)
    geometry = weights_geometry(program.committed, knobs)
    weights = _read_weights(private, program, geometry.w)
    source = replace(source, weights=weights)
    leaves = leaf_cache.read(private, weights.data, seed, geometry.code.domain.n)
    committed = commit_weights(program, source.weights, knobs, seed, device, leaves)
    if leaves is not None and committed.root.hex() != public.root:
        committed = commit_weights(program, source.weights, knobs, seed, device)
    if committed.root.hex() != public.root:
        raise ProverError(
            f"{folder}: the private tensors and seed give another root than commitment.json",
            hint="the folder was changed or mixed from two commitments; commit again",
        )
    return OpenedCommitment(folder, public, source, committed)


def read_public(folder: Path) -> CommitmentFile:
    """The folder's commitment.json. Raises `InputOutputError`, `Malformed`."""
    path = folder / FILE_NAME
    with _named(path), path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Malformed(f"{path}: more than {MAX_BYTES} bytes")
    return CommitmentFile.decode(data, str(path))


def restore(folder: Path, *, everything: bool = False, say: Say = warnings.warn) -> tuple[int, int, int]:
    """Adopt the private state of a folder that was copied or put back (`OpeningBudget.restore`).

    Returns the positions declared spent by this, those that are left, and how many a proof needs.
    """
    public = read_public(folder)
    _, program = _read_source(folder / PRIVATE, public)
    queries = weights_geometry(program.committed, knobs_for(public.directory)).code.queries
    with OpeningBudget.restore(folder / PRIVATE, public.root, everything=everything, say=say) as budget:
        return budget.declared, budget.remaining, queries


def read_seed(private: Path) -> SecretSeed:
    """The secret seed in a private folder, without taking its lock. Raises `InputOutputError`, `Malformed`."""
    with _named(private / "seed"):
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
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return SourceFile(name=path.name, size=len(content), sha256=hashlib.sha256(content).hexdigest())


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
    )
    return CommitmentFile.of(directory, root, list(source.files))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """System errors as `InputOutputError` that names the file."""
    try:
        yield
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror or error}") from None


def _new_weights(path: Path, program: Program, w: int) -> StackedWeights:
    """A new file for the stack, mapped: what is written to the weights is in the file."""
    placed, rows = place_weights(program.committed, w)
    with _named(path):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
        data = np.lib.format.open_memmap(path, mode="w+", dtype=np.int8, shape=(rows, w))
        with path.open("r+b") as file:
            if hasattr(os, "posix_fallocate"):  # a full disk would kill the process where it touches the map
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return StackedWeights(placed, data)


def _read_weights(private: Path, program: Program, w: int) -> StackedWeights:
    """The stack as a memory map whose changes stay in memory."""
    placed, rows = place_weights(program.committed, w)
    path = private / _WEIGHTS
    try:
        with _named(path):
            data = np.lib.format.open_memmap(path, mode="c")
    except ValueError:
        raise Malformed(f"{path}: not a tensor file, or cut short") from None
    if data.dtype != np.int8 or data.shape != (rows, w) or not data.flags.c_contiguous:
        raise Malformed(f"{path}: another shape or type than commitment.json says")
    return StackedWeights(placed, data)


def _read_source(private: Path, public: CommitmentFile) -> tuple[Source, Program]:
    """What was committed, but for the weights, and the program that it is made for."""
    directory = public.directory
    try:
        program = compile_directory(directory)
    except Rejected as error:
        raise Malformed(f"{FILE_NAME}: {error.message}") from None
    with _named(private / _STEPS):
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
    )
    return source, program
