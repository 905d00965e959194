"""A registry of fingerprints: verified on entry, append-only under a signed Merkle log, searched by cosine."""
