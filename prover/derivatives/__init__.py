"""Models made from a model: exact function-preserving rewrites, and derivatives that change it a little.

Tests and benchmarks use them to see what a fingerprint survives (fingerprint §6). This is the one part
of the prover that needs `transformers` (the `dev` extra), for a rewrite counts only when a real forward
pass gives the same outputs.
"""
