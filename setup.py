"""Installs the top-level folders as sub-packages of one import package, `huref` (all else is in pyproject.toml).

A top-level `common` or `circuits` would collide with other packages on a user's machine.
"""

from setuptools import find_packages, setup

ROOMS = ("common", "circuits", "verifier", "prover")

setup(
    package_dir={"huref": "package", **{f"huref.{room}": room for room in ROOMS}},
    packages=[
        "huref",
        *(f"huref.{name}" for room in ROOMS for name in find_packages(include=[room, f"{room}.*"])),
    ],
)
