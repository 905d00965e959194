"""Installs the top-level folders as sub-packages of one import package, `huref` (all else is in pyproject.toml).

A top-level `common` or `circuits` would collide with other packages on a user's machine. The long description is
README.md without its pictures: they lie in the repository, where an index page does not find them.
"""

from pathlib import Path

from setuptools import find_packages, setup

ROOMS = ("common", "circuits", "verifier", "prover")
README = Path(__file__).with_name("README.md").read_text(encoding="utf-8")

setup(
    package_dir={"huref": "package", **{f"huref.{room}": room for room in ROOMS}},
    packages=[
        "huref",
        *(f"huref.{name}" for room in ROOMS for name in find_packages(include=[room, f"{room}.*"])),
    ],
    long_description="\n".join(line for line in README.split("\n") if not line.startswith("![")),
    long_description_content_type="text/markdown",
)
