"""The fast executor: the same trace, bit for bit, as circuits/inference/evaluate.py, with compiled products.

Products with weights are int16 × int8 → int32, exact below 2^31; products per head run in float64, exact below 2^53.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from huref.circuits.inference.evaluate import Evaluator, Ints, Weights
from huref.circuits.inference.plain_sites import Rotate
from huref.circuits.inference.sites import InferenceProgram, Low, Write
from huref.circuits.inference.tables import block_signs
from huref.circuits.inference.trace import InferenceTrace
from huref.circuits.program.rotation import rotation
from huref.prover.kernels.integers.integer_gemm import product
from huref.prover.kernels.integers.row_sums import row_sums


def execute_inference(program: InferenceProgram, weights: Weights, ids: Sequence[int]) -> InferenceTrace:
    """Arguments, result and errors as `huref.circuits.inference.evaluate.run_inference`."""
    return FastEvaluator(program, weights, ids).run()


class FastEvaluator(Evaluator):
    """Replaces the products."""

    def product(self, name: str, left: Ints, right: NDArray[np.int8]) -> Ints:
        return product(left.astype(np.int16), right).astype(np.int64)

    def head_products(self, left: Ints, right: Ints) -> Ints:
        return np.matmul(left.astype(np.float64), right.astype(np.float64)).astype(np.int64)

    def mixed(self, blocks: Ints) -> Ints:
        return np.asarray(self.head_products(blocks, block_signs(blocks.shape[1])))

    def rotated(self, site: Rotate) -> Ints:
        matrix = rotation(site.cols, site.bits).astype(np.float64)
        found = self.value(site.source).astype(np.float64) @ (matrix.T if site.back else matrix)
        return found.astype(np.int64)

    def written(self, site: Low | Write, part: Ints) -> Ints:
        tensor = self.weights[site.tensor]
        out = row_sums(part.astype(np.int16), tensor).astype(np.int64)
        for row, by in site.weight:
            out += (((1 << by) - 1) * part[:, row])[:, None] * tensor[row].astype(np.int64)
        return out
