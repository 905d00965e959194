"""SHA-256 compression for kernels: the processor's SHA instructions where present, plain code elsewhere.

States are eight `uint32` words; message blocks are 16 `uint32` words as they lie in memory (little-endian
machine, so the big-endian words of the standard are swapped on load). `compress2` runs two independent
streams, which hides the latency of the round instruction. Both paths must equal `hashlib`.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba import njit, types

from prover.kernels.simd import intrinsic

if sys.byteorder != "little":
    raise ImportError("the compiled hash kernels need a little-endian machine")


def _fractional_bits(root: int, count: int) -> list[int]:
    """The first 32 fractional bits of the square (2) or cube (3) roots of the first primes (FIPS 180-4)."""
    primes = [q for q in range(2, 312) if all(q % d for d in range(2, q))][:count]
    words = []
    for prime in primes:
        scaled = prime << (32 * root)
        low, high = 0, 1 << 40
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if middle**root <= scaled else (low, middle)
        words.append(low & 0xFFFFFFFF)
    return words


_K = _fractional_bits(3, 64)
IV = np.array(_fractional_bits(2, 8), dtype=np.uint32)
_K_ARRAY = np.array(_K, dtype=np.uint32)
HAS_SHA = bool(binding.get_host_cpu_features().get("sha", False))

_I32 = ir.IntType(32)
_V4 = ir.VectorType(_I32, 4)


def _lanes(b: Any, x: Any, y: Any, order: list[int]) -> Any:
    return b.shuffle_vector(x, y, ir.Constant(_V4, order))


def _emit_rounds(b: Any, streams: list[tuple[Any, Any]]) -> None:
    """Compress one block per stream; a stream is (pointer to the state, pointer to the block)."""
    module = b.module

    def declare(name: str, arguments: int) -> Any:
        return module.declare_intrinsic(name, (), ir.FunctionType(_V4, [_V4] * arguments))

    rounds = declare("llvm.x86.sha256rnds2", 3)
    schedule1 = declare("llvm.x86.sha256msg1", 2)
    schedule2 = declare("llvm.x86.sha256msg2", 2)
    swap = declare("llvm.bswap.v4i32", 1)

    def quad(pointer: Any, word: int) -> Any:
        return b.bitcast(b.gep(pointer, [ir.Constant(_I32, word)]), _V4.as_pointer())

    abef, cdgh, words = [], [], []
    for state, data in streams:
        first, second = b.load(quad(state, 0), align=4), b.load(quad(state, 4), align=4)
        abef.append(_lanes(b, first, second, [5, 4, 1, 0]))
        cdgh.append(_lanes(b, first, second, [7, 6, 3, 2]))
        words.append([b.call(swap, [b.load(quad(data, 4 * i), align=4)]) for i in range(4)])
    initial = list(zip(abef, cdgh, strict=True))
    for group in range(16):
        constants = ir.Constant(_V4, _K[4 * group : 4 * group + 4])
        for s, w in enumerate(words):
            if group >= 4:
                mixed = b.call(schedule1, [w[0], w[1]])
                mixed = b.add(mixed, _lanes(b, w[2], w[3], [1, 2, 3, 4]))
                w.append(b.call(schedule2, [mixed, w[3]]))
                w.pop(0)
            message = b.add(w[3] if group >= 4 else w[group], constants)
            cdgh[s] = b.call(rounds, [cdgh[s], abef[s], message])
            abef[s] = b.call(rounds, [abef[s], cdgh[s], _lanes(b, message, message, [2, 3, 0, 0])])
    for s, (state, _) in enumerate(streams):
        low, high = b.add(abef[s], initial[s][0]), b.add(cdgh[s], initial[s][1])
        b.store(_lanes(b, low, high, [3, 2, 7, 6]), quad(state, 0), align=4)
        b.store(_lanes(b, low, high, [1, 0, 5, 4]), quad(state, 4), align=4)


def _element(context: Any, b: Any, array_type: Any, array: Any, index: Any) -> Any:
    return b.gep(context.make_array(array_type)(context, b, array).data, [index])


@intrinsic
def _sha_ni(typing_context: Any, states: Any, state: Any, data: Any, block: Any) -> Any:
    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        _emit_rounds(
            b, [(_element(context, b, kinds[0], *args[:2]), _element(context, b, kinds[2], *args[2:]))]
        )
        return context.get_dummy_value()

    return types.void(states, types.int64, data, types.int64), codegen


@intrinsic
def _sha_ni2(
    typing_context: Any, states: Any, state0: Any, state1: Any, data: Any, block0: Any, block1: Any
) -> Any:
    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        streams = [
            (
                _element(context, b, kinds[0], args[0], args[1 + s]),
                _element(context, b, kinds[3], args[3], args[4 + s]),
            )
            for s in (0, 1)
        ]
        _emit_rounds(b, streams)
        return context.get_dummy_value()

    index = types.int64
    return types.void(states, index, index, data, index, index), codegen


@njit(cache=True)
def byte_swap(x: Any) -> Any:
    """Reverse the bytes of a uint32."""
    x = np.uint32(x)
    swapped = ((x & np.uint32(0xFF00FF)) << np.uint32(8)) | ((x >> np.uint32(8)) & np.uint32(0xFF00FF))
    return np.uint32((swapped << np.uint32(16)) | (np.uint32(swapped) >> np.uint32(16)))


@njit(cache=True)
def _rotate(x: Any, n: int) -> Any:
    return np.uint32((x >> np.uint32(n)) | np.uint32(x << np.uint32(32 - n)))


@njit(cache=True)
def compress_portable(states: Any, state: int, data: Any, block: int) -> None:
    """One compression in plain code: flat arrays, index of the state's and of the block's first word."""
    w = np.empty(64, dtype=np.uint32)
    for i in range(16):
        w[i] = byte_swap(data[block + i])
    for i in range(16, 64):
        s0 = _rotate(w[i - 15], 7) ^ _rotate(w[i - 15], 18) ^ (w[i - 15] >> np.uint32(3))
        s1 = _rotate(w[i - 2], 17) ^ _rotate(w[i - 2], 19) ^ (w[i - 2] >> np.uint32(10))
        w[i] = np.uint32(w[i - 16] + s0 + w[i - 7] + s1)
    a, b, c, d = states[state], states[state + 1], states[state + 2], states[state + 3]
    e, f, g, h = states[state + 4], states[state + 5], states[state + 6], states[state + 7]
    for i in range(64):
        s1 = _rotate(e, 6) ^ _rotate(e, 11) ^ _rotate(e, 25)
        t1 = np.uint32(h + s1 + ((e & f) ^ (~e & g)) + _K_ARRAY[i] + w[i])
        s0 = _rotate(a, 2) ^ _rotate(a, 13) ^ _rotate(a, 22)
        t2 = np.uint32(s0 + ((a & b) ^ (a & c) ^ (b & c)))
        h, g, f, e, d, c, b, a = g, f, e, np.uint32(d + t1), c, b, a, np.uint32(t1 + t2)
    for i, word in enumerate((a, b, c, d, e, f, g, h)):
        states[state + i] = np.uint32(states[state + i] + word)


@njit(cache=True)
def _compress_ni(states: Any, state: int, data: Any, block: int) -> None:
    _sha_ni(states, state, data, block)


@njit(cache=True)
def _compress_ni2(states: Any, state0: int, state1: int, data: Any, block0: int, block1: int) -> None:
    _sha_ni2(states, state0, state1, data, block0, block1)


@njit(cache=True)
def _compress_portable2(states: Any, state0: int, state1: int, data: Any, block0: int, block1: int) -> None:
    compress_portable(states, state0, data, block0)
    compress_portable(states, state1, data, block1)


compress = _compress_ni if HAS_SHA else compress_portable
compress2 = _compress_ni2 if HAS_SHA else _compress_portable2


def midstate(header: bytes) -> np.ndarray:
    """The state after the 64-byte block `header`."""
    if len(header) != 64:
        raise ValueError(f"a header is one 64-byte block, got {len(header)} bytes")
    state = IV.copy()
    compress(state, 0, np.frombuffer(header, dtype=np.uint32).copy(), 0)
    return state
