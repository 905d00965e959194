"""Readers of checkpoint files; `huref.prover.checkpoint.checkpoint` picks one."""
