"""Writes field.json: products, inverses and transforms computed by the `galois` library, our outside oracle.

Run from the repository root: python tests/vectors/make_field_vectors.py
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import galois
import numpy as np

P = 2013265921
EDGES = [0, 1, 2, P - 1, P - 2, (P - 1) // 2, (P + 1) // 2, 1 << 30, 31]


def main() -> None:
    """Recompute every vector from a fixed random seed."""
    rng = random.Random(2013265921)
    base = galois.GF(P, primitive_element=31, verify=False)
    modulus = galois.Poly([1, 0, 0, 0, 0, -2 % P], field=base)
    extension = galois.GF(P, 5, irreducible_poly=modulus, primitive_element="x", verify=False)

    left = EDGES + [rng.randrange(P) for _ in range(23)]
    right = EDGES[::-1] + [rng.randrange(P) for _ in range(23)]
    a, b = base(left), base(right)
    inverses = [0 if x == 0 else int(base(1) / base(x)) for x in left]

    def element(limbs: list[int]) -> galois.FieldArray:
        return extension(sum(limb * P**i for i, limb in enumerate(limbs)))

    def limbs_of(x: galois.FieldArray) -> list[int]:
        return [int(x) // P**i % P for i in range(5)]

    products = []
    for _ in range(24):
        x = [rng.choice([rng.randrange(P), rng.choice(EDGES)]) for _ in range(5)]
        y = [rng.choice([rng.randrange(P), rng.choice(EDGES)]) for _ in range(5)]
        x[0] = x[0] or 1
        product, inverse = element(x) * element(y), element([1, 0, 0, 0, 0]) / element(x)
        products.append({"x": x, "y": y, "product": limbs_of(product), "inverse_x": limbs_of(inverse)})

    transforms = []
    for size in (1, 2, 4, 8, 64):
        values = [rng.randrange(P) for _ in range(size)]
        root = pow(31, (P - 1) // size, P)
        evaluations = galois.Poly(values[::-1], field=base)(base([pow(root, e, P) for e in range(size)]))
        transforms.append({"root": root, "coefficients": values, "values": [int(v) for v in evaluations]})

    content = {
        "modulus": P,
        "oracle": f"galois {galois.__version__}",
        "x5_minus_2_irreducible": bool(modulus.is_irreducible()),
        "base": {
            "a": left,
            "b": right,
            "sum": np.asarray(a + b).tolist(),
            "difference": np.asarray(a - b).tolist(),
            "product": np.asarray(a * b).tolist(),
            "inverse_a": inverses,
        },
        "extension": products,
        "transforms": transforms,
    }
    Path(__file__).with_name("field.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
