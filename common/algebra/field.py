"""Base field F = Z_p, p = 15*2^27 + 1, and challenge field K = F[X]/(X^5 - 2) in numpy (protocol §1).

F arrays are `np.uint64` of any shape, every entry canonical in [0, p). K arrays are `np.uint64` of shape
(..., 5): limb l is the coefficient of X^l. Functions expect canonical input and return canonical output;
only `to_field` and the `decode_*` functions check or reduce. The prover's compiled kernels
(`prover/kernels/field/field.py`) must agree with this module entry for entry.

Products of two canonical entries stay below p^2 < 2^61.82, so up to four of them fit an unsigned 64-bit
word; larger sums are reduced on the way. Long inner products go through float64 matrix products of 16-bit
digits, which are exact because every partial sum stays below 2^53.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from huref.common.errors import Malformed

P = 15 * 2**27 + 1
GENERATOR = 31
TWO_ADICITY = 27
DEGREE = 5
W = 2
F_BYTES = 4
K_BYTES = DEGREE * F_BYTES

FArray = npt.NDArray[np.uint64]
KArray = npt.NDArray[np.uint64]
IntArray = npt.NDArray[Any]

_P = np.uint64(P)
_HALF = np.uint64((P - 1) // 2)
_DIGIT = np.uint64(0xFFFF)
_FEW = 1 << 10  # limbs up to which products of few elements are made at once
_MANY = 1 << 12  # entries from which a remainder is made in three steps
_BLOCK = 1 << 15  # entries of an outer product that one matrix product gives
_CHUNK = 1 << 20  # 2^21 products of two 16-bit digits sum to at most 2^53
_SHIFT, _HIGH = np.uint64(16), np.uint64((1 << 32) % P)
# FROBENIUS[t][i]: X^i to the power p^t is FROBENIUS[t][i] * X^i, because X^p = 2^((p-1)/5) X
FROBENIUS = [[pow(W, i * t * ((P - 1) // DEGREE), P) for i in range(DEGREE)] for t in range(DEGREE)]


def reduce(x: npt.NDArray[np.uint64]) -> FArray:
    """x mod p for any unsigned 64-bit entries."""
    if x.size < _MANY:
        return x % _P
    multiple = x // _P  # unlike remainders, quotients by one number are vectorized
    multiple *= _P
    return np.subtract(x, multiple, out=multiple)


def to_field(values: npt.ArrayLike) -> FArray:
    """Embed integers, signed or not, as residues mod p; `|values|` below 2^63 (or unsigned 64-bit)."""
    array = np.asarray(values)
    if array.dtype.kind == "u":
        return reduce(array.astype(np.uint64))
    if array.dtype.kind != "i" and array.size:
        raise TypeError(f"to_field expects integers, got {array.dtype}")
    return np.mod(array.astype(np.int64), np.int64(P)).astype(np.uint64)


def to_signed(f: FArray) -> npt.NDArray[np.int64]:
    """The centred representatives in [-(p-1)/2, (p-1)/2], as int64."""
    signed = f.astype(np.int64)
    signed -= np.where(f > _HALF, np.int64(P), np.int64(0))
    return signed


def fadd(a: FArray, b: FArray) -> FArray:
    """a + b in F (also limb-wise in K), with broadcasting."""
    total = np.asarray(a + b)
    return total - _P * (total >= _P)


def fsub(a: FArray, b: FArray) -> FArray:
    """a - b in F (also limb-wise in K), with broadcasting."""
    total = np.asarray(a + (_P - b))
    return total - _P * (total >= _P)


def fneg(a: FArray) -> FArray:
    """-a in F (also limb-wise in K)."""
    return (_P - a) * (a != 0)


def fmul(a: FArray, b: FArray | np.uint64) -> FArray:
    """a * b in F, with broadcasting."""
    return reduce(np.asarray(a * b))


def fpow(a: FArray, exponent: int) -> FArray:
    """a^exponent in F, entry-wise; negative exponents invert (zero then raises ZeroDivisionError)."""
    if exponent < 0:
        return fpow(finv(a), -exponent)
    result = np.ones_like(np.asarray(a, dtype=np.uint64))
    base = np.asarray(a, dtype=np.uint64)
    while exponent:
        if exponent & 1:
            result = fmul(result, base)
        exponent >>= 1
        if exponent:
            base = fmul(base, base)
    return result


def finv(a: FArray) -> FArray:
    """1/a entry-wise: a tree of pairwise products and one inversion. ZeroDivisionError if any entry is 0."""
    array = np.asarray(a, dtype=np.uint64)
    if np.any(array == 0):
        raise ZeroDivisionError("inverse of zero in F")
    return _inverse_tree(array.reshape(-1)).reshape(array.shape)


def _inverse_tree(flat: FArray) -> FArray:
    if flat.size <= 1:
        return np.array([pow(int(x), P - 2, P) for x in flat], dtype=np.uint64)
    half = flat.size // 2
    low, high = flat[:half], flat[half : 2 * half]
    inner = fmul(low, high)
    if flat.size % 2:
        inner = np.append(inner, flat[-1])
    inverse = _inverse_tree(inner)
    out = np.empty_like(flat)
    out[:half] = fmul(inverse[:half], high)
    out[half : 2 * half] = fmul(inverse[:half], low)
    if flat.size % 2:
        out[-1] = inverse[-1]
    return out


def fpowers(x: int, n: int) -> FArray:
    """[1, x, x^2, ..., x^(n-1)] by doubling."""
    out = np.ones(n, dtype=np.uint64)
    filled, step = 1, x % P
    while filled < n:
        take = min(filled, n - filled)
        out[filled : filled + take] = fmul(out[:take], np.uint64(step))
        filled += take
        step = step * step % P
    return out


def root_of_unity(log_n: int) -> int:
    """The fixed primitive 2^log_n-th root of unity, GENERATOR^((p-1)/2^log_n); 0 <= log_n <= 27."""
    if not 0 <= log_n <= TWO_ADICITY:
        raise ValueError(f"log_n must be in [0, {TWO_ADICITY}], got {log_n}")
    return pow(GENERATOR, (P - 1) >> log_n, P)


# K


def embed(f: FArray) -> KArray:
    """F array of any shape as K array of shape (..., 5)."""
    array = np.asarray(f, dtype=np.uint64)
    out = np.zeros((*array.shape, DEGREE), dtype=np.uint64)
    out[..., 0] = array
    return out


def kzero(shape: int | tuple[int, ...] = ()) -> KArray:
    """Zeros of K."""
    return embed(np.zeros(shape, dtype=np.uint64))


def kone(shape: int | tuple[int, ...] = ()) -> KArray:
    """Ones of K."""
    return embed(np.ones(shape, dtype=np.uint64))


kadd, ksub, kneg = fadd, fsub, fneg


_LIMB = np.arange(DEGREE)
_OTHER = (_LIMB[:, None] - _LIMB) % DEGREE  # by limb and i: the j with i + j = limb mod 5
_PRODUCTS = _LIMB * DEGREE + _OTHER  # where these limbs meet
_TIMES = np.where(_LIMB[:, None] < _LIMB, np.uint64(W), np.uint64(1))  # X^5 = W


def _gathered(products: FArray) -> KArray:
    """The elements of K whose limbs' products these are: (..., 25) to (..., 5)."""
    return reduce((products[..., _PRODUCTS] * _TIMES).sum(axis=-1))


