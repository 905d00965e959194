"""Sizes and places of a proof, computed a second time from docs/protocol.md alone (§4.3, §4.4, §5, §6.2, §6.5).

Only records, the tables' sizes and the accumulators' shapes come from the code.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from huref.circuits.argument.proof import Setup
from huref.circuits.program.program import GatedMatMul, HeadProducts, Likeness, MatMul, Program, SketchSum
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
    program, opening = setup.program, setup.geometry
    w = opening.w
    w2 = check_levels(setup)
    check_opening(setup.knobs, opening.weights, setup.layout.weight_rows, w2, w)
    place = {}
    at = 0
    for tensor in sorted(program.stack or program.weights, key=lambda t: t.bits):
        place[tensor.name] = ["Placed", {"matrix": "W", "start": at, "rows": tensor.rows, "cols": tensor.cols,
                                             "blocks": ceil(tensor.cols, w)}]  # fmt: skip
        at += tensor.rows * ceil(tensor.cols, w)
    runs = weight_runs(program, place)
    for tensor in program.weights:
        if tensor.parts:
            place[tensor.name] = ["Placed", {**place[tensor.parts[0]][1], "rows": tensor.rows}]

    sites, spaces, row, rows_of = {}, [], 0, {}
    if program.sites:
        tallest = max(16, *(s.rows for s in program.sites))
        sites, tiles, used, row = site_lookups(setup, tallest, cap)
        rows_of = {}
        for influence in program.influences:
            blocks = ceil(influence.cols, w)
            rows_of[influence.name] = ["Placed", {"matrix": "A", "start": row, "rows": 1, "cols": influence.cols,
                                                      "blocks": blocks}]  # fmt: skip
            row += blocks
        for share in program.shares:
            cols = rows_of[share.of][1]["cols"]
            rows_of[share.name] = ["Placed", {**rows_of[share.of][1], "start": row}]
            row += ceil(cols, w)
        looked = [] if program.ranged else runs
        g = 3 if sum(count for *_, count in looked) * w >= 1 << 27 else 2
        digits = [digit_block(run, tiles, tallest, g) for run in looked]
        spaces.append(space("lookup", tiles, tallest, used, digits, row, w))
        row = spaces[-1][1]
    else:
        for number, run in enumerate(shards(runs, 3 * 2**27 // w)):
            tiles, g = Tiles(), 3 if run[2] * w >= 1 << 27 else 2
            digits = [digit_block(run, tiles, 256, g)]
            spaces.append(space(f"shard{number}", tiles, 256, set(), digits, row, w))
            row = spaces[-1][1]

    inner, end = {}, 0
    for site in program.sites:
        if isinstance(site.acc, MatMul):
            inner[site.name], end = end, end + ceil(site.acc.inner, w) * w
        elif isinstance(site.acc, SketchSum) and site.acc.multipliers:
            inner[site.name], end = end, end + ceil(len(site.acc.token), w) * w
        elif isinstance(site.acc, HeadProducts | Likeness):
            read = site.acc.left if isinstance(site.acc, HeadProducts) else site.acc.source
            of = next(other for other in program.sites if other.name == read)
            inner[site.name], end = end, end + of.rows * ceil(of.cols, w) * w
    for ratio in program.ratios:
        base = next(site for site in program.sites if site.name == ratio.base)
        inner[f"ratio.{ratio.name}"], end = end, end + ratio.rows * ceil(base.cols, w) * w
    n_i, many = lg(end), 1 if inner else 0
    depths = [found["logs"][0] + lg(found["logs"][1] * w) for found, _ in spaces]
    gated = [(s.cols, s.acc.inner) for s in program.sites if isinstance(s.acc, GatedMatMul)]
    e = max(1, lg(sum(1 + 2 * n_l for n_l in depths) + many + 2 * len(gated) + 4))
    rounds = sum(1 + 3 * (lg(cols) + lg(w * ceil(columns, w))) for cols, columns in gated)
    singles = sum(n_l * (n_l - 1) for n_l in depths) + many * (1 + 2 * n_i) + rounds + 2 * e
    masks = row + ceil(5 * (singles + 3 * 2**e), w)
    check_opening(setup.knobs, opening.proof, masks + 10, w2, w, own=True)
    geometry = {
        "opening": plain(opening),
        "sites": sites,
        "weights": place,
        "lookups": [found for found, _ in spaces],
        "inner": [inner, n_i],
        "influences": [rows_of, {name: plain(table) for name, table in octave_tables(setup).items()}],
        "rows": [["PadSpace", {"singles": singles, "triples": 2**e}], row, masks, masks + 10],
    }
    return [plain(program), plain(setup.public), plain(setup.knobs), geometry]


def site_lookups(setup: Setup, tallest: int, cap: int) -> tuple[dict[str, Any], Tiles, set[Table], int]:
    """Sites, their tiles and tables, and the rows of A that they take."""
    program, shifts, w = setup.program, setup.public.shifts, setup.geometry.w
    height, tiles, sites, row = {}, Tiles(), {}, 0
    for site in program.sites:
        s, blocks = shifts[site.name], ceil(site.cols, w)
        height[site.name] = table_height(site.bound, s, cap)
        sites[site.name] = [s, height[site.name], row, tiles.take(blocks, blocks)]
        row += blocks * (site.rows * (1 + (s >= 1)) + site.calibration_rows * (1 + (s >= 1) + (s >= 2)))
    for site in program.sites:
        if shifts[site.name]:
            tiles.take(ceil(site.cols, w))
    slots = [(ceil(influence.cols, w), 1) for influence in program.influences]
    slots += [(ceil(next(i.cols for i in program.influences if i.name == before(setup, share.name)), w), 1)
              for share in program.shares]  # fmt: skip
    slots += [(ceil(site.cols, w), site.calibration_rows) for site in program.sites
              for _ in range(1 + min(2, shifts[site.name]))]  # fmt: skip
    room = 0
    for blocks, rows in sorted(slots, key=lambda slot: -slot[0]):
        if rows > room:
            tiles.take(blocks, blocks)
            room = tallest
        room -= ceil(rows, 16) * 16
    used = {Table("abs", (s.clamp, s.low)) for s in program.sites} | set(octave_tables(setup).values())
    for site in program.sites:
        kinds, rest = ("clamp", "absclamp"), (site.clamp, site.low)
        if site.multipliers:
            bits = next(i.bits for i in program.influences if i.name == before(setup, site.multipliers))
            bits = next((s.bits for s in program.shares if hasattr(s, "bits")
                         if s.of == before(setup, site.multipliers) != site.multipliers), bits)  # fmt: skip
            kinds, rest = ("scaled", "absscaled"), (site.clamp, bits, *possible(setup, site.multipliers))
        if site.full:
            used.add(Table("likeness", (height[site.name], site.full, site.clamp)))
            continue
        used.add(Table(kinds[0], (height[site.name], *rest)))
        if shifts[site.name]:
            used.add(Table(kinds[1], (2 * height[site.name], *rest)))
    remainders = {t for s in shifts.values() for t in (s, s - 1) if t >= 1}
    used |= {Table("remainder", tuple(sorted(remainders)))} if remainders else set()
    return sites, tiles, used, row


ROOTS = (65536, 62757, 60097, 57549, 55109, 52773, 50535, 48393,
         46341, 44376, 42495, 40693, 38968, 37316, 35734, 34219)  # fmt: skip
"""r of §3.6."""


def root(setup: Setup, name: str) -> int:
    """r of a row of multipliers."""
    found = next(influence for influence in setup.program.influences if influence.name == name)
    cap = setup.public.caps[name]
    if not found.interpolated or cap.at == cap.above:
        return ROOTS[0]
    return ROOTS[min(15, 16 * (4 * cap.at - found.quarters * cap.alive) // (4 * (cap.at - cap.above)))]


def before(setup: Setup, name: str) -> str:
    """The row of an influence that a row of heads comes from; of others itself."""
    for share in reversed(setup.program.shares):
        name = share.of if share.name == name else name
    return name


def largest(setup: Setup, bound: Any) -> int:
    """The largest a of a row of heads that are bounded."""
    most = possible(setup, bound.of)[-1] * bound.width
    return 16 * most * head_root(setup, bound.of) // (bound.width << bound.bits + 16)


def head_root(setup: Setup, name: str) -> int:
    """r of the bound of heads."""
    found = next(influence for influence in setup.program.influences if influence.name == name)
    cap = setup.public.caps[name]
    inside = 4 * (cap.at - cap.above)
    return ROOTS[min(15, 16 * (4 * cap.at - found.quarters * cap.alive) // inside) if inside else 0]


def possible(setup: Setup, name: str) -> list[int]:
    """All multipliers that there can be in a row."""
    for share in setup.program.shares:
        if share.name == name:
            most = share.heads if type(share).__name__ == "Share" else largest(setup, share) / 16
            halves = range(next(c for c in range(99) if 2 * most**4 < 4 ** (c + 1)) + 1)
            return sorted({(x * (65536, 46341)[c % 2] + 2 ** (15 + c // 2)) // 2 ** (16 + c // 2)
                           for x in possible(setup, share.of) for c in halves})  # fmt: skip
    bits, r = next(found.bits for found in setup.program.influences if found.name == name), root(setup, name)
    falling = {(r + 2 ** (j + 15 - bits)) // 2 ** (j + 16 - bits) for j in range(32)}
    return sorted({0, 2**bits} | falling)


def octave_tables(setup: Setup) -> dict[str, Table]:
    """The table of every row of multipliers (§6.5)."""
    tables_of = {}
    for found in setup.program.influences:
        octave, low = setup.public.caps[found.name].octave + found.above - 1, -128 * len(found.steps)
        gate = possible(setup, found.gate) if found.gate else []
        head = (found.number, octave, root(setup, found.name), found.bits, low, -low - 1)
        tables_of[found.name] = Table("octaves", (*head, *gate))
    for share in setup.program.shares:
        values = possible(setup, share.of)
        if type(share).__name__ == "Share":
            tables_of[share.name] = Table("shares", (16 * share.heads, *values))
            continue
        head = (values[-1] * share.width, head_root(setup, share.of), share.width << share.bits)
        tables_of[share.name] = Table("bounds", (*head, *values))
    return tables_of


def space(
    label: str, tiles: Tiles, tallest: int, used: set[Table], digits: list[Any], row: int, w: int
) -> tuple[Any, int]:
    """A space with its tables, and the first row of A after them."""
    used = used | {Table("digits", tuple(block[1]["table"][1]["parameters"])) for block in digits}
    placed = []
    for table in sorted(used, key=lambda t: (t.kind, t.parameters)):
        rows = ceil(table.size, w)
        tile = tiles.take(ceil(rows, tallest), ceil(rows, tallest))
        placed.append(
            ["TableBlock", {"table": plain(table), "tile": tile, "multiplicity": row, "rows": rows}]
        )
        row += rows
    logs = [lg(sum(tiles[-1])), tallest]
    return {"label": label, "tables": placed, "digits": digits, "tiles": tiles, "logs": logs}, row


def weight_runs(program: Program, place: dict[str, Any]) -> list[tuple[int, int, int]]:
    """(bits, first row, rows) of the tensors of every width."""
    committed = program.stack or program.weights
    out = []
    for bits in sorted({t.bits for t in committed}):
        group = [place[t.name][1] for t in committed if t.bits == bits]
        out.append((bits, group[0]["start"], sum(p["rows"] * p["blocks"] for p in group)))
    return out


def shards(runs: list[tuple[int, int, int]], most: int) -> list[tuple[int, int, int]]:
    """The same rows in runs of at most `most`, as even as can be."""
    out = []
    for bits, start, count in runs:
        size = ceil(count, ceil(count, most))
        out += [(bits, start + at, min(size, count - at)) for at in range(0, count, size)]
    return out


def digit_block(run: tuple[int, int, int], tiles: Tiles, tallest: int, g: int) -> Any:
    """The lookups of a run of weights, g at a time."""
    bits, start, count = run
    rows = ceil(count, g)
    table = ["Table", {"kind": "digits", "parameters": [bits, g]}]
    tile = tiles.take(ceil(rows, tallest))
    return ["WeightBlock", {"table": table, "tile": tile, "count": count, "start": start, "rows": rows}]


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
