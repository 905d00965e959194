"""The published schemas, and what a program reads held against the one that it names."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests import ROOT

SCHEMAS: dict[str, Any] = {
    path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "docs" / "schemas").glob("*.json"))
}
REGISTRY = Registry().with_resources(
    [(schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()]
)


def named_id(schema: dict[str, Any]) -> str:
    """The id by which an object names this schema."""
    named = schema["properties"].get("schema") or schema["properties"]["schema_version"]
    return str(named["const"])


BY_ID = {named_id(schema): name for name, schema in SCHEMAS.items()}


def validate(value: Any, name: str) -> Any:
    """Check a value as a program would read it."""
    plain = json.loads(json.dumps(value, allow_nan=False))
    Draft202012Validator(SCHEMAS[name], registry=REGISTRY).validate(plain)
    return plain


def validated(value: Any) -> Any:
    """Check what a command printed against the schema that it names; KeyError where it names none of ours."""
    return validate(value, BY_ID[value.get("schema") or value["schema_version"]])