def kmul(a: KArray, b: KArray) -> KArray:
    """a * b in K, with broadcasting over the leading axes."""
    if max(a.size, b.size) < _FEW and (a.shape == b.shape or min(a.size, b.size) == DEGREE):
        # calls take longer than products
        products = fmul(a[..., :, None], b[..., None, :])
        return _gathered(products.reshape(*products.shape[:-2], DEGREE * DEGREE))
    out = np.empty(np.broadcast_shapes(a.shape, b.shape), dtype=np.uint64)
    left = [a[..., i] for i in range(DEGREE)]
    right = [b[..., i] for i in range(DEGREE)]
    for limb in range(DEGREE):
        low = left[0] * right[limb]
        for i in range(1, min(limb, 3) + 1):
            low = low + left[i] * right[limb - i]
        low = reduce(np.asarray(low))
        if limb == 4:  # a fifth product would overflow 64 bits
            low = low + left[4] * right[0]
        else:
            high = left[limb + 1] * right[4]
            for i in range(limb + 2, DEGREE):
                high = high + left[i] * right[limb + DEGREE - i]
            low = low + np.uint64(W) * reduce(np.asarray(high))
        out[..., limb] = reduce(np.asarray(low))
    return out


def kscale(k: KArray, f: FArray) -> KArray:
    """k * f for k in K (..., 5) and f in F (...), with broadcasting."""
    return fmul(k, np.asarray(f, dtype=np.uint64)[..., None])


