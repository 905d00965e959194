"""Find the weights of a checkpoint that are stored in parts: decided by the tensors that are there.

`quantization_config` is asked only for what tensors do not say (block sizes, the order of packed numbers): it is
left behind in many checkpoints that have been dequantized since.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huref.common.errors import Unsupported
from huref.prover.checkpoint.formats.quantized import fp4, packed, scaled
from huref.prover.checkpoint.formats.quantized.scheme import DEQUANTIZE, Entries, Packed

_REFUSED = {
    ".absmax": "bitsandbytes 4-bit",
    ".W_q": "HQQ",
    ".codebooks": "AQLM",
    ".Qidxs": "QuIP#",
    ".q_invperm": "EXL2",
    ".trellis": "EXL3",
    ".indices_scale": "VPTQ",
    ".weight._data": "Quanto",
    "._weight_qdata": "torchao",
    ".biases": "MLX",
    ".bitmask": "compressed-tensors (sparse)",
}
"""Endings of tensors that only occur in formats that are not read."""


def find_packed(entries: Entries, config: Mapping[str, Any], source: object) -> dict[str, Packed]:
    """The weights that are stored in parts, by the name under which a plain checkpoint would have them.

    Raises `Unsupported` (a format that is not read), `Malformed` (parts that do not fit each other).
    """
    for name in entries:
        for ending, scheme in _REFUSED.items():
            if name.endswith(ending):
                raise Unsupported(
                    f"{source}: quantized with {scheme} ({name}), which is not read", hint=DEQUANTIZE
                )
    value = config.get("quantization_config") or config.get("compression_config")
    settings = value if isinstance(value, dict) else {}
    found: dict[str, Packed] = {}
    for module in (packed, fp4, scaled):
        for name, item in module.find(entries, settings, source).items():
            found.setdefault(name, item)
    return found
