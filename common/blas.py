"""How many threads numpy's matrix products take."""

from __future__ import annotations

import os
import sys

THREADS = "OPENBLAS_NUM_THREADS"


def one_blas_thread() -> None:
    """Let this process's matrix products use one thread, unless the user says otherwise: those of a verification are
    small, and threads that wait for the next one take the processor from everything between them.

    For the commands, before numpy is imported; later it changes nothing.
    """
    if "numpy" not in sys.modules:
        os.environ.setdefault(THREADS, "1")
