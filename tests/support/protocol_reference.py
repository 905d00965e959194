"""Sizes and places of a proof, computed a second time from docs/protocol.md alone (§4.3, §4.4, §5, §6.2, §6.5).

Only records, the tables' sizes and the accumulators' shapes come from the code.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from huref.circuits.argument.proof import Setup
from huref.circuits.program.program import Conv, GatedMatMul, MatMul, Program
from huref.circuits.program.tables import Table
from huref.common.params import CodeGeometry, Knobs
from tests import ROOT

DOC = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def tables(*columns: str) -> list[list[str]]:
    """Rows of all tables whose header is `columns`."""
    rows, inside = [], False
    for line in DOC.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else None
        if cells is None:
            inside = False
        elif cells == list(columns):
            inside = True
        elif inside and not set(line) <= set("|-"):
            rows.append(cells)
    return rows


FIELDS = {name: names.split(", ") for name, names, _ in tables("record", "fields", "code")}


def plain(value: Any) -> Any:
    """The canonical form of §5.1, with the fields that its table lists."""
    if isinstance(value, np.ndarray):
        data = value.astype(np.int64).astype("<i8").tobytes()
        return ["array", list(value.shape), hashlib.sha256(data).hexdigest()]
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    name = type(value).__name__
    return [name, {f: plain(getattr(value, f)) for f in FIELDS[name]}] if name in FIELDS else value


def lg(n: int) -> int:
    return next(bits for bits in range(64) if 1 << bits >= n)


def ceil(n: int, by: int) -> int:
    return -(-n // by)


def table_height(bound: int, shift: int, cap: int) -> int:
    """H of §3.3."""
    return max(
        1 << a
        for a in range(31)
        if 1 << a <= cap and bound + (1 << a + shift) + (1 << shift) // 2 < 15 * 2**27 + 1
    )


class Tiles(list[list[int]]):
    """Runs of tiles in the order they are handed out."""

    def take(self, count: int, align: int = 1) -> int:
        end = sum(self[-1]) if self else 0
        self.append([ceil(end, 1 << lg(align)) << lg(align), count])
        return self[-1][0]


def reference_config(setup: Setup, cap: int) -> Any:
    """The configuration whose hash is absorbed first; `cap` is the largest clamp table height."""
    program, shifts, opening = setup.program, setup.public.shifts, setup.geometry
    w = opening.w
    w2 = check_levels(setup)
    check_opening(setup.knobs, opening.weights, setup.layout.weight_rows, w2, w)
    place = {}
    at = 0
    for tensor in sorted(program.weights, key=lambda t: t.bits):
        place[tensor.name] = ["Placed", {"matrix": "W", "start": at, "rows": tensor.rows, "cols": tensor.cols,
                                             "blocks": ceil(tensor.cols, w)}]  # fmt: skip
        at += tensor.rows * ceil(tensor.cols, w)

    height, tallest, tiles, sites, row = {}, max(16, *(s.rows for s in program.sites)), Tiles(), {}, 0
    for site in program.sites:
        s, blocks = shifts[site.name], ceil(site.cols, w)
        height[site.name] = table_height(site.bound, s, cap)
        sites[site.name] = [s, height[site.name], row, tiles.take(blocks, blocks)]
        row += blocks * (site.rows * (1 + (s >= 1)) + site.calibration_rows * (1 + (s >= 1) + (s >= 2)))
    for site in program.sites:
        if shifts[site.name]:
            tiles.take(ceil(site.cols, w))
    slots = [site for site in sorted(program.sites, key=lambda s: -ceil(s.cols, w))
             for _ in range(1 + min(2, shifts[site.name]))]  # fmt: skip
    for first in range(0, len(slots), tallest // 16):
        blocks = ceil(slots[first].cols, w)
        tiles.take(blocks, blocks)
    digits = digit_blocks(program, place, tiles, tallest, w)

    used = {Table("clamp", (height[s.name], s.clamp, s.low)) for s in program.sites}
    used |= {Table("abs", (s.clamp, s.low)) for s in program.sites}
    used |= {Table("absclamp", (2 * height[s.name], s.clamp, s.low)) for s in program.sites if shifts[s.name]}
    remainders = {t for s in shifts.values() for t in (s, s - 1) if t >= 1}
    used |= {Table("remainder", tuple(sorted(remainders)))} if remainders else set()
    used |= {Table("digits", tuple(block[1]["table"][1]["parameters"])) for block in digits}
    placed_tables = []
    for table in sorted(used, key=lambda t: (t.kind, t.parameters)):
        rows = ceil(table.size, w)
        tile = tiles.take(ceil(rows, tallest), ceil(rows, tallest))
        placed_tables.append(
            ["TableBlock", {"table": plain(table), "tile": tile, "multiplicity": row, "rows": rows}]
        )
        row += rows

    inner, end = {}, 0
    for site in program.sites:
        if isinstance(site.acc, MatMul):
            inner[site.name] = ceil(end, w) * w
            end = inner[site.name] + ceil(site.acc.inner, w) * w
        elif isinstance(site.acc, Conv):
            size = max(w, 1 << lg(site.acc.in_channels * site.acc.kernel**2))
            inner[site.name] = ceil(end, size) * size
            end = inner[site.name] + size
    n_l, n_i = lg(sum(tiles[-1])) + lg(tallest * w), lg(end)
    gated = [(s.cols, s.acc.inner) for s in program.sites if isinstance(s.acc, GatedMatMul)]
    e = max(1, lg(2 + 2 * n_l + 2 * len(gated) + 4))
    rounds = sum(1 + 3 * (lg(cols) + lg(w * ceil(columns, w))) for cols, columns in gated)
    singles = n_l * (n_l - 1) + 1 + 2 * n_i + rounds + 2 * e
    masks = row + ceil(5 * (singles + 3 * 2**e), w)
    check_opening(setup.knobs, opening.proof, masks + 10, w2, w, own=True)
    geometry = {
        "opening": plain(opening),
        "sites": sites,
        "weights": place,
        "tables": placed_tables,
        "digits": digits,
        "tiles": tiles,
        "inner": inner,
        "logs": [lg(sum(tiles[-1])), tallest, n_i],
        "rows": [["PadSpace", {"singles": singles, "triples": 2**e}], row, masks, masks + 10],
    }
    return [plain(program), plain(setup.public), plain(setup.knobs), geometry]


def digit_blocks(program: Program, place: dict[str, Any], tiles: Tiles, tallest: int, w: int) -> list[Any]:
    """The weights' lookups."""
    rows_of = {name: p["rows"] * p["blocks"] for name, (_, p) in place.items()}
    g = 3 if sum(rows_of.values()) * w >= 1 << 27 else 2
    out = []
    for bits in sorted({t.bits for t in program.weights}):
        group = [t.name for t in program.weights if t.bits == bits]
        count = sum(rows_of[name] for name in group)
        entry_rows = ceil(count, g)
        table = ["Table", {"kind": "digits", "parameters": [bits, g]}]
        out.append(["WeightBlock", {"table": table, "tile": tiles.take(ceil(entry_rows, tallest)), "count": count,
                                        "start": place[group[0]][1]["start"], "rows": entry_rows}])  # fmt: skip
    return out


