"""What the base install leaves out: which extra of huref brings a package, and what is said where one is missing."""

from __future__ import annotations

from huref.common.errors import UsageError

EXTRAS = {
    "numba": "prover",
    "llvmlite": "prover",
    "safetensors": "prover",
    "gguf": "prover",
    "tokenizers": "prover",
    "wordfreq": "prover",
    "torch": "gpu",
    "onnx": "onnx",
    "distributed": "cluster",
    "dask": "cluster",
    "huggingface_hub": "hub",
    "httpx2": "hub",
    "cryptography": "sign",
    "starlette": "registry",
    "uvicorn": "registry",
    "py_arkworks_bls12381": "fast",
    "matplotlib": "bench",
    "transformers": "dev",
    "galois": "dev",
}
"""Package -> the extra that brings it; where `torch` trains instead of proving, it comes with `train`."""


class MissingPackage(UsageError, ImportError):
    """A package is not installed, or cannot be loaded; the message ends in the command that installs it."""

    def __init__(self, what: str, extra: str | None) -> None:
        command = f"pip install 'huref[{extra}]'" if extra else "pip install --upgrade huref"
        super().__init__(f"{what}: {command}")


def missing_package(error: ImportError, torch_extra: str = "gpu") -> MissingPackage | None:
    """What a failed import means to the user; None if the package is huref itself, which is a bug.

    `torch_extra` is the extra that brings torch for what was being done: `gpu` or `train`.
    """
    if isinstance(error, MissingPackage):
        return error
    named = (error.name or "").split(".")[0]
    if named == "huref":
        return None
    package = named or next((name for name in EXTRAS if name in str(error).lower()), "")
    extra = torch_extra if package == "torch" else EXTRAS.get(package)
    if isinstance(error, ModuleNotFoundError) or not str(error):
        message = f"this needs the package {package}"
    else:
        reason = str(error).splitlines()[0]
        message = f"the package {package} cannot be loaded ({reason})" if package else reason
    return MissingPackage(message, extra)
