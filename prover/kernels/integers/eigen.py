"""Compiled dense factorizations of small symmetric matrices: IEEE operations in a fixed order, row by row.

Cholesky with pivoting, and eigenvectors by Householder reflections to a tridiagonal matrix and implicit QL
steps (Golub and Van Loan, Matrix Computations, §4.2.8 and §8.3). Only +, −, ·, / and square roots; the
interpreted functions (`.py_func`) give the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from huref.prover.kernels.jit import helper, kernel

_EPSILON = 2.0**-52
_QL_STEPS = 60  # per eigenvalue; two are usual


@helper
def _subtract(row: Any, factor: float, other: Any) -> None:
    for i in range(len(row)):
        row[i] -= factor * other[i]


@kernel
def cholesky(gram: Any, tolerance: float, factor: Any, inverse: Any) -> int:
    """Fill `factor` Fᵀ and `inverse` T (n × n) with gram = F·Fᵀ and Fᵀ = T·gram; returns the rank r.

    The pivot is the largest remaining diagonal entry; rows from r on are zero, r being reached when that
    entry is at most `tolerance` times the largest of `gram`.
    """
    n = len(gram)
    left = np.empty(n)
    largest = 0.0
    for i in range(n):
        left[i] = gram[i, i]
        largest = left[i] if left[i] > largest else largest
    for i in range(n):
        for j in range(n):
            factor[i, j] = inverse[i, j] = 0.0
    for k in range(n):
        pivot = 0
        for i in range(n):
            if left[i] > left[pivot]:
                pivot = i
        if not left[pivot] > tolerance * largest:
            return k
        for i in range(n):
            factor[k, i] = gram[pivot, i]
        inverse[k, pivot] = 1.0
        for j in range(k):
            share = factor[j, pivot]
            _subtract(factor[k], share, factor[j])
            _subtract(inverse[k], share, inverse[j])
        root = np.sqrt(left[pivot])
        for i in range(n):
            factor[k, i] /= root
            inverse[k, i] /= root
            left[i] -= factor[k, i] * factor[k, i]
        left[pivot] = 0.0
    return n


@helper
def _tridiagonal(matrix: Any, rows: Any, diagonal: Any, beside: Any) -> None:
    """matrix = rowsᵀ·tridiagonal·rows by Householder reflections; destroys `matrix`, `rows` starts as the identity."""
    n = len(matrix)
    v, w = np.empty(n), np.empty(n)
    for k in range(n - 1):
        diagonal[k] = matrix[k, k]
        rest = 0.0
        for i in range(k + 2, n):
            rest += matrix[k, i] * matrix[k, i]
        first = matrix[k, k + 1]
        if rest == 0.0:
            beside[k] = first
            continue
        norm = np.sqrt(first * first + rest)
        beside[k] = -norm if first > 0.0 else norm
        for i in range(n):
            v[i] = matrix[k, i] if i > k else 0.0
            w[i] = 0.0
        v[k + 1] = first - beside[k]
        beta = 2.0 / (v[k + 1] * v[k + 1] + rest)
        for i in range(k + 1, n):
            _subtract(w, -beta * v[i], matrix[i])
        along = 0.0
        for i in range(k + 1, n):
            along += w[i] * v[i]
        _subtract(w, 0.5 * beta * along, v)
        for i in range(k + 1, n):
            _subtract(matrix[i], v[i], w)
            _subtract(matrix[i], w[i], v)
        for i in range(n):
            w[i] = 0.0
        for i in range(k + 1, n):
            _subtract(w, -beta * v[i], rows[i])
        for i in range(k + 1, n):
            _subtract(rows[i], v[i], w)
    diagonal[n - 1] = matrix[n - 1, n - 1]
    beside[n - 1] = 0.0


@helper
def _rotate(low: Any, high: Any, cosine: float, sine: float) -> None:
    for i in range(len(low)):
        a, b = low[i], high[i]
        low[i] = cosine * a - sine * b
        high[i] = sine * a + cosine * b


@helper
def _ql_step(diagonal: Any, beside: Any, rows: Any, first: int, last: int) -> None:
    """One implicit QL step on the unreduced block first…last, with Wilkinson's shift."""
    g = (diagonal[first + 1] - diagonal[first]) / (2.0 * beside[first])
    r = np.sqrt(g * g + 1.0)
    g = diagonal[last] - diagonal[first] + beside[first] / (g + (r if g >= 0.0 else -r))
    sine, cosine, shift = 1.0, 1.0, 0.0
    for i in range(last - 1, first - 1, -1):
        f, b = sine * beside[i], cosine * beside[i]
        r = np.sqrt(f * f + g * g)
        beside[i + 1] = r
        if r == 0.0:
            diagonal[i + 1] -= shift
            beside[last] = 0.0
            return
        sine, cosine = f / r, g / r
        g = diagonal[i + 1] - shift
        r = (diagonal[i] - g) * sine + 2.0 * cosine * b
        shift = sine * r
        diagonal[i + 1] = g + shift
        g = cosine * r - b
        _rotate(rows[i], rows[i + 1], cosine, sine)
    diagonal[first] -= shift
    beside[first] = g
    beside[last] = 0.0


@kernel
def symmetric_eigen(matrix: Any, values: Any, rows: Any) -> None:
    """Fill `values` (n,), descending, and `rows` (n × n), eigenvectors, of a symmetric matrix; destroys it."""
    n = len(matrix)
    beside = np.empty(n)
    for i in range(n):
        for j in range(n):
            rows[i, j] = 1.0 if i == j else 0.0
    _tridiagonal(matrix, rows, values, beside)
    noise = 0.0
    for i in range(n):
        size = _EPSILON * (abs(values[i]) + abs(beside[i]))
        noise = size if size > noise else noise
    for first in range(n):
        for _ in range(_QL_STEPS):
            last = first
            while last < n - 1 and abs(beside[last]) > noise:
                last += 1
            if last == first:
                break
            _ql_step(values, beside, rows, first, last)
    for i in range(n):
        best = i
        for j in range(i + 1, n):
            if values[j] > values[best]:
                best = j
        if best != i:
            values[i], values[best] = values[best], values[i]
            for j in range(n):
                rows[i, j], rows[best, j] = rows[best, j], rows[i, j]
