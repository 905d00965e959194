"""Rows that are far smaller than others, and FFNs so wide that the stream has to be coarser."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from huref.circuits.inference.limits import LIMB, largest_lift, product_high
from tests.support.inference_runs import TINY, layout_run, make_run


def test_a_wide_ffn_holds_the_stream_back() -> None:
    """So many products of limbs have no room to be lifted to the finest stream."""
    run = make_run(replace(TINY, ffn=11008, layers=1), 2, (1,))
    finest = run.facts.layers[0].product - LIMB + largest_lift(11008, product_high(11008), (1 << 19) + 256)
    assert run.facts.layers[0].stream[0] <= finest < run.facts.embedding
    assert run.wrong() == []


@pytest.mark.parametrize(
    "layout,name,rounded,bits",
    [("small rows", "gate", "gate.h", 0), ("small rows", "y", "y.high", 8), ("small rows", "a", "a.high", 8)],
)
def test_a_small_row_has_no_second_solution_either(layout: str, name: str, rounded: str, bits: int) -> None:
    """Integers of rows with larger shifts than others have are in a table of their own; theirs alone has no room."""
    run = layout_run(layout)
    p, layers, f = 15 * 2**27 + 1, run.shape.layers, run.relations.matrix[rounded].frame
    coarse, shift = (run.found[f"{name}.{part}"].reshape(layers, -1) for part in ("coarse", "shift"))
    layer, row = (int(x[0]) for x in np.nonzero(coarse == coarse.max()))
    changed = {
        key: run.found[key].astype(np.int64).reshape(f.outer, layers, -1) for key in (rounded, f"{name}.rest")
    }
    by, rest = divmod(p, 1 << int(shift[layer, row]) + bits)
    spare, changed[f"{name}.rest"][2, layer, row] = divmod(
        rest + int(changed[f"{name}.rest"][2, layer, row]), 1 << int(shift[layer, row])
    )
    changed[rounded][2, layer, row] += by
    if bits:
        low = run.found[f"{name}.low"].astype(np.int64).reshape(f.outer, layers, -1)
        more, low[2, layer, row] = divmod(int(low[2, layer, row]) + spare + (1 << bits >> 1), 1 << bits)
        low[2, layer, row] -= 1 << bits >> 1
        changed[rounded][2, layer, row] += more
        changed[f"{name}.low"] = low
    else:
        changed[rounded][2, layer, row] += spare
    wrong = run.wrong(changed)
    assert f"{name}.reach" in wrong and name not in wrong and f"{name}.rest" not in wrong


def test_a_second_solution_mod_p_is_out_of_reach() -> None:
    """acc + half − ℓ − h·2^s ≡ 0 has others with ℓ in range; their h is beyond the table."""
    run, p = make_run(), 15 * 2**27 + 1
    h, rest = (run.found[f"q.{name}"].astype(np.int64) for name in ("h", "rest"))
    shift = int(run.found["q.shift"].reshape(run.shape.layers, -1)[0, 5])
    h, rest = h.reshape(len(run.ids), run.shape.layers, -1), rest.reshape(len(run.ids), run.shape.layers, -1)
    more, rest[2, 0, 5] = divmod(int(rest[2, 0, 5]) + p, 1 << shift)
    h[2, 0, 5] += more
    assert run.wrong({"q.h": h, "q.rest": rest}) == ["q.clamp"]
