"""What a stage's process says about itself: seconds of the call alone, and whatever else it found."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")


def timed(run: Callable[[], Result]) -> tuple[Result, dict[str, float]]:
    """The result, and wall and CPU seconds (all threads) of this one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return result, {name: round(value, 4) for name, value in seconds.items()}


def write(folder: Path, stage: str, **found: Any) -> None:
    """Leave `found` where `stages.run_stage` reads it."""
    (folder / f"{stage}.report").write_text(json.dumps(found))