def kpow(a: KArray, exponent: int) -> KArray:
    """a^exponent in K, entry-wise; negative exponents invert."""
    if exponent < 0:
        return kpow(kinv(a), -exponent)
    result = kone(a.shape[:-1])
    base = a
    while exponent:
        if exponent & 1:
            result = kmul(result, base)
        exponent >>= 1
        if exponent:
            base = kmul(base, base)
    return result


def frobenius(a: KArray, times: int = 1) -> KArray:
    """a^(p^times), a limb-wise scaling."""
    return fmul(a, np.array(FROBENIUS[times % DEGREE], dtype=np.uint64))


def kinv(a: KArray) -> KArray:
    """1/a in K: the conjugates' product over the norm; norms share one inversion. ZeroDivisionError at 0."""
    pair = kmul(frobenius(a, 1), frobenius(a, 2))
    conjugates = kmul(pair, frobenius(pair, 2))  # a^(p+p^2+p^3+p^4)
    norm = kmul(a, conjugates)[..., 0]
    return kscale(conjugates, finv(norm))


def kpowers(x: KArray, n: int) -> KArray:
    """[1, x, ..., x^(n-1)], shape (n, 5), for one element x of shape (5,)."""
    out = kone(n)
    filled, step = 1, np.asarray(x, dtype=np.uint64)
    while filled < n:
        take = min(filled, n - filled)
        out[filled : filled + take] = kmul(out[:take], step)
        filled += take
        step = kmul(step, step)
    return out


def ksum(a: KArray) -> KArray:
    """Sum over the leading axis (also fine for F arrays); up to 2^32 terms."""
    return reduce(np.asarray(a.sum(axis=0, dtype=np.uint64)))


