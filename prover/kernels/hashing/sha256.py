"""SHA-256 compression for kernels: the processor's SHA instructions where present, plain code elsewhere.

States are eight `uint32` words; message blocks are 16 `uint32` words as they lie in memory (little-endian
machine, so the big-endian words of the standard are swapped on load). `compress8` takes eight neighbouring
states and blocks: with SHA instructions as four pairs of interleaved streams, which hides their latency,
otherwise as eight lanes of one vector. All paths must equal `hashlib`.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba import types

from huref.prover.kernels.field.simd import intrinsic
from huref.prover.kernels.jit import helper, kernel

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
ROUND_CONSTANTS = np.array(_K, dtype=np.uint32)
HAS_SHA = bool(binding.get_host_cpu_features().get("sha", False))

_I32 = ir.IntType(32)
_V4 = ir.VectorType(_I32, 4)
_V8 = ir.VectorType(_I32, 8)


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


def _transpose(b: Any, rows: list[Any]) -> list[Any]:
    """The columns of eight vectors of eight lanes, in three rounds of two-input shuffles."""

    def mix(x: Any, y: Any, order: list[int]) -> Any:
        return b.shuffle_vector(x, y, ir.Constant(_V8, order))

    ones = [
        mix(rows[i], rows[i + 1], order)
        for i in range(0, 8, 2)
        for order in ([0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15])
    ]
    twos = [
        mix(ones[half + i], ones[half + i + 2], order)
        for half in (0, 4)
        for i in (0, 1)
        for order in ([0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15])
    ]
    return [
        mix(twos[i], twos[i + 4], order)
        for order in ([0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15])
        for i in range(4)
    ]


def _emit_lanes(b: Any, state: Any, block: Any, stride: Any) -> None:
    """Compress eight blocks, `stride` words apart, into eight neighbouring states, one per vector lane."""
    swap = b.module.declare_intrinsic("llvm.bswap.v8i32", (), ir.FunctionType(_V8, [_V8]))

    def splat(value: int) -> ir.Constant:
        return ir.Constant(_V8, [value] * 8)

    def rotate(x: Any, n: int) -> Any:
        return b.or_(b.lshr(x, splat(n)), b.shl(x, splat(32 - n)))

    def mixed(x: Any, first: int, second: int, third: Any) -> Any:
        return b.xor(b.xor(rotate(x, first), rotate(x, second)), third)

    def total(*terms: Any) -> Any:
        result = terms[0]
        for term in terms[1:]:
            result = b.add(result, term)
        return result

    places = [b.bitcast(b.gep(state, [ir.Constant(_I32, 8 * i)]), _V8.as_pointer()) for i in range(8)]
    words: list[Any] = []
    for half in (0, 8):
        rows = []
        for lane in range(8):
            offset = b.add(b.mul(stride, stride.type(lane)), stride.type(half))
            pointer = b.bitcast(b.gep(block, [offset]), _V8.as_pointer())
            rows.append(b.call(swap, [b.load(pointer, align=4)]))
        words += _transpose(b, rows)
    initial = _transpose(b, [b.load(place, align=4) for place in places])
    a, bb, c, d, e, f, g, h = initial
    for i in range(64):
        if i >= 16:
            s0 = mixed(words[1], 7, 18, b.lshr(words[1], splat(3)))
            s1 = mixed(words[14], 17, 19, b.lshr(words[14], splat(10)))
            words.append(total(words[0], s0, words[9], s1))
            words.pop(0)
        word = words[15] if i >= 16 else words[i]
        choice = b.xor(g, b.and_(e, b.xor(f, g)))
        majority = b.or_(b.and_(a, bb), b.and_(c, b.or_(a, bb)))
        t1 = total(h, mixed(e, 6, 11, rotate(e, 25)), choice, b.add(word, splat(_K[i])))
        t2 = b.add(mixed(a, 2, 13, rotate(a, 22)), majority)
        h, g, f, e, d, c, bb, a = g, f, e, b.add(d, t1), c, bb, a, b.add(t1, t2)
    final = [b.add(x, y) for x, y in zip((a, bb, c, d, e, f, g, h), initial, strict=True)]
    for place, row in zip(places, _transpose(b, final), strict=True):
        b.store(row, place, align=4)


@intrinsic
def _sha_lanes(typing_context: Any, states: Any, state: Any, data: Any, block: Any, stride: Any) -> Any:
    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        first = _element(context, b, kinds[0], args[0], args[1])
        _emit_lanes(b, first, _element(context, b, kinds[2], args[2], args[3]), args[4])
        return context.get_dummy_value()

    index = types.int64
    return types.void(states, index, data, index, index), codegen


@helper
def byte_swap(x: Any) -> Any:
    """Reverse the bytes of a uint32."""
    x = np.uint32(x)
    swapped = ((x & np.uint32(0xFF00FF)) << np.uint32(8)) | ((x >> np.uint32(8)) & np.uint32(0xFF00FF))
    return np.uint32((swapped << np.uint32(16)) | (np.uint32(swapped) >> np.uint32(16)))


@helper
def _rotate(x: Any, n: int) -> Any:
    return np.uint32((x >> np.uint32(n)) | np.uint32(x << np.uint32(32 - n)))


@kernel
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
        t1 = np.uint32(h + s1 + ((e & f) ^ (~e & g)) + ROUND_CONSTANTS[i] + w[i])
        s0 = _rotate(a, 2) ^ _rotate(a, 13) ^ _rotate(a, 22)
        t2 = np.uint32(s0 + ((a & b) ^ (a & c) ^ (b & c)))
        h, g, f, e, d, c, b, a = g, f, e, np.uint32(d + t1), c, b, a, np.uint32(t1 + t2)
    for i, word in enumerate((a, b, c, d, e, f, g, h)):
        states[state + i] = np.uint32(states[state + i] + word)


@kernel
def _compress_ni(states: Any, state: int, data: Any, block: int) -> None:
    _sha_ni(states, state, data, block)


@kernel
def _compress8_ni(states: Any, state: int, data: Any, block: int, stride: int) -> None:
    for i in range(0, 8, 2):
        first, second = block + i * stride, block + (i + 1) * stride
        _sha_ni2(states, state + 8 * i, state + 8 * i + 8, data, first, second)


@kernel
def compress8_portable(states: Any, state: int, data: Any, block: int, stride: int) -> None:
    """Eight compressions in vector lanes: states at `state` + 8i, blocks at `block` + i*`stride`."""
    _sha_lanes(states, state, data, block, stride)


compress = _compress_ni if HAS_SHA else compress_portable
compress8 = _compress8_ni if HAS_SHA else compress8_portable


def midstate(header: bytes) -> np.ndarray:
    """The state after the 64-byte block `header`."""
    if len(header) != 64:
        raise ValueError(f"a header is one 64-byte block, got {len(header)} bytes")
    state = IV.copy()
    compress(state, 0, np.frombuffer(header, dtype=np.uint32).copy(), 0)
    return state
