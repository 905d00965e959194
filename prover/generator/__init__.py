"""Import and installation of picture generators (torch lives here, never in the verifier)."""
