"""What the command says and where: quiet, verbose, help, completion, Ctrl-C, exit codes for a CI job."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click import Command
from typer import Typer
from typer.main import get_command

from huref.common import output
from huref.common.cli import register
from huref.common.errors import ExitCode
from huref.prover.commands.progress import ProgressBar
from huref.prover.commands.register import COMMANDS as OWNER_COMMANDS
from huref.verifier.commands.register import COMMANDS as READER_COMMANDS
from tests import ROOT
from tests.conftest import Made
from tests.support.command import huref


@pytest.fixture(autouse=True)
def ordinary() -> object:
    yield
    output.set_level()


def _options(command: Command) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


def test_quiet_leaves_warnings_and_errors(tiny: Made, tmp_path: Path) -> None:
    loud = huref("pack", tiny.bundle, "--out", tmp_path / "a.zip")
    assert "nothing was verified" in loud.err
    quiet = huref("--quiet", "pack", tiny.bundle, "--out", tmp_path / "b.zip")
    assert quiet.code == 0 and quiet.err == "" and "digest" in quiet.out
    failed = huref("-q", "pack", tmp_path / "none")
    assert failed.code == ExitCode.IO and failed.err.startswith("error: ") and "hint" not in failed.err


def test_verbose_says_where_a_bug_is(
    monkeypatch: pytest.MonkeyPatch, tiny: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    import huref.verifier.verification as place

    def broken(*arguments: object, **named: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(place, "verify", broken)
    plain = huref("verify", tiny.bundle)
    assert plain.code == ExitCode.INTERNAL and "broken" not in plain.err
    command = f"import sys; sys.argv = ['huref', '-v', 'verify', {str(tiny.bundle)!r}]\n" + (
        "import huref.verifier.verification as place\n"
        "def broken(*a, **k): raise RuntimeError('boom')\n"
        "place.verify = broken\nfrom huref.common.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == ExitCode.INTERNAL and "in broken" in done.stderr


def test_help_is_never_cut() -> None:
    for arguments in ((), ("registry",), ("generator",)):
        short, long = huref(*arguments, "-h"), huref(*arguments, "--help")
        assert short.code == 0 and short.out == long.out
        assert "..." not in short.out.split("Commands:")[1]
        assert max(map(len, short.out.splitlines())) <= 80
    listed = re.findall(r"^  ([a-z]+)  ", huref("-h").out.split("Commands:")[1], re.M)
    assert {"verify", "pack", "statement", "card", "identify", "registry", "prove"} <= set(listed)
    for name in listed:
        assert huref(name, "-h").code == 0


def test_a_command_is_registered_by_the_module_that_is_named_for_it() -> None:
    everything = Typer(name="huref")
    register(everything)
    for name in get_command(everything).commands:  # type: ignore[attr-defined]
        alone = Typer(name="huref")
        register(alone, name)
        assert name in {one.name for one in (*alone.registered_commands, *alone.registered_groups)}
        assert len(alone.registered_commands) + len(alone.registered_groups) <= 2
    unknown = Typer(name="huref")
    register(unknown, "verifi")
    assert len(unknown.registered_commands) == len(everything.registered_commands)
    for named in (*READER_COMMANDS, *OWNER_COMMANDS):
        assert named in get_command(everything).commands  # type: ignore[attr-defined]


def test_a_command_does_not_load_the_others() -> None:
    code = (
        "import sys; sys.argv = ['huref', '-q', 'pubkey', '--help']\n"
        "from huref.common.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(*(name for name in sys.modules if '.commands.' in name), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    loaded = {name for name in done.stderr.split() if not name.endswith(".register")}
    assert loaded == {"huref.verifier.commands.keys"}


def _commands() -> dict[str, Command]:
    """Every command by its name after `huref`, those of groups too."""
    root = Typer(name="huref")
    register(root)
    found: dict[str, Command] = {}
    open_groups = [("", get_command(root))]
    while open_groups:
        name, command = open_groups.pop()
        for below, one in getattr(command, "commands", {}).items():
            open_groups.append((f"{name} {below}".strip(), one))
        if not hasattr(command, "commands"):
            found[name] = command
    return found


def test_every_command_has_json_and_a_published_schema_but_those_that_say_why() -> None:
    page = (ROOT / "docs" / "terminal.md").read_text(encoding="utf-8")
    part = page.split("## For programs")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*) \| (\[.*) \|$", part, re.M)
    with_json = {name for name, one in _commands().items() if "--json" in _options(one)}
    listed = [name for names, _ in rows for name in re.findall(r"`([^`]+)`", names)]
    assert sorted(listed) == sorted(with_json)
    assert set(_commands()) - with_json == {"statement", "card", "demo", "registry serve"}
    for name in set(_commands()) - with_json:
        assert f"`{name}`" in part.rpartition("|\n")[2]
    schemas = re.findall(r"\[(\w+)\]\(schemas/(\w+)\.json\)", part)
    assert all(named == file for named, file in schemas)
    assert {file for _, file in schemas} == {path.stem for path in (ROOT / "docs" / "schemas").iterdir()}


def test_an_option_has_the_same_letter_everywhere() -> None:
    letters = {"--out": "-o", "--count": "-n", "--k": "-k"}
    for name, command in _commands().items():
        for parameter in command.params:
            short = {option for option in parameter.opts if len(option) == 2}
            expected = {letters[option] for option in parameter.opts if option in letters}
            assert short == expected, (name, parameter.opts)


def test_an_option_that_takes_a_text_says_which() -> None:
    """Numbers and paths name their type, `<int>` or `<path>`; a bare `<str>` would say nothing."""
    for name in _commands():
        shown = huref(*name.split(), "-h").out
        assert "Options:" in shown and "<str>" not in shown.split("Options:")[1], name


def test_every_variable_of_the_environment_that_is_read_is_documented() -> None:
    page = (ROOT / "docs" / "terminal.md").read_text(encoding="utf-8").split("## Environment")[1]
    code = "".join(
        path.read_text(encoding="utf-8")
        for room in ("common", "circuits", "verifier", "prover")
        for path in (ROOT / room).rglob("*.py")
    )
    read = set(re.findall(r"""environ(?:\.get\(|\[)\s*"(\w+)"|"(\w+)" in os\.environ""", code))
    names = {one or other for one, other in read}
    assert len(names) >= 7 and not [name for name in names if f"`{name}`" not in page]


def test_completion() -> None:
    environment = {
        **os.environ,
        "_HUREF_COMPLETE": "complete_bash",
        "COMP_WORDS": "huref stat",
        "COMP_CWORD": "1",
    }
    code = "import sys; sys.argv = ['huref']; from huref.common.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["statement"], done.stderr


def test_ctrl_c_is_no_verdict(monkeypatch: pytest.MonkeyPatch, tiny: Made, tmp_path: Path) -> None:
    import huref.prover.owner as owner
    import huref.verifier.verification as place

    def interrupted(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(place, "verify", interrupted)
    monkeypatch.setattr(owner, "prove", interrupted)
    ran = huref("verify", tiny.bundle)
    assert ran.code == ExitCode.INTERRUPTED and "none was left half-written" in ran.err and ran.out == ""
    ran = huref("-q", "prove", tiny.checkpoint, "--out", tmp_path / "x.huref")
    assert ran.code == ExitCode.INTERRUPTED and "stay spent" in ran.err and not list(tmp_path.iterdir())


def test_ctrl_c_in_the_range_proof_leaves_a_commitment_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tiny: Made, tmp_path: Path
) -> None:
    import huref.prover.owner as owner

    def interrupted(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "m"
    with monkeypatch.context() as patch:
        patch.setattr(owner, "_commit", interrupted)
        ran = huref("commit", tiny.checkpoint, "--out", folder)
    assert ran.code == ExitCode.INTERRUPTED and "no commitment was written" in ran.err and not folder.exists()
    with monkeypatch.context() as patch:
        patch.setattr(owner, "ensure_range", interrupted)
        ran = huref("commit", tiny.checkpoint, "--out", folder)
    assert ran.code == ExitCode.INTERRUPTED and "no commitment" not in ran.err
    assert "whole commitment" in ran.err and "stay spent" in ran.err
    assert huref("range", folder, "--json").json["made"] is True


def test_a_warning_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(("load",)) as progress:
        progress.warn("beware")
    assert "warning: beware" in capsys.readouterr().err


def test_a_stage_that_comes_twice_says_its_own_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The times of all are sums."""
    clock = iter([0.0, 2.0, 10.0, 10.5])
    monkeypatch.setattr("huref.prover.progress.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    with ProgressBar(("load",)) as progress:
        for _ in range(2):
            with progress.stage("load"):
                pass
    assert capsys.readouterr().err == "load: 2.0 s\nload: 0.5 s\n"
    assert progress.seconds == {"load": 2.5}


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert output.shows_pictures()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not output.shows_pictures()


def test_a_job_that_must_fail(
    tiny: Made, other: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command of docs/terminal.md on one base, on two, and where nothing can be told."""
    (line,) = re.findall(r"^huref .*--expect-same-base$", (ROOT / "docs" / "terminal.md").read_text(), re.M)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny.bundle, "model.huref")
    shutil.copytree(tiny.bundle, "base.huref")
    assert huref(*shlex.split(line)[1:]).code == 0
    stranger = huref(
        "compare", tiny.bundle, other.bundle / "fingerprint.json", "--expect-same-base", "--json"
    )
    assert stranger.code == ExitCode.REJECTED and stranger.json["verdict"] != "same base"
    paper = ROOT / "tests" / "vectors" / "bundles" / "paper.huref" / "fingerprint.json"
    ran = huref("compare", paper, paper, "--expect-same-base")
    assert ran.code == ExitCode.USAGE and "does not tell" in ran.err and ran.out == ""
