"""The command line, run in this process: exit code and what it printed."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest

from huref.common import cli
from tests.support.schemas import validated


@dataclass(frozen=True)
class Ran:
    """Exit code and captured output of one command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on stdout."""
        return json.loads(self.out)


def huref(*arguments: object) -> Ran:
    """Run `huref ARGUMENTS`; a traceback fails the test, and JSON that is not as its schema says."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(cli.app, "registered_commands", []),
        mock.patch.object(cli.app, "registered_groups", []),
        mock.patch.object(sys, "argv", ["huref", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as left,
    ):
        cli.main()
    said = out.getvalue() + err.getvalue()
    assert "Traceback" not in said, said
    if "--json" in arguments and out.getvalue():
        validated(json.loads(out.getvalue()))
    return Ran(int(left.value.code or 0), out.getvalue(), err.getvalue())
