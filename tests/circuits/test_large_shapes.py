"""What a verifier takes holds the models that people have: within the caps every proof's own limits hold too."""

from __future__ import annotations

import pytest

from huref.circuits.argument.layout import build_layout
from huref.circuits.argument.proof import MAX_ROWS, prepare, weights_geometry
from huref.circuits.argument.security import security_report
from huref.circuits.commitment import check_resources
from huref.circuits.fingerprint.shape import Block, ModelShape
from huref.circuits.program.bounds import site_height
from huref.circuits.program.influence import Cap
from huref.circuits.program.program import Program
from huref.circuits.range import NOTHING, range_program
from huref.circuits.whole import compile_whole
from huref.common.algebra.field import P
from huref.common.errors import Unsupported, UsageError
from huref.common.params import Knobs, opening_geometry

KNOBS = Knobs(security=100, proofs=256)
# hidden size, heads, kv heads, head size, neurons of a layer, layers, vocabulary, experts
LARGE = {
    "LLaMA 3 70B": (8192, 64, 8, 128, 28672, 80, 128256, 0),
    "Qwen 2.5 72B": (8192, 64, 8, 128, 29568, 80, 152064, 0),
    "Mixtral 8x7B": (4096, 32, 8, 128, 8 * 14336, 32, 32000, 8),
    "Qwen 3 30B-A3B": (2048, 32, 4, 128, 128 * 768, 48, 151936, 128),
    "gpt-oss-20b": (2880, 64, 8, 64, 32 * 2880, 24, 201088, 32),
}
TOO_LARGE = {
    "Mixtral 8x22B": (6144, 48, 8, 128, 8 * 16384, 56, 32768, 8),
    "Llama 4 Scout": (5120, 40, 8, 128, 17 * 8192, 48, 202048, 16),
    "GLM 4.5 Air": (4096, 96, 8, 128, 129 * 1408, 46, 151552, 128),
    "gpt-oss-120b": (2880, 64, 8, 64, 128 * 2880, 36, 201088, 128),
    "Qwen 3 235B-A22B": (4096, 64, 4, 128, 128 * 1536, 94, 151936, 128),
}


def program(
    hidden: int, heads: int, kv: int, size: int, ffn: int, layers: int, vocab: int, experts: int
) -> Program:
    blocks = (Block(True, ffn, experts),) * layers if experts else ()
    shape = ModelShape(
        family="x",
        hidden=hidden,
        heads=heads,
        kv_heads=kv,
        head_dim=size,
        ffn=ffn,
        vocab=vocab,
        layers=layers,
        gated=True,
        norm="rms",
        norm_position="pre",
        parallel=False,
        output_norm=False,
        qk_norm=False,
        rotary="half",
        rotary_dim=size,
        rotary_sections=1,
        head=True,
        blocks=blocks,
    )
    ids = range(4096)
    compiled = compile_whole(shape, ids, [b"a%05d" % i for i in ids], 128, b"")
    check_resources(compiled)
    return compiled


@pytest.mark.parametrize("name", LARGE)
def test_large_models_fit(name: str) -> None:
    compiled = program(*LARGE[name])
    weights = weights_geometry(compiled.committed, KNOBS)
    heights = {site.name: site_height(site, 8) for site in compiled.sites}
    caps = {key: Cap(0, item.cols, item.cols // 2, 0) for key, item in compiled.influence.items()}
    layout = build_layout(compiled, dict.fromkeys(heights, 8), heights, weights.w, caps)
    geometry = opening_geometry(weights, layout.rows, KNOBS)
    assert geometry.length <= MAX_ROWS and max(space.entries for space in layout.spaces) < P
    byte_ranges = prepare(range_program(compiled.committed), NOTHING, KNOBS)
    for setup in ((layout, geometry), (byte_ranges.layout, byte_ranges.geometry)):
        assert min(term.error_bits + term.grinding for term in security_report(*setup, KNOBS).terms) >= 100


@pytest.mark.parametrize("name", TOO_LARGE)
def test_larger_ones_are_refused_from_their_shape_alone(name: str) -> None:
    with pytest.raises((Unsupported, UsageError), match=r"is too large|the model is too wide") as caught:
        program(*TOO_LARGE[name])
    assert "\n" not in caught.value.message
