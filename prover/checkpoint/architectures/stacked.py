"""The names of mixtures of experts inside `transformers` from version 5 on: all experts of a layer in two tensors.

`save_pretrained` writes the published names; a state dict that is saved as it is has these, and so have the files of
Qwen3-VL's mixtures, whose first form was (E, in, out).
"""

from __future__ import annotations

from dataclasses import replace

from huref.prover.checkpoint.architectures.entry import Architecture

_ROUTERS = {
    "block_sparse_moe.gate": "mlp.gate",
    "block_sparse_moe.router.layer": "block_sparse_moe.router",
    "mlp.router.gate": "mlp.gate",
}
"""Published name → name inside the class, where they differ."""
_PHIMOE = "mlp.router"


def stacked_form(entry: Architecture) -> Architecture | None:
    """The same family under the names of its class; None without experts, or where its files have these names."""
    experts = entry.experts
    if experts is None or (experts.gate_up or "").endswith("experts.gate_up_proj"):
        return None
    router = _PHIMOE if entry.family == "phimoe" else _ROUTERS.get(experts.router, experts.router)
    base = f"{router.partition('.')[0]}.experts"
    gated = experts.gate is not None or experts.gate_up is not None
    if experts.router == "mlp.router.gate":
        experts = replace(
            experts,
            shared_gate="mlp.shared_experts.gate_proj",
            shared_up="mlp.shared_experts.up_proj",
            shared_down="mlp.shared_experts.down_proj",
        )
    return replace(
        entry,
        experts=replace(
            experts,
            router=router,
            gate=None,
            up=None if gated else f"{base}.up_proj",
            gate_up=f"{base}.gate_up_proj" if gated else None,
            down=f"{base}.down_proj",
            stacked="either",
        ),
    )
