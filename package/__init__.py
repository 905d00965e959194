"""Human-readable fingerprints of large language models, with zero-knowledge proofs.

`huref.verifier` checks bundles and needs the base install only; `huref.prover` makes them. In the repository the
sub-packages are the top-level folders common, circuits, verifier and prover; setup.py puts them here.
"""
