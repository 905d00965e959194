"""Readers of checkpoint files; `prover.checkpoint` picks one."""
