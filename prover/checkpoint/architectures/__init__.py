"""How each model family names and stores its tensors: small declarative entries."""
