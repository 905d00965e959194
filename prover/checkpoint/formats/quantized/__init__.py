"""Weights stored as small numbers with scales, read back exactly; what cannot be is refused by name."""