def kouter(a: KArray, b: KArray) -> KArray:
    """All products a_i b_j: (m, 5) and (n, 5) to (m, n, 5)."""
    if len(a) * len(b) * DEGREE < _FEW:
        products = fmul(a[:, None, :, None], b[None, :, None, :])
        return _gathered(products.reshape(len(a), len(b), DEGREE * DEGREE))
    shifted = (b[:, _OTHER.T] * _TIMES.T).astype(np.float64)  # b_j X^i, limbs below 2^32
    right = np.ascontiguousarray(shifted.swapaxes(0, 1)).reshape(DEGREE, -1)
    out = np.empty((len(a), DEGREE * len(b)), dtype=np.uint64)
    step = max(1, _BLOCK // len(b))
    for top in range(0, len(a), step):
        # five products below 2^48 each: exact
        low, high = (digit @ right for digit in _digits(a[top : top + step]))
        out[top : top + step] = reduce(_whole(low) + (reduce(_whole(high)) << _SHIFT))
    return out.reshape(len(a), len(b), DEGREE)


# Long inner products


def _digits(array: npt.NDArray[Any]) -> list[npt.NDArray[np.float64]]:
    """float64 digits d_0, d_1 with array = d_0 + 2^16 d_1; one digit for 8- and 16-bit integers."""
    if array.dtype.itemsize <= 2:
        return [array.astype(np.float64)]
    if array.dtype.kind == "i":
        array = to_field(array)
    return [(array & _DIGIT).astype(np.float64), (array >> np.uint64(16)).astype(np.float64)]


def _whole(exact: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    return exact.astype(np.int64).view(np.uint64)


def _residues(exact: npt.NDArray[np.float64]) -> FArray:
    return np.mod(exact.astype(np.int64), np.int64(P)).astype(np.uint64)


def fdot(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> FArray:
    """The matrix product a @ b in F: (m, n) with (n, r) to (m, r), exact.

    Entries are canonical uint64 or small signed integers (int8, int16: one digit; int32, int64: any).
    """
    out = np.zeros((a.shape[0], b.shape[1]), dtype=np.uint64)
    for start in range(0, a.shape[1], _CHUNK):
        stop = start + _CHUNK
        right = _digits(b[start:stop])
        rows = max(1, (1 << 24) // max(1, min(_CHUNK, a.shape[1] - start)))
        for top in range(0, a.shape[0], rows):
            found = reduce(_by_digits(_digits(a[top : top + rows, start:stop]), right))
            out[top : top + rows] = found if start == 0 else fadd(out[top : top + rows], found)
    return out


def _by_digits(left: list[npt.NDArray[np.float64]], right: list[npt.NDArray[np.float64]]) -> FArray:
    """Sums of products of numbers in digits of 16 bits, below 2^64."""
    total = _residues(left[0] @ right[0])
    if len(left) == len(right) == 2:
        middle = _residues(left[0] @ right[1] + left[1] @ right[0])
        return total + (middle << _SHIFT) + (_residues(left[1] @ right[1]) * _HIGH % _P)
    if len(left) == 2:
        return total + (_residues(left[1] @ right[0]) << _SHIFT)
    if len(right) == 2:
        return total + (_residues(left[0] @ right[1]) << _SHIFT)
    return total


def kdot(a: KArray, b: KArray) -> KArray:
    """Sum of a_i b_i over the leading axis: (n, 5), (n, 5) to (5,)."""
    return kfold(a[None], b)[0]


def kfold(matrix: KArray, vector: KArray) -> KArray:
    """K matrix (m, n, 5) times K vector (n, 5), giving (m, 5)."""
    rows = np.ascontiguousarray(matrix.swapaxes(1, 2)).reshape(-1, matrix.shape[1])
    gram = fdot(rows, vector).reshape(len(matrix), DEGREE * DEGREE)
    return _gathered(gram)


def kmatvec(matrix: IntArray, vector: KArray) -> KArray:
    """F (or small-integer) matrix (m, n) times K vector (n, 5), giving (m, 5)."""
    return fdot(matrix, vector)


def kvecmat(vector: KArray, matrix: IntArray) -> KArray:
    """K vector (m, 5) times F (or small-integer) matrix (m, n), giving (n, 5)."""
    return np.ascontiguousarray(fdot(np.ascontiguousarray(vector.T), matrix).T)


# Canonical bytes: 4 little-endian bytes per base element


def encode_f(f: FArray) -> bytes:
    """Canonical bytes of an F array in C order (K arrays: limb 0 first)."""
    return np.ascontiguousarray(f).astype("<u4").tobytes()


def decode_f(data: bytes, count: int) -> FArray:
    """Exactly `count` elements of F, shape (count,). Malformed on a wrong length or a value >= p."""
    if count < 0 or len(data) != count * F_BYTES:
        raise Malformed(f"expected {count * F_BYTES} bytes of field elements, got {len(data)}")
    values = np.frombuffer(data, dtype="<u4").astype(np.uint64)
    if values.size and int(values.max()) >= P:
        raise Malformed(f"non-canonical field element at index {int(np.argmax(values >= _P))}")
    return values


encode_k = encode_f


def decode_k(data: bytes, count: int) -> KArray:
    """Exactly `count` elements of K, shape (count, 5). Malformed as `decode_f`."""
    return decode_f(data, count * DEGREE).reshape(count, DEGREE)
