"""docs/protocol.md against the code: constants, records, the order of all messages, sizes, vectors, citations."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib
import importlib.util
import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from huref.circuits.argument.gated import gated_rounds, gated_sites
from huref.circuits.argument.proof import Setup, weights_geometry
from huref.circuits.argument.security import lookup_grinding, security_report
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.program.bounds import HEIGHT, SCALED_HEIGHT, clamp_height
from huref.circuits.program.program import MatMul, Site, View
from huref.circuits.whole import committed_tensors
from huref.common.algebra.kscalar import KS
from huref.common.argument.merkle import proof_length
from huref.common.argument.transcript import Transcript, grinding_holds
from huref.common.params import CodeGeometry, Knobs
from huref.verifier.argument.verify import verify_program
from tests import ROOT
from tests.proof.programs import Case, everything, range_case, several, small_build, wide
from tests.support.protocol_reference import DOC, reference_config, tables

VECTORS = ROOT / "tests" / "vectors"
CAP = 512
STATEMENT = b"any canonical bytes"


def resolve(path: str) -> Any:
    """module:attribute.attribute."""
    module, _, names = path.partition(":")
    value: Any = importlib.import_module(module)
    for name in names.split("."):
        value = getattr(value, name)
    return value


# Constants and records


@pytest.mark.parametrize("name,value,code", tables("constant", "value", "code"))
def test_constant(name: str, value: str, code: str) -> None:
    actual = resolve(code)
    if isinstance(actual, bytes | str):
        assert value == (actual.decode() if isinstance(actual, bytes) else actual)
    else:
        written = value.replace("·", "*").replace("^", "**").replace("−", "-")
        assert eval(written, {"__builtins__": {}}) == actual


@pytest.mark.parametrize("name,fields,code", tables("record", "fields", "code"))
def test_record(name: str, fields: str, code: str) -> None:
    record = resolve(code)
    assert record.__name__ == name
    assert [field.name for field in dataclasses.fields(record)] == fields.split(", ")


def test_there_are_tables() -> None:
    assert len(tables("constant", "value", "code")) >= 40
    assert len(tables("record", "fields", "code")) >= 19


def test_table_caps_are_in_force() -> None:
    site = Site("a", MatMul(View("x"), View("y"), 1), 2, 2, 63, -63, 1, 1)
    assert clamp_height(site, 0) == HEIGHT
    assert clamp_height(dataclasses.replace(site, multipliers="m"), 0) == SCALED_HEIGHT


def test_statement_fields() -> None:
    from huref.circuits.statement import Statement

    named = [name for field, _ in tables("field", "content") for name in re.findall("`(.+?)`", field)]
    assert sorted(named) == sorted(Statement.model_fields)


def test_directory_fields() -> None:
    from huref.common.files.commitment_file import Directory

    named = [re.findall("`(.+?)`", field) for field, _ in tables("directory", "holds")]
    assert sorted(name for names in named for name in names) == sorted(Directory.model_fields)


# All messages in order


class Tree:
    """The block of §5.3: lines with their nested lines."""

    def __init__(self, text: str = "") -> None:
        self.text, self.children = text, list[Tree]()

    @staticmethod
    @cache
    def of_document() -> Tree:
        block = re.search(r"```messages\n(.*?)```", DOC, re.S)
        assert block
        root = Tree()
        stack = [(-1, root)]
        for line in block[1].splitlines():
            depth = len(line) - len(line.lstrip())
            while stack[-1][0] >= depth:
                stack.pop()
            stack[-1][1].children.append(Tree(line.strip()))
            stack.append((depth, stack[-1][1].children[-1]))
        return root

    def messages(self, names: dict[str, Any]) -> Iterator[tuple[str, str, int, str]]:
        """(kind, label, bytes, class) with the quantities `names` put in."""
        for child in self.children:
            if child.text.startswith("for "):
                variable, values = re.fullmatch(r"for (\w+) in (.+):", child.text).groups()  # type: ignore[union-attr]
                for value in evaluate(values, names):
                    yield from child.messages({**names, variable: value})
            elif child.text.startswith("if "):
                if evaluate(child.text[3:-1], names):
                    yield from child.messages(names)
            else:
                kind, label, size, *rest = child.text.split()
                yield kind, label.format(**names), int(evaluate(size, names)), "".join(rest)


def evaluate(expression: str, names: dict[str, Any]) -> Any:
    allowed = {"range": range, "len": len}
    return eval(expression, {"__builtins__": {}}, {**allowed, **names})


def quantities(setup: Setup, positions: dict[str, list[int]]) -> dict[str, Any]:
    """The names that §5.3 uses."""
    layout, opening = setup.layout, setup.geometry
    levels = dict(enumerate(opening.levels, 2))
    gated = gated_sites(layout)
    paths = {
        "c_W": (opening.weights, "opening.weights"),
        "c_A": (opening.proof, "opening.proof"),
    }

    def path(code: CodeGeometry, label: str) -> int:
        return proof_length(code.domain.n, positions[label])

    return {
        "S": len(STATEMENT),
        "D": setup.knobs.digest_bytes,
        "g_L": lookup_grinding(layout.spaces, layout.entries, setup.knobs),
        "spaces": [space.label for space in layout.spaces],
        "n_L": {space.label: space.log_entries for space in layout.spaces},
        "M": int(bool(layout.inner)),
        "totals": bool(layout.inner) + len(gated),
        "ratios": len(layout.program.ratios),
        "n_v": (max(1, layout.program.output.length) - 1).bit_length(),
        "n_I": layout.log_inner,
        "e": layout.pads.log_triples,
        "gated": [site.name for site, _ in gated],
        "m": {site.name: sum(gated_rounds(layout, site, acc)) for site, acc in gated},
        "w": opening.w,
        "l_w": opening.w.bit_length() - 1,
        "t_W": opening.weights.queries,
        "t_A": opening.proof.queries,
        "levels": list(levels),
        "L": max(levels),
        "l": {j: level.w.bit_length() - 1 for j, level in levels.items()},
        "t": {j: level.code.queries for j, level in levels.items()},
        "width": {j: 5 * (level.w + (j == max(levels))) for j, level in levels.items()},
        "c": {j: path(level.code, f"opening.level{j}") for j, level in levels.items()},
        "k_L": opening.levels[-1].code.k_prime,
        **{name: path(*found) for name, found in paths.items()},
    }


def record(case: Case) -> tuple[Setup, list[tuple[str, str, bytes]], bytes]:
    """A proof of `case` as the verifier's transcript sees it."""
    seen: list[tuple[str, str, bytes]] = []
    setup, commitment = case.setup(), case.commit()
    proof = case.prove(setup, commitment=commitment, statement=STATEMENT)
    verify_program(
        setup, STATEMENT, commitment.root, proof, min(case.knobs.security, 128),
        lambda kind, label, data: seen.append((kind, label, data)),
    )  # fmt: skip
    return setup, seen, proof


