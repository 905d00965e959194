"""Open a model checkpoint of any supported file format, lazily and without ever unpickling.

Accepted: a Hugging Face folder (config.json with safetensors, single or sharded), a .safetensors file
with config.json beside it, a .gguf file or any part of a split one, an .onnx file, or a folder holding exactly one
of these. Files are told by their first bytes, and by their suffix only where these say nothing.
"""

from __future__ import annotations

from pathlib import Path

from huref.common.errors import HurefError, InputOutputError, Unsupported, UsageError
from huref.prover.checkpoint.formats.base import Checkpoint
from huref.prover.checkpoint.formats.folder import INDEX, open_folder
from huref.prover.checkpoint.formats.magic import sniff
from huref.prover.checkpoint.formats.split import is_secondary

__all__ = ["Checkpoint", "open_checkpoint"]

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_FOREIGN = (".h5", ".msgpack", ".ot", ".npz", ".tflite")
_SUFFIXES = (".safetensors", ".gguf")
_CONVERT = (
    "convert it to safetensors on a machine you trust it with: "
    "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER); "
    "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
)
_OWN = "commitment.json"
_FROM = "load it with the library that wrote it, and save it as safetensors"


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Open a checkpoint; headers are checked now, tensors are read when asked for.

    Raises `InputOutputError` (not there), `UsageError` (several candidates), `Unsupported` (pickles,
    adapters, quantized formats), `Malformed` (broken files).
    """
    path = Path(path)
    if path.is_dir():
        return _open_directory(path)
    if not path.is_file():
        if path.is_symlink():
            raise InputOutputError(f"{path}: a link to a file that is not there", hint="download it again")
        named = not path.is_absolute() and len(path.parts) == 2
        raise InputOutputError(
            f"{path}: no such file or folder",
            hint=f"if that is a name on a model hub: hf://{path}" if named else None,
        )
    return _open_file(path)


def _open_file(path: Path) -> Checkpoint:
    suffix = path.suffix.lower()
    kind = sniff(path) or suffix.removeprefix(".")
    if kind == "safetensors":
        _refuse_adapter(path)
        return open_folder(path.parent, path)
    if kind == "gguf":
        from huref.prover.checkpoint.formats.gguf_reader import GgufCheckpoint

        return GgufCheckpoint(path)
    if kind == "onnx":
        from huref.prover.checkpoint.formats.onnx_reader import OnnxCheckpoint

        return OnnxCheckpoint(path)
    if kind == "pickle" or suffix in _PICKLES:
        raise Unsupported(f"{path}: pickled checkpoints can run code and are never opened", hint=_CONVERT)
    if path.name.endswith(".index.json"):
        return open_folder(path.parent)
    raise Unsupported(f"{path}: not a checkpoint format known here", hint="known: .safetensors, .gguf, .onnx")


def _open_directory(folder: Path) -> Checkpoint:
    candidates: list[Path] = []
    safetensors = [file for file in sorted(folder.glob("*.safetensors")) if not _is_adapter(file)]
    if safetensors:
        candidates.append(folder)
    candidates += [file for file in sorted(folder.glob("*.gguf")) if not is_secondary(file)]
    candidates += sorted(folder.glob("*.onnx"))
    if len(candidates) > 1:
        names = ", ".join("*.safetensors" if c == folder else c.name for c in candidates)
        raise UsageError(f"{folder}: several checkpoints ({names})", hint="give the path of one file")
    if candidates:
        return open_folder(folder) if candidates[0] == folder else _open_file(candidates[0])
    files = [file for file in sorted(folder.iterdir()) if file.is_file()]
    if any(file.name == _OWN for file in files):
        raise UsageError(
            f"{folder}: a bundle or commitment of huref's, not a checkpoint",
            hint="name the model's own folder or file",
        )
    named_otherwise = [file for file in files if _holds_weights(file)]
    if len(named_otherwise) == 1:
        return _open_file(named_otherwise[0])
    for file in files:
        if file.suffix.lower() in _PICKLES:
            raise Unsupported(f"{file}: pickled checkpoints can run code and are never opened", hint=_CONVERT)
        if _is_adapter(file):
            _refuse_adapter(file)
    if (folder / INDEX).is_file():
        return open_folder(folder)
    for file in files:
        if file.suffix.lower() in _FOREIGN:
            raise Unsupported(
                f"{file}: weights of TensorFlow, Flax, Rust or MLX, which are not read", hint=_FROM
            )
    raise InputOutputError(f"{folder}: no checkpoint here", hint=_what_else(folder))


def _what_else(folder: Path) -> str:
    """What a folder without a checkpoint may be for."""
    if (folder / "snapshots").is_dir() and not any(folder.glob("snapshots/*/")):
        return f"a hub cache without a snapshot: download the model again, to {folder / 'snapshots'}/…"
    for below in ("snapshots/*/*", "models--*/snapshots/*/*", "*/models--*/snapshots/*/*", "*/*"):
        inner = sorted({file.parent for file in folder.glob(below) if file.suffix in _SUFFIXES})
        if inner:
            return "did you mean " + " or ".join(map(str, inner[:3])) + "?"
    return "expected config.json with *.safetensors, or one .gguf file"


def _holds_weights(file: Path) -> bool:
    """Whether the first bytes are those of a format that is read, whatever the file is called."""
    try:
        return sniff(file) in ("safetensors", "gguf")
    except HurefError:
        return False


def _is_adapter(path: Path) -> bool:
    return path.name.startswith("adapter_model.")


def _refuse_adapter(path: Path) -> None:
    if _is_adapter(path):
        raise Unsupported(f"{path}: a LoRA adapter, not a model", hint="merge it into its base model first")
