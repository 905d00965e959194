"""The tests, in the rooms of the code they test; helpers in support/."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The checkout."""