def check_levels(setup: Setup) -> int:
    """The later levels, for whatever plan: k', domain, queries and width; and the last length. Returns w2."""
    opening, knobs = setup.geometry, setup.knobs
    length = opening.weights.k_prime + opening.proof.k_prime
    for level, after in zip(opening.levels, (*opening.levels[1:], None), strict=True):
        rate_inv = level.code.domain.n // level.code.k_prime
        rate_inv = max(r for r in (4, 8, 16) if r <= rate_inv)
        assert length % level.w == 0
        width = 5 * level.w if after else 5 * (level.w + 1)
        check_code(knobs, level.code, length // level.w + 2, after.w if after else 1, width, 1, rate_inv)
        length = level.code.k_prime
    return opening.levels[0].w


def check_opening(
    knobs: Knobs, code: CodeGeometry, data: int, w2: int, width: int, own: bool = False
) -> None:
    """k', the domain and the query count of W (many proofs) or A (one)."""
    check_code(knobs, code, data, w2, width, 1 if own else knobs.proofs, 4)


def check_code(
    knobs: Knobs, code: CodeGeometry, data: int, align: int, width: int, proofs: int, rate_inv: int
) -> None:
    most = queries(5 * rate_inv, 5, knobs)
    k = ceil(data + proofs * most + 1, align) * align
    domains = [(c << a, -a, c) for c in (5, 6, 7, 8) for a in range(28) if c << a >= rate_inv * k]
    n, minus_a, c = min(domains)
    assert (code.rows, code.random, code.width) == (data, k - data, width)
    assert (code.domain.a, code.domain.c, code.k_prime) == (-minus_a, c, k)
    assert code.queries == queries(n, k, knobs)


def queries(n: int, k: int, knobs: Knobs) -> int:
    t = 0
    while (n + k) ** t << (knobs.security - knobs.grinding) > (2 * n) ** t:
        t += 1
    return t
