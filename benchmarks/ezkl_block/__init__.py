"""The largest transformer block that EZKL proves within limits, and the same block proven here."""
