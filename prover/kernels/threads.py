"""Runs compiled kernels that release the interpreter lock on ranges of their work, one range per thread.

Plain Python threads instead of numba's own: kernels compile several times faster without its parallel
transformation, and no second thread pool competes with a library's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any


@cache
def thread_count() -> int:
    """Threads to use: `HUREF_THREADS` if set, else the CPUs this process may run on."""
    setting = os.environ.get("HUREF_THREADS", "")
    if setting.isdigit() and int(setting) > 0:
        return int(setting)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_count(), thread_name_prefix="huref-kernel")


if hasattr(os, "register_at_fork"):  # a forked child has none of the parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def run_ranges(
    kernel: Callable[..., Any], count: int, grain: int, *args: Any, align: int = 8, first: int = 0
) -> list[Any]:
    """Call `kernel(*args, start, stop)` on ranges that cover [first, first + count); results in range order.

    No range is shorter than `grain` unless it is the only one; starts are multiples of `align` after `first`.
    """
    parts = max(1, min(thread_count(), count // max(grain, 1)))
    last = first + count
    if parts == 1:
        return [kernel(*args, first, last)]
    step = -(-count // parts // align) * align
    bounds = [(start, min(last, start + step)) for start in range(first, last, step)]
    futures = [_pool().submit(kernel, *args, start, stop) for start, stop in bounds[1:]]
    return [kernel(*args, *bounds[0]), *(future.result() for future in futures)]


def run_tasks(kernel: Callable[..., Any], tasks: list[tuple[Any, ...]]) -> list[Any]:
    """Call `kernel(*task)` for every task, at most one per thread at a time; results in order."""
    if len(tasks) <= 1 or thread_count() == 1:
        return [kernel(*task) for task in tasks]
    return [future.result() for future in [_pool().submit(kernel, *task) for task in tasks]]