def ground() -> Case:
    """At this level even a small lookup needs proof of work before α and β."""
    case = several([(10, 20)], 16)
    return dataclasses.replace(case, knobs=Knobs(security=141, grinding=8, proofs=1))


def ranges() -> Case:
    """The range of the weights of `wide`, which have four bits and eight."""
    return range_case(wide())


@pytest.fixture(
    scope="module",
    params=["cheapest", "two levels", "three levels", "four levels", "ground", "wide", "range"],
)
def seen(request: pytest.FixtureRequest) -> Iterator[tuple[Setup, list[tuple[str, str, bytes]], bytes]]:
    levels = {"two levels": 1, "three levels": 2, "four levels": 3}.get(request.param, 0)
    with small_build(CAP, levels=levels):
        case = {"ground": ground, "wide": lambda: wide(split=5), "range": ranges}.get(
            request.param, everything
        )
        yield record(case())


def test_messages_are_those_of_the_document(seen: tuple[Setup, list[tuple[str, str, bytes]], bytes]) -> None:
    setup, messages, proof = seen
    positions = {
        label: np.frombuffer(data, "<i8").tolist()
        for kind, label, data in messages
        if kind == "challenge" and re.fullmatch(r"opening\.(weights|proof|level\d)", label)
    }
    expected = list(Tree.of_document().messages(quantities(setup, positions)))
    assert [(kind, label, len(data)) for kind, label, data in messages] == [line[:3] for line in expected]

    absorbed = [data for kind, _, data in messages if kind == "absorb"]
    assert b"".join(absorbed[3:]) == proof

    hidden = sum(size // 20 for _, _, size, what in expected if what == "hidden")
    products = sum(what == "product" for *_, what in expected)
    assert hidden == setup.layout.pads.singles
    assert setup.layout.pads.triples == max(2, 1 << (products + 4 - 1).bit_length())
    assert all(
        what in ("opaque", "public", "hidden", "product") for kind, _, _, what in expected if kind == "absorb"
    )
    assert (messages[4][1] == "lookup.grind.seed") == (setup.knobs.security > 128)


def test_config_is_that_of_the_document(seen: tuple[Setup, list[tuple[str, str, bytes]], bytes]) -> None:
    setup, messages, _ = seen
    text = json.dumps(reference_config(setup, CAP), sort_keys=True)
    assert hashlib.sha256(text.encode()).digest() == messages[0][2]


# Sizes


WORKED = tables(
    "hidden",
    "ffn",
    "heads",
    "kv heads",
    "head dim",
    "vocab",
    "layers",
    "w",
    "w2",
    "k_W",
    "z",
    "a",
    "c",
    "t_W",
)


@pytest.mark.parametrize("row", WORKED)
def test_worked_example(row: list[str]) -> None:
    hidden, ffn, heads, kv, dim, vocab, layers, *expected = (int(x) for x in row)
    shape = ModelShape(family="llama", hidden=hidden, heads=heads, kv_heads=kv, head_dim=dim, ffn=ffn, vocab=vocab,
                       layers=layers, gated=True, norm="rms", norm_position="pre")  # fmt: skip
    found = weights_geometry(committed_tensors(shape), Knobs())
    code = found.code
    assert [found.w, found.w2, code.rows, code.random, code.domain.a, code.domain.c, code.queries] == expected


# The ledger's rows


def test_ledger_rows(seen: tuple[Setup, list[tuple[str, str, bytes]], bytes]) -> None:
    setup, _, _ = seen
    report = security_report(setup.layout, setup.geometry, setup.knobs)
    named = {label for row in tables("round", "error", "why") for label in re.findall("`(.+?)`", row[0])}
    found = [term.label for term in report.terms]
    assert max(Counter(found).values()) == 1
    assert set(found) <= named
    assert {"lookup.alpha_beta", "opening.gamma", "opening.proof.queries", "hash"} <= set(found)
    if "opening.level4.round" in found and "gated.round" in found:
        assert set(found) == named - {"ratios.theta"}
    assert ("ratios.theta" in found) == bool(setup.program.ratios)


# Transcript vectors


def vectors() -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((VECTORS / "transcript.json").read_text(encoding="utf-8"))
    return loaded


def test_transcript_vectors() -> None:
    transcript = Transcript()
    for step in vectors():
        label = step["label"]
        if step["op"] == "absorb":
            transcript.absorb(label, bytes.fromhex(step["data"]))
        elif step["op"] == "elements":
            expected = [KS(limbs) for limbs in step["result"]]
            assert transcript.challenge_point(label, step["count"]) == expected
        elif step["op"] == "positions":
            assert (
                transcript.challenge_positions(label, step["count"], step["bound"]).tolist() == step["result"]
            )
        else:
            seed = transcript.grinding_seed(f"{label}.seed")
            assert seed.hex() == step["seed"]
            assert grinding_holds(seed, step["nonce"], step["bits"])
            assert not any(grinding_holds(seed, nonce, step["bits"]) for nonce in range(step["nonce"]))
            transcript.absorb(f"{label}.nonce", step["nonce"].to_bytes(8, "little"))


def test_vectors_are_the_oracles() -> None:
    path = VECTORS / "make_transcript_vectors.py"
    spec = importlib.util.spec_from_file_location("make_transcript_vectors", path)
    assert spec and spec.loader
    oracle = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(oracle)
    assert oracle.run() == vectors()
    imports = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    assert names == {"hashlib", "json"}


# Citations


def headings() -> set[str]:
    return set(re.findall(r"^#+ (\d+(?:\.\d+)?)\.? ", DOC, re.M))


def citations() -> Iterator[tuple[str, str]]:
    """(file, section) for every "protocol §n" in our sources and documents, lists and ranges included."""
    for folder in ("common", "circuits", "prover", "verifier", "benchmarks", "tests", "docs"):
        for path in [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.md")]:
            text = path.read_text(encoding="utf-8")
            for run in re.findall(r"protocol §\d[\d.]*(?:(?:, | and |–)§?\d[\d.]*)*", text):
                for number in re.findall(r"\d+(?:\.\d+)?", run):
                    yield str(path.relative_to(ROOT)), number


def test_citations_resolve() -> None:
    known = headings()
    assert known >= {str(n) for n in range(1, 13)}
    found = list(citations())
    assert len(found) > 50
    assert [(path, number) for path, number in found if number not in known] == []


def test_own_references_resolve() -> None:
    known = headings()
    assert [number for number in re.findall(r"§(\d+(?:\.\d+)?)", DOC) if number not in known] == []


# Relations of the inference program


def test_relations_are_those_of_the_document() -> None:
    from tests.support.inference_runs import make_run

    block = re.search(r"```relations\n(.*?)```", DOC, re.S)
    assert block
    parts = re.split(r"(?:^|\n)(\w+): ", block[1])
    named = {title: names.split() for title, names in zip(parts[1::2], parts[2::2], strict=True)}
    relations = make_run().relations
    assert named == {
        "matrices": [matrix.name for matrix in relations.matrices],
        "lookups": [look.label for look in relations.looks],
        "equations": [equation.name for equation in relations.equations],
        "products": [f"{type(product).__name__}({product.equation})" for product in relations.products],
    }


def test_rounds_of_relations_are_those_of_the_ledger() -> None:
    from huref.circuits.relations.security import relation_security
    from tests.support.toy_relations import toy

    named = [row[0].strip("`") for row in tables("round of relations", "numerator", "reason")]
    found = [term.label for term in relation_security(toy().setup).terms]
    at = found.index(named[0])
    assert found[at : at + len(named)] == named and found[at + len(named)] == "triples.zeta"
