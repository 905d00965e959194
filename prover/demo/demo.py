"""`huref demo`: a real pretrained model from nothing to a verified bundle, a forgery, and a comparison."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from huref.circuits.fingerprint.hardened.vector import picture_vector
from huref.circuits.fingerprint.profiles import HARDENED
from huref.circuits.fingerprint.similarity import compare_outputs
from huref.common.errors import HurefError, ProverError, Rejected
from huref.common.files import bundle as form
from huref.common.files.atomic import write_file
from huref.common.files.bundle import FileEntry, Manifest, read_bundle
from huref.common.image.generator import render
from huref.common.image.png import png_bytes, png_pixels
from huref.prover.checkpoint.families import open_model
from huref.prover.demo import checkpoints as demo_checkpoints
from huref.prover.owner import Proved, prove
from huref.prover.progress import Progress
from huref.prover.run.fingerprint import derive
from huref.verifier.verification import verify

MODEL, RELATED, UNRELATED = "minilm", "minilm-4bit", "smollm2"
_GAP = 8
_BLOCK = 32


@dataclass(frozen=True)
class Comparison:
    """Another model next to the proven one."""

    name: str
    cosine: float
    verdict: str


@dataclass(frozen=True)
class DemoResult:
    """What the demo made and saw. `rejections` are (what was forged, the path of the failing check)."""

    folder: Path
    proved: Proved
    rejections: tuple[tuple[str, str], ...]
    comparisons: tuple[Comparison, ...]


def demo(
    folder: Path, *, say: Callable[[str], None] = lambda _: None, progress: Progress | None = None
) -> DemoResult:
    """Run the demo; everything it makes lies in `folder`, which must not exist.

    Raises:
        InputOutputError: the demo's checkpoints are not installed. ProverError: a forgery was accepted.
    """
    progress = progress or Progress()
    folder.mkdir(parents=True)
    say(f"1. Prove the fingerprint of a real model ({MODEL}, 22 M weights) and verify the proof.")
    bundle = folder / f"{MODEL}.huref"
    proved = prove(demo_checkpoints.find(MODEL), bundle, progress=progress)
    verdict = verify(bundle)
    say(f"   verified in {sum(verdict.seconds.values()):.1f} s: {bundle} ({verdict.size / 1e6:.2f} MB)")
    say("2. Forge it.")
    rejections = (
        ("one bit of the proof flipped, hash repaired", _rejection(folder, bundle, _flip_proof)),
        ("vector off by one, all files repaired", _rejection(folder, bundle, _shift_vector)),
    )
    for what, path in rejections:
        say(f"   {what}: rejected at {path}")
    say("3. Compare it with a copy rounded to 4 bits a weight, and with another model.")
    paths = {RELATED: folder / RELATED, UNRELATED: demo_checkpoints.find(UNRELATED)}
    round_to_4_bits(demo_checkpoints.find(MODEL), paths[RELATED])
    pictures = [png_pixels((bundle / form.PICTURE).read_bytes())]
    comparisons = []
    for name, checkpoint in paths.items():
        with progress.stage(f"fingerprint {name}") as step:
            found = derive(open_model(checkpoint), HARDENED, progress=step)
        similar = compare_outputs(verdict.statement.outputs, found.trace.v, HARDENED)
        comparisons.append(Comparison(name, similar.cosine, similar.verdict))
        pictures.append(render(picture_vector(found.trace.v).tolist()))
        say(f"   {name:<12} cosine {similar.cosine:+.3f}  {similar.verdict}")
    sheet = folder / "pictures.png"
    write_file(sheet, png_bytes(_beside(pictures)))
    say(f"   pictures side by side: {sheet}")
    return DemoResult(folder, proved, rejections, tuple(comparisons))


def round_to_4_bits(source: Path, target: Path) -> None:
    """Copy a safetensors folder with every matrix rounded to 4 bits, one scale per 32 entries."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(source, target)
    tensors = load_file(source / "model.safetensors")
    save_file({name: _rounded(value) for name, value in tensors.items()}, target / "model.safetensors")


def _rounded(tensor: np.ndarray) -> np.ndarray:
    if tensor.ndim != 2 or tensor.dtype != np.float32 or tensor.size % _BLOCK:
        return tensor
    blocks = tensor.reshape(-1, _BLOCK)
    step = np.maximum(np.abs(blocks).max(1, keepdims=True) / 7, np.float32(1e-12))
    return np.ascontiguousarray((np.rint(blocks / step) * step).reshape(tensor.shape))


def free_folder(name: str) -> Path:
    """`name`, or `name`-2, -3, … whichever does not exist yet."""
    first = Path(name)
    if not first.exists():
        return first
    return next(path for i in count(2) if not (path := Path(f"{name}-{i}")).exists())


def _rejection(folder: Path, bundle: Path, forge: Callable[[Path], None]) -> str:
    """Forge a copy and return the path of the check that refuses it."""
    copy = folder / "forged.huref"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(bundle, copy)
    forge(copy)
    try:
        verify(copy)
    except Rejected as error:
        return error.path
    except HurefError as error:
        return type(error).__name__
    raise ProverError("a forged bundle was accepted", hint="this is a bug in huref; please report it")


def _flip_proof(copy: Path) -> None:
    proof = bytearray((copy / form.PROOF).read_bytes())
    proof[len(proof) // 2] ^= 1
    write_file(copy / form.PROOF, bytes(proof))
    _reseal(copy, form.PROOF)


def _shift_vector(copy: Path) -> None:
    """Change an output and v everywhere, redraw the picture, and repair every hash: only the proof can object."""
    fingerprint = json.loads((copy / form.FINGERPRINT).read_bytes())
    fingerprint["e"][0] += 1
    fingerprint["v"] = picture_vector(fingerprint["e"]).tolist()
    content = json.dumps(fingerprint, separators=(",", ":")).encode()
    write_file(copy / form.FINGERPRINT, content)
    write_file(copy / form.PICTURE, png_bytes(render(fingerprint["v"])))
    manifest = json.loads((copy / form.MANIFEST).read_bytes())
    manifest["statement"] |= {"e": fingerprint["e"], "v": fingerprint["v"]}
    manifest["statement"]["notes"]["fingerprint"] = hashlib.sha256(content).hexdigest()
    write_file(copy / form.MANIFEST, Manifest.model_validate(manifest).encode())
    _reseal(copy, form.FINGERPRINT)
    _reseal(copy, form.PICTURE)
    read_bundle(copy)


def _reseal(copy: Path, name: str) -> None:
    """Give the manifest the file's new size and hash."""
    manifest = Manifest.decode((copy / form.MANIFEST).read_bytes(), form.MANIFEST)
    files = {**manifest.files, name: FileEntry.of((copy / name).read_bytes())}
    write_file(copy / form.MANIFEST, manifest.model_copy(update={"files": files}).encode())


def _beside(pictures: list[np.ndarray]) -> np.ndarray:
    """Pictures of one height in a row on white."""
    gap = np.full((pictures[0].shape[0], _GAP, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(parts[:-1], axis=1)
