"""The `cnn` encoder: four bias-free strided convolutions from the six P×P terms to 512 outputs.

Shape (channels × size²): 6×256² → 24×64² → 60×16² → 252×4² → 512×2², then the sum over the last 2×2
positions (fingerprint §4, which takes the mean; v is standardized afterwards). ReLU sits inside the
re-quantization of the first three layers (`Site.low` = 0); the last layer keeps its sign.

Two properties are built into the kernels, because training alone reaches neither:

- Grouped by term: no output mixes two terms, and term t fills the outputs `segments(6)[t]`, as in the
  sketch. A term's power-of-two scale moves when a derivative crosses the threshold of its canonical shift;
  a comparison that standardizes every segment does not see it.
- Odd in its input, v(−x) = −v(x): hidden channels come in two halves (h⁺, h⁻) that swap when the input
  changes sign. Layer 1 is (w, −w), layers 2 and 3 are ((A, B), (B, A)), layer 4 is (C, −C). The non-negative
  activations of a plain bias-free ReLU network point all fingerprints in one common direction; here
  unrelated inputs, whose sketch signs are independent, have cosine zero on average.

The file holds w, (A, B) of one term, which all terms share, and C of all 512 outputs; the kernels with their
mirrored halves and zero blocks are made here. A hidden channel is t·c + j: channel j of the c of term t.
"""

from __future__ import annotations

import hashlib
import zlib
from functools import cache
from importlib.resources import files
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.sketch import segments
from huref.circuits.program.program import OUTPUTS, Conv, Output, Site
from huref.common.errors import Malformed, Unsupported

BLOCKS = 256
"""The only P this encoder is trained for."""
TERMS = 6
SIZES = (256, 64, 16, 4, 2)
TERM_CHANNELS = (1, 4, 10, 42)
"""Channels that one term has at the inputs of the four layers."""
KERNELS = (8, 8, 8, 4)
STRIDES = (4, 4, 4, 2)
PADDINGS = (2, 2, 2, 1)
STORED_SHAPES = ((2, 1, 8, 8), (5, 4, 8, 8), (21, 10, 8, 8), (OUTPUTS, 21, 4, 4))
"""Shapes of w, (A, B), (A, B), C in the weight file, each (out, in, k, k)."""
LARGEST_CLAMP = 2047
LARGEST_CALIBRATION_ROWS = 16

DIGEST = "23309f9938abe795e4bdb30cfc4dafe87777a647ff9972c97d3094999064454f"
"""SHA-256 of the shipped weights (see `weights_digest`); the profile pins the encoder by it."""


