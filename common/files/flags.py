"""Flags of `os.open` by one name on every system. A flag that a system lacks is zero: Windows has none but BINARY."""

from __future__ import annotations

import os

CLOEXEC: int = getattr(os, "O_CLOEXEC", 0)
NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)
DIRECTORY: int = getattr(os, "O_DIRECTORY", 0)
BINARY: int = getattr(os, "O_BINARY", 0)
"""Without it Windows writes a newline as two bytes."""
