"""What each system really proves and hides: the column without which the seconds mean little."""

from __future__ import annotations

from benchmarks.head_to_head.huref_tool import KNOBS
from huref.prover.owner import DEFAULT_PROOFS

_CURVE = (
    "about 100 bits conjectured: pairings on BN254 in the algebraic group model, and with EZKL a random oracle; "
    "not post-quantum"
)
_EZKL_COMMITMENT = "KZG, binding; serves every circuit with the same reference string and number of rows"
_EZKL_HIDING = (
    "the rest of the circuit is blinded, the committed columns are not: the same weights give the same "
    "commitment, so a guess of the weights can be tested against it"
)
_EZKL_SETUP = (
    "universal reference string (made locally here: insecure, for measuring only) and keys per circuit"
)
_RANGE = "yes, to 8 bits, and no integer can wrap mod p"

CLAIMS: dict[str, dict[str, str]] = {
    "ezkl-lean": {
        "proves": "outputs are the exact terms of committed field elements; products by Freivalds' check",
        "weights in range": "no: weights and outputs are any residues mod a 254-bit prime",
        "commitment": _EZKL_COMMITMENT,
        "hides": _EZKL_HIDING,
        "trusted setup": _EZKL_SETUP,
        "security": _CURVE,
    },
    "ezkl-defaults": {
        "proves": "outputs are the terms of committed numbers, rescaled to 7 fractional bits after every product",
        "weights in range": "to 28 bits and a sign (two digits of base 2^14), not to 8",
        "commitment": _EZKL_COMMITMENT,
        "hides": _EZKL_HIDING,
        "trusted setup": _EZKL_SETUP,
        "security": _CURVE,
    },
    "groth16": {
        "proves": "the prover knows field elements with these exact pooled terms",
        "weights in range": "no: weights are any residues mod a 254-bit prime",
        "commitment": "none: every proof may be about other weights",
        "hides": "perfectly zero-knowledge",
        "trusted setup": "per circuit; one party made it here, who could forge proofs",
        "security": _CURVE,
    },
    "huref": {
        "proves": "outputs are the terms of committed integers, rounded after every product by a proven shift",
        "weights in range": _RANGE,
        "commitment": f"hash-based, binding; serves as many proofs of programs on these weights as it is made for: "
        f"{KNOBS.proofs} here, {DEFAULT_PROOFS} by default",
        "hides": "statistically zero-knowledge with a random oracle; the commitment is salted and randomized",
        "trusted setup": "none, and no keys",
        "security": "100 bits provable with a random oracle, no conjecture on codes; plausibly post-quantum",
    },
    "huref-minilm": {
        "proves": "the whole fingerprint of a real checkpoint: six sketched 4096 × 4096 terms, 512 outputs",
        "weights in range": _RANGE,
        "commitment": "as huref",
        "hides": "as huref",
        "trusted setup": "none, and no keys",
        "security": "as huref",
    },
}
