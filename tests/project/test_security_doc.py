"""docs/security.md promises nothing without a test, and names no test that is not there."""

from __future__ import annotations

import re

from tests import ROOT

DOCUMENT = (ROOT / "docs" / "security.md").read_text()


def _sections() -> list[str]:
    return DOCUMENT.split("\n## ")[1:]


def test_every_promise_names_a_test_that_is_there() -> None:
    files = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}
    rows = 0
    for section in _sections():
        named = set(re.findall(r"(test_\w+\.py)`", section))
        assert named <= set(files), named - set(files)
        tests = "\n".join(files[name].read_text() for name in named)
        for line in section.splitlines():
            for name in re.findall(r"`(test_\w+)…?`", line):
                assert re.search(rf"def {name}", tests), (name, "is in no file that its section names")
            if line.startswith("| ") and not line.startswith("| promise"):
                rows += 1
                assert "`test" in line.split("|")[2] or "the same" in line, line
    assert rows > 40


def test_paths_lead_somewhere() -> None:
    for path in re.findall(r"`((?:tests|docs|benchmarks)/[\w/.]+)`", DOCUMENT):
        assert (ROOT / path).exists(), path
