"""The stored result as Markdown."""

from __future__ import annotations

from typing import Any

NAMES = (
    "block",
    "parameters",
    "prover",
    "rows",
    "setup",
    "prove",
    "verify",
    "proof",
    "keys",
    "peak",
    "error",
)
SETUP = ("settings", "calibrate", "compile", "setup")


def cells(calls: dict[str, dict[str, float]], *stages: str) -> str:
    """Wall seconds of these calls, CPU seconds in brackets; a dash where one is missing."""
    if not set(stages) <= set(calls):
        return "–"
    wall, cpu = (sum(calls[stage][kind] for stage in stages) for kind in ("wall", "cpu"))
    return f"{wall:.1f} s ({cpu:.1f})"


def ezkl_cells(found: dict[str, Any]) -> list[str]:
    """One way that was tried: what it took, or why it did not fit."""
    calls = {name: stage["call"] for name, stage in found["stages"].items() if "call" in stage}
    return [
        f"EZKL, {found['products']}",
        f"2^{found['logrows']}" if "logrows" in found else "–",
        cells(calls, *SETUP),
        cells(calls, "witness", "prove"),
        cells(calls, "verify"),
        f"{found['proof_bytes'] / 1e3:.1f} kB" if "proof_bytes" in found else "–",
        f"{found['proving_key_bytes'] / 1e9:.2f} GB, {found['verification_key_bytes'] / 1e6:.2f} MB"
        if "proving_key_bytes" in found
        else "–",
        f"{found['peak_gb']:.1f} GB",
        found.get("does_not_fit") or f"{found['error_over_output']:.1%}",
    ]


def huref_cells(found: dict[str, Any]) -> list[str]:
    """This project: commitment and range, once per model, stand under setup."""
    calls = {name: call for name, call in found.items() if isinstance(call, dict)}
    sizes = f"{found['proof_bytes'] / 1e3:.0f} kB", "none", f"{found['peak_gb']:.1f} GB"
    times = cells(calls, "commit", "range"), cells(calls, "run", "prove"), cells(calls, "verify")
    return ["huref", "–", *times, *sizes, "–"]


def table(stored: dict[str, Any]) -> str:
    """Per block every way of EZKL's that was tried, and this project beneath."""
    lines = [list(NAMES), ["---"] * len(NAMES)]
    for row in stored["rows"]:
        size = [row["block"], str(row["parameters"])]
        lines += [size + ezkl_cells(found) for found in row["ezkl"]] + [size + huref_cells(row["huref"])]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
