"""One stage of one system, in a process of its own: seconds, peak memory, and limits that protect the machine."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SPARE_GB = 1.5
"""A stage is also stopped when the machine has less than this left for everything else."""


@dataclass(frozen=True)
class Limits:
    """What one stage's process may take."""

    memory_gb: float = 16.0
    cpu_seconds: float = 900.0
    wall_seconds: float = math.inf


class StageFailed(Exception):
    """The stage did not finish; the message says why."""


def run_stage(
    command: list[str], folder: Path, stage: str, environment: dict[str, str], limits: Limits = Limits()
) -> dict[str, Any]:
    """Run `command` until it ends; returns what it reported, and what the whole process took.

    `process` counts start-up, imports and children: wall and CPU seconds and peak memory in GB.

    Raises:
        StageFailed: the process failed, or was stopped for its memory or time.
    """
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=errors
        )
        stopped = ""
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            stopped = stopped or _limit(process.pid, time.perf_counter() - start, limits)
            if stopped:
                os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.1)  # the calls inside are timed exactly by the stage itself
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)  # wait4 has reaped it
        errors.seek(0)
        lines = errors.read().decode(errors="replace").strip().splitlines()
    taken = {
        "wall": round(wall, 3),
        "cpu": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_gb": round(usage.ru_maxrss / 1e6, 3),
    }
    if stopped or process.returncode:
        reason = stopped or f"exit code {process.returncode}: {lines[-1] if lines else ''}"
        raise StageFailed(f"{stage} {reason} (after {taken['cpu']} CPU-s, {taken['peak_gb']} GB)")
    report = folder / f"{stage}.report"
    found = json.loads(report.read_text()) if report.exists() else {}
    return {"process": taken, **found}


def _limit(pid: int, wall: float, limits: Limits) -> str:
    """Why the process has to stop now, or nothing."""
    if _cpu_seconds(pid) > limits.cpu_seconds:
        return f"stopped after {limits.cpu_seconds:.0f} CPU-s"
    if wall > limits.wall_seconds:
        return f"stopped after {limits.wall_seconds:.0f} s"
    if _gigabytes(f"/proc/{pid}/status", "VmRSS:") > limits.memory_gb:
        return f"stopped at {limits.memory_gb:.0f} GB"
    if _gigabytes("/proc/meminfo", "MemAvailable:") < SPARE_GB:
        return "stopped: the machine ran out of memory"
    return ""


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _gigabytes(path: str, field: str) -> float:
    for line in Path(path).read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1e6
    return 0.0  # a process that is ending has no such line
