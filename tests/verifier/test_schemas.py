"""What programs read is what docs/schemas says, for verdicts, failures, inspections and comparisons."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource

from huref.common.errors import Damaged, HurefError, InputOutputError, Malformed, Rejected, Unsupported
from huref.common.files import bundle as form
from huref.common.files.bundle import parse_bundle
from huref.common.output import error_json
from huref.verifier.report.inspection import inspect
from tests import ROOT
from tests.conftest import Made
from tests.support.command import huref
from tests.support.forge import Files, check, load, reseal, with_directory, with_manifest

SCHEMAS: dict[str, Any] = {
    path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "docs" / "schemas").glob("*.json"))
}
REGISTRY = Registry().with_resources(
    [(schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()]
)


def validate(value: Any, name: str) -> Any:
    """Check a value as a program would read it."""
    plain = json.loads(json.dumps(value, allow_nan=False))
    Draft202012Validator(SCHEMAS[name], registry=REGISTRY).validate(plain)
    return plain


@pytest.fixture(scope="module")
def files(tiny: Made) -> Files:
    return load(tiny.bundle)


def test_every_schema_is_sound_and_every_id_published() -> None:
    assert set(SCHEMAS) == {
        "verdict",
        "error",
        "inspection",
        "comparison",
        "proved",
        "packed",
        "registry",
        "entries",
        "identified",
        "challenge",
        "answered",
        "asked",
        "audited",
        "committed",
        "range",
        "restored",
        "exported",
        "pubkey",
        "generators",
        "warmup",
    }
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)
        assert schema["additionalProperties"] is False
    published = {schema["properties"]["schema"]["const"] for schema in SCHEMAS.values()}
    code = "".join(
        path.read_text() for room in ("common", "verifier", "prover") for path in (ROOT / room).rglob("*.py")
    )
    said = set(re.findall(r'SCHEMA = "(huref-[a-z]+/1)"|"schema": "(huref-[a-z]+/1)"', code))
    assert published == {one or two for one, two in said}


def test_the_generators_are_listed() -> None:
    assert validate(huref("generator", "list", "--json").json, "generators")["generators"]


def test_verdicts_and_failures(files: Files) -> None:
    verdict = check(files)
    said = validate(verdict.to_dict(), "verdict")
    assert said["verified"] is True and said["said_by_owner"]["family"] == "llama"
    for change in ({"verified": 1}, {"schema": "huref-verdict/2"}, {"extra": 0}, {"root": "x"}):
        with pytest.raises(ValidationError):
            validate({**said, **change}, "verdict")
    with pytest.raises(ValidationError):
        validate({name: value for name, value in said.items() if name != "verified"}, "verdict")


def _failures(files: Files) -> dict[type[HurefError], Files]:
    proof = files[form.PROOF]
    flipped = bytes([proof[0] ^ 1]) + proof[1:]
    return {
        Rejected: {**files, form.PROOF: flipped},
        Damaged: {**files, form.PROOF: proof[:-1]},
        Malformed: with_manifest(files, lambda m: m.update(format="huref-bundle/9")),
        Unsupported: with_directory(files, lambda d: d.update(profile="hardened-9")),
    }


@pytest.mark.parametrize("kind", [Rejected, Damaged, Malformed, Unsupported])
def test_every_failure_says_that_nothing_is_verified(
    files: Files, kind: type[HurefError], tmp_path: Path
) -> None:
    failing = _failures(files)[kind]
    with pytest.raises(HurefError) as caught:
        check(failing)
    assert type(caught.value) is kind
    said = validate(error_json(caught.value), "error")
    assert said["verified"] is False and said["error"] == kind.__name__
    assert (said["path"] is not None) == (kind is Rejected) == (said["meaning"] is not None)
    for name, data in failing.items():
        (tmp_path / name).write_bytes(data)
    found = inspect(tmp_path)
    shown = validate(found.to_dict(), "inspection")
    assert (
        shown["verified"] is False and shown["verdict"] is None and shown["failure"]["kind"] == kind.__name__
    )


def test_other_errors_too(tmp_path: Path) -> None:
    with pytest.raises(InputOutputError) as caught:
        inspect(tmp_path / "absent")
    assert validate(error_json(caught.value), "error")["verified"] is False


def test_an_inspection_of_a_good_bundle(files: Files) -> None:
    shown = validate(inspect(parse_bundle(Path("tiny"), files)).to_dict(), "inspection")
    assert shown["verified"] is True and shown["verdict"]["verified"] is True and shown["failure"] is None
    rejected = reseal({**files, form.PROOF: files[form.PROOF][:-1] + b"\0"})
    if rejected != files:
        assert (
            validate(inspect(parse_bundle(Path("tiny"), rejected)).to_dict(), "inspection")["verified"]
            is False
        )