def expand(stored: tuple[NDArray[Any], ...]) -> tuple[NDArray[Any], ...]:
    """The four full kernels (out, in, k, k) of the grouped odd network from the four stored arrays."""
    first, second, third, last = stored
    hidden = (
        np.concatenate([first, -first]),
        np.concatenate([second, np.roll(second, second.shape[1] // 2, axis=1)]),
        np.concatenate([third, np.roll(third, third.shape[1] // 2, axis=1)]),
    )
    signed = np.concatenate([last, -last], axis=1)
    full = [np.zeros((TERMS * len(k), TERMS * k.shape[1], *k.shape[2:]), dtype=k.dtype) for k in hidden]
    full.append(np.zeros((OUTPUTS, TERMS * signed.shape[1], *signed.shape[2:]), dtype=signed.dtype))
    for term, segment in enumerate(segments(TERMS)):
        for layer, kernel in enumerate((*hidden, signed[segment])):
            out_channels, in_channels = kernel.shape[:2]
            rows = segment if layer == 3 else slice(term * out_channels, (term + 1) * out_channels)
            full[layer][rows, term * in_channels : (term + 1) * in_channels] = kernel
    return tuple(full)


def weights_digest(stored: tuple[NDArray[np.int8], ...]) -> str:
    """SHA-256, in hex, of the stored arrays: per array its four int32 sizes and its bytes, little-endian."""
    digest = hashlib.sha256(b"huref cnn encoder weights v1")
    for array in stored:
        digest.update(np.asarray(array.shape, dtype="<i4").tobytes())
        digest.update(np.ascontiguousarray(array, dtype=np.int8).tobytes())
    return digest.hexdigest()


def read_stored(path: str) -> tuple[NDArray[np.int8], ...]:
    """The four stored int8 arrays of a weight file, keys conv1 … conv4; entries in [−127, 127].

    Raises:
        Malformed: the file is not such an archive.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            stored = tuple(archive[f"conv{layer}"] for layer in range(1, 5))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise Malformed(f"{path}: not a cnn encoder weight file ({error})") from error
    for array, shape in zip(stored, STORED_SHAPES, strict=True):
        if array.shape != shape or array.dtype != np.int8 or array.min() < -127:
            raise Malformed(f"{path}: expected int8 {shape} in [-127, 127], got {array.dtype} {array.shape}")
    return stored


@cache
def kernels() -> tuple[NDArray[np.int8], ...]:
    """The four full int8 kernels that ship with huref, read once and checked against `DIGEST`.

    Raises:
        Malformed: the shipped file was changed or damaged.
    """
    path = str(files("huref.circuits.fingerprint") / "data" / "encoder_cnn.npz")
    stored = read_stored(path)
    if weights_digest(stored) != DIGEST:
        raise Malformed(
            f"{path}: the cnn encoder's weights do not have the pinned digest",
            hint="reinstall huref, or put the digest of newly trained weights into circuits/fingerprint/encoder_cnn.py",
        )
    return expand(stored)


def gain(kernel: NDArray[np.int8]) -> int:
    """max over output channels of Σ|w|: the worst-case |accumulator| per unit of input bound (protocol §3.4)."""
    return int(np.abs(kernel.astype(np.int64)).sum(axis=(1, 2, 3)).max())


def largest_clamp(factor: int, field_prime: int) -> int:
    """The clamp rule of protocol §3.3: the largest 2^m − 1 ≤ 2047 with factor · clamp < field_prime / 2.

    Raises:
        Unsupported: not even a clamp of 1 fits.
    """
    clamp = LARGEST_CLAMP
    while clamp and 2 * factor * clamp >= field_prime:
        clamp >>= 1
    if not clamp:
        raise Unsupported(f"an accumulator of static gain {factor} does not fit below p/2")
    return clamp


def input_clamp(field_prime: int) -> int:
    """Largest clamp of the six terms that keeps layer 1 below p/2: what the terms' sites must not exceed."""
    return largest_clamp(gain(kernels()[0]), field_prime)


def cnn_sites(
    term_site_names: tuple[str, ...], term_clamp: int, p: int, field_prime: int
) -> tuple[tuple[Site, ...], Output]:
    """The encoder's four convolution sites and its output map, for six p×p terms with entries ≤ `term_clamp`.

    Sites are named cnn1 … cnn4. Clamps and static bounds follow protocol §3.3 and §3.4 with the actual
    Σ|w| per output channel, which is public; `field_prime` is the modulus.

    Raises:
        Unsupported: p is not 256, or a static bound reaches field_prime / 2.
    """
    if p != BLOCKS:
        raise Unsupported(
            f"the cnn encoder is trained for P = {BLOCKS} blocks, this program has P = {p}",
            hint="use --encoder sketch for small vocabularies or short token lists",
        )
    if len(term_site_names) != TERMS:
        raise Unsupported(f"the cnn encoder reads {TERMS} terms, got {len(term_site_names)}")
    full = kernels()
    gains = [gain(kernel) for kernel in full]
    positions = SIZES[-1] ** 2
    sites: list[Site] = []
    sources = tuple(term_site_names)
    bound_in = term_clamp
    for layer, kernel in enumerate(full):
        bound = gains[layer] * bound_in
        if 2 * bound >= field_prime:
            raise Unsupported(
                f"cnn{layer + 1}: the static bound {bound} reaches p/2",
                hint=f"its input must be clamped to {largest_clamp(gains[layer], field_prime)}",
            )
        size = SIZES[layer + 1]
        last = layer == len(full) - 1
        clamp = largest_clamp(positions if last else gains[layer + 1], field_prime)
        cols = len(kernel) * size
        acc = Conv(sources, kernel, SIZES[layer], size, STRIDES[layer], PADDINGS[layer])
        name = f"cnn{layer + 1}"
        rows_limit = min(LARGEST_CALIBRATION_ROWS, size, (field_prime - 2) // (2 * cols * clamp))
        calibration = 1 << (rows_limit.bit_length() - 1)
        sites.append(Site(name, acc, size, cols, clamp, -clamp if last else 0, bound, calibration))
        sources, bound_in = (name,), clamp
    size = SIZES[-1]
    bucket = np.broadcast_to(np.repeat(np.arange(OUTPUTS, dtype=np.int16), size), (size, OUTPUTS * size))
    sign = np.ones(bucket.shape, dtype=np.int8)
    return tuple(sites), Output(sources, (np.ascontiguousarray(bucket),), (sign,), positions * bound_in)


def convolve(planes: NDArray[Any], kernel: NDArray[Any], stride: int, padding: int) -> NDArray[np.float64]:
    """Strided convolution of (channels, size, size) planes with zero padding, in float64: (out, y, x)."""
    padded = np.pad(planes.astype(np.float64), ((0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[2:], axis=(1, 2))
    return np.einsum(
        "cyxab,ocab->oyx", windows[:, ::stride, ::stride], kernel.astype(np.float64), optimize=True
    )


def float_outputs(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """v (512,) of (6, P, P) real-valued terms with nothing rounded or clamped, for fidelity reports.

    Scaling a term by a positive number scales its segment of v by the same, so terms may come in any units.
    """
    signal = terms
    for layer, kernel in enumerate(kernels()):
        signal = convolve(signal, kernel, STRIDES[layer], PADDINGS[layer])
        signal = signal if layer == len(STRIDES) - 1 else np.maximum(signal, 0)
    return np.asarray(signal.sum((1, 2)))
