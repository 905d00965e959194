"""The geometry: nothing overlaps, tiles are aligned, every cell that should be looked up is."""

from __future__ import annotations

import numpy as np
import pytest

from huref.circuits.argument.layout import Layout
from huref.circuits.argument.spaces import Cells, Quotient, Repeated
from huref.common.algebra.multilinear import log2_ceil
from huref.common.params import Knobs
from tests.proof.programs import Case, chain, everything, several, wide


@pytest.fixture(scope="module")
def layouts(_small: None) -> list[Layout]:
    cases = [
        chain(), everything(), wide(33, 5), chain(d=35, f=33), chain(d=1, f=1), chain(d=70, k=40, p=32, f=65),
        several([(5, 40), (9, 3), (20, 100)], 16, bits=(3, 5)), several([(3, 64), (7, 65)], 2, bits=(6,)),
    ]  # fmt: skip
    broad = Case(cases[4].program, cases[4].weights, Knobs())
    return [case.setup().layout for case in (*cases, broad)]


def test_rows_of_the_matrices_are_disjoint_and_complete(layouts: list[Layout]) -> None:
    for layout in layouts:
        spans = {"W": [], "A": []}
        for place in (layout.weights[weight.name] for weight in layout.program.committed):
            spans["W"].append((place.start, place.count))
        for site in layout.sites.values():
            parts = (site.out, site.remainder, site.magnitude, site.finer_magnitude, site.finer_remainder)
            spans["A"] += [(part.start, part.count) for part in parts if part]
        spans["A"] += [(row.start, row.count) for row in layout.rows_of.values()]
        spans["A"] += [(block.multiplicity, block.rows) for block in layout.spaces[0].tables]
        spans["A"] += [(layout.pad_start, layout.mask_start - layout.pad_start), (layout.mask_start, 10)]
        for matrix, rows in (("W", layout.weight_rows), ("A", layout.rows)):
            at = 0
            for start, count in sorted(spans[matrix]):
                assert start == at
                at += count
            assert at == rows
        assert (layout.mask_start - layout.pad_start) * layout.w >= 5 * layout.pads.total


def test_lookup_cells_do_not_overlap(layouts: list[Layout]) -> None:
    for layout in layouts:
        used = np.zeros((1 << layout.spaces[0].log_tiles, layout.spaces[0].tile_rows, layout.w), np.int8)
        for block in layout.spaces[0].blocks:
            for j in range(block.blocks):
                cols = min(layout.w, block.cols - j * layout.w)
                used[block.tile + j, block.row : block.row + block.rows, :cols] += 1
        flat = used.reshape(-1, layout.w)
        for weights in layout.spaces[0].weight_blocks:
            flat[weights.tile * layout.spaces[0].tile_rows :][: weights.rows] += 1
        for table in layout.spaces[0].tables:
            start = table.tile * layout.spaces[0].tile_size
            used.reshape(-1)[start : start + table.table.size] += 1
        assert used.max() == 1
        assert int(used.sum()) == layout.entries
        present = np.zeros(1 << layout.spaces[0].log_tiles, bool)
        for first, count in layout.spaces[0].tiles:
            assert not present[first : first + count].any()
            present[first : first + count] = True
        assert not used[~present].any()


def test_tiles_are_aligned(layouts: list[Layout]) -> None:
    """A site's coefficients factor only if all its blocks start at multiples of one power of two."""
    for layout in layouts:
        for block in layout.spaces[0].blocks:
            if any(isinstance(operand, Quotient) for operand in block.operands):
                assert block.tile % (1 << log2_ceil(block.blocks)) == 0
        for table in layout.spaces[0].tables:
            assert table.tile * layout.spaces[0].tile_size % (1 << log2_ceil(table.table.size)) == 0
        for name, offset in layout.inner.items():
            assert offset % layout.w == 0, name


def test_everything_is_looked_up(layouts: list[Layout]) -> None:
    """Every result, remainder and magnitude in its own table, every row of weights in its width's group."""
    for layout in layouts:
        seen = {
            (operand.placed, block.table.kind)
            for block in layout.spaces[0].blocks
            for operand in block.operands
            if isinstance(operand, Cells)
            and (block.rows, block.cols) == (operand.placed.rows, operand.placed.cols)
        }
        for site in layout.sites.values():
            scaled = bool(site.site.multipliers)
            kind = "likeness" if site.site.full else "scaled" if scaled else "clamp"
            assert (site.out, kind) in seen
            assert (site.remainder is None) == (site.shift == 0)
            for part, kind in (
                (site.remainder, "remainder"), (site.magnitude, "abs"),
                (site.finer_magnitude, "absscaled" if scaled else "absclamp"),
                (site.finer_remainder, "remainder"),
            ):  # fmt: skip
                assert part is None or (part, kind) in seen
            assert (site.finer_magnitude is None) == (site.shift == 0)
            assert (site.finer_remainder is None) == (site.shift < 2)
        for name, row in layout.rows_of.items():
            assert (row, "shares" if name in layout.program.share else "octaves") in seen
        repeated = [
            (operand.placed, block.label.partition(".")[0])
            for block in layout.spaces[0].blocks
            for operand in block.operands
            if isinstance(operand, Repeated)
        ]
        for name, site in layout.sites.items():
            wanted = (
                [layout.rows_of[site.site.multipliers]] * (1 + (site.shift > 0))
                if site.site.multipliers
                else []
            )
            assert [placed for placed, label in repeated if label == name] == wanted
        covered = np.zeros(layout.weight_rows, np.int8)
        for weights in layout.spaces[0].weight_blocks:
            covered[weights.start : weights.start + weights.count] += 1
            assert weights.rows * weights.table.arity >= weights.count
            for weight in layout.program.weights:
                place = layout.weights[weight.name]
                if weights.start <= place.start < weights.start + weights.count:
                    assert weights.table.parameters[0] == weight.bits
        assert (covered == (0 if layout.program.ranged else 1)).all()
        tags = [layout.spaces[0].tag(block.table) for block in layout.spaces[0].tables]
        assert tags == list(range(1, len(tags) + 1))
        assert len({block.table for block in layout.spaces[0].tables}) == len(tags)
