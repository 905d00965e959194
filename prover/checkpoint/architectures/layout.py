"""Which entry a checkpoint follows and where in it the model lies: decided by the tensors' names.

Every tensor of a block is known to the entry, or of a kind without effect on the terms (biases, rotary tables), or the
checkpoint is refused: an unknown tensor means that the model computes something else than the entry says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from huref.common.errors import HurefError, Malformed, Unsupported
from huref.prover.checkpoint.architectures.config import LAYERS, Config
from huref.prover.checkpoint.architectures.defaults import DEFAULTS
from huref.prover.checkpoint.architectures.entry import Architecture, Experts
from huref.prover.checkpoint.formats.base import Checkpoint, Float32

_HARMLESS = (
    *("bias", "*.bias", "*.beta", "*_bias", "*.masked_bias"),
    *("*.inv_freq", "*rotary_emb*", "attn_rot_embd*", "rope_freqs*", "rope_factors*"),
    # scales of activations and caches, and what int8 files note about their order
    *(
        "*.[qkv]_scale",
        "*.input_scale",
        "*.output_scale",
        "*.kv_scale",
        "*.activation_scale",
        "*.weight_format",
    ),
    *("*.input_global_scale", "*.input_scale_ub", "*.act_scale"),
)
_HEADS = (".lm_head.weight", ".embed_out.weight", ".output.weight")
_SHOWN = 3


def stored_name(checkpoint: Checkpoint, name: str) -> str:
    """`name`.weight, or `name`.gamma as the oldest BERT files call the gain of a LayerNorm."""
    gamma = f"{name}.gamma"
    return gamma if gamma in checkpoint else f"{name}.weight"


def read_vector(checkpoint: Checkpoint, name: str, *shape: int) -> Float32:
    """A small tensor of exactly this shape. Raises `Malformed` for another, and what `Checkpoint.read` raises."""
    got = checkpoint.shape(name)
    if got != shape:
        raise Malformed(f"{checkpoint.path}: tensor {name} has shape {got}, expected {shape}")
    return checkpoint.read(name)


@dataclass(frozen=True)
class Layout:
    """An entry, the prefix of its names in this file, and the full name of the embedding."""

    checkpoint: Checkpoint
    entry: Architecture
    config: Config
    prefix: str
    embedding: str

    def block(self, index: int) -> str:
        """What the names of a layer's tensors start with."""
        return self.prefix + self.entry.block.format(i=self.block_index(index))

    def block_index(self, index: int) -> int:
        """The block that layer `index` uses: layers may share one (ALBERT)."""
        if not self.entry.shared_blocks:
            return index
        return index * self._groups // self.config.required(*LAYERS)

    @property
    def _groups(self) -> int:
        return self.config.integer("num_hidden_groups") or 1

    def distinct(self, layers: int) -> Iterable[int]:
        """One of `layers` layers for each block."""
        if not self.entry.shared_blocks:
            return range(layers)
        return (-(-group * layers // self._groups) for group in range(min(self._groups, layers)))

    @cached_property
    def blocks(self) -> Mapping[int, frozenset[str]]:
        """Relative names of all tensors of each block that the file has."""
        return _blocks(self.checkpoint, self.entry, self.prefix)

    @cached_property
    def head(self) -> str | None:
        """Full name of the head's weight: the embedding's where the two are tied; None without a head."""
        if self.entry.head is None:
            return None
        ending = f"{self.entry.head}.weight"
        stored = [name for name in self.checkpoint.names() if f".{name}".endswith(f".{ending}")]
        if len(stored) == 1 or self.checkpoint.lost(ending):
            return stored[0] if stored else ending
        # GGUF, and classes so old that they have no defaults of their own, tie what is not stored
        by_default = self.checkpoint.naming == "gguf" or self.config.model_type() not in DEFAULTS
        untold = self.config.get("tie_word_embeddings") is None and by_default and not stored
        tied = untold or self.config.tied()
        return self.embedding if tied and self.entry.embedding_projection is None else None

    def is_sparse(self, index: int) -> bool:
        """Whether layer `index` is a mixture of experts."""
        experts = self.entry.experts
        found = self.blocks.get(self.block_index(index), frozenset())
        return experts is not None and f"{experts.router}.weight" in found

    def attends(self, index: int) -> bool:
        """Whether layer `index` has attention."""
        found = self.blocks.get(self.block_index(index), frozenset())
        if self.entry.alone:
            return f"{self.entry.o}.weight" in found
        return self.entry.other_mixer is None or f"{self.entry.other_mixer}.weight" not in found

    def feeds(self, index: int) -> bool:
        """Whether layer `index` has an FFN or experts."""
        if not self.entry.alone or self.is_sparse(index):
            return True
        found = self.blocks.get(self.block_index(index), frozenset())
        return f"{self.entry.down}.weight" in found

    def mixes_otherwise(self, index: int) -> bool:
        """Whether something else than attention mixes tokens in layer `index`."""
        return self.entry.beside or not (self.attends(index) or (self.entry.alone and self.feeds(index)))

    def names(self, index: int) -> tuple[str, ...]:
        """Names of the linear weights and norms that layer `index` has to have."""
        entry, found = self.entry, self.blocks.get(self.block_index(index), frozenset())
        names = [
            name for name in entry.block_names() if name not in entry.optional or f"{name}.weight" in found
        ]
        if self.is_sparse(index) or not self.feeds(index):
            dense = {entry.up, entry.gate, entry.gate_up, entry.down}
            names = [name for name in names if name not in dense]
        if entry.alone and not self.attends(index) and not self.feeds(index):
            names.append(entry.other_mixer or "")
        if not self.attends(index):
            attention = {entry.q, entry.k, entry.v, entry.qkv, entry.o, entry.q_norm, entry.k_norm}
            names = [name for name in names if name not in attention]
        return tuple(names)

    def unknown(self, index: int) -> list[str]:
        """Tensors of layer `index` that the entry does not know, and that are not without effect."""
        found = self.blocks.get(self.block_index(index), frozenset())
        return _unknown(self.entry, found, self.names(index), sparse=self.is_sparse(index))

    def check(self, index: int) -> None:
        """Layer `index` has what the entry needs and nothing else. Raises `Unsupported`, `Malformed`."""
        found, block = self.blocks.get(self.block_index(index), frozenset()), self.block(index)
        unknown = self.unknown(index)
        for name in self.names(index):
            stored = {f"{name}.weight", f"{name}.gamma"}
            if stored & found or self.checkpoint.lost(f"{block}{name}.weight"):
                continue
            if unknown or not any(self.blocks.values()):
                raise other_layout(self, unknown, f"{block}{name}.weight")
            raise self.checkpoint.missing(f"{block}{name}.weight")
        if unknown:
            raise self._refuse(index, unknown)

    def _refuse(self, index: int, unknown: list[str]) -> Unsupported:
        kind, hint = self.entry.family, "it would be another model's fingerprint without them"
        if any("lora_" in name for name in unknown):
            hint = "an adapter that is not merged: merge_and_unload() it, and save the model"
        return Unsupported(
            f"{self.checkpoint.path}: layer {index} has tensors that the layout of {kind} has not: {_list(unknown)}",
            hint=hint,
        )


def find_layout(checkpoint: Checkpoint, entries: list[Architecture], config: Config) -> Layout:
    """The first entry that knows all of some block, or else the one that comes closest.

    Raises `Unsupported` (no embedding and another layout, several models in one file), `Malformed`.
    """
    best: tuple[int, Layout] | None = None
    error: HurefError | None = None
    for entry in entries:
        try:
            layout = _place(checkpoint, entry, config)
        except HurefError as caught:
            error = error or caught
            continue
        score = max((_score(layout, index) for index in layout.blocks), default=0)
        if best is None or score > best[0]:
            best = score, layout
    if best is None:
        assert error is not None
        raise error
    return best[1]


def _score(layout: Layout, index: int) -> int:
    """How well an entry fits a block: each tensor that it knows counts for it, each unknown one against."""
    found = layout.blocks[index]
    wanted = layout.names(index)
    return sum(f"{name}.weight" in found or f"{name}.gamma" in found for name in wanted) - sum(
        len(missing)
        for missing in (
            layout.unknown(index),
            [n for n in wanted if not {f"{n}.weight", f"{n}.gamma"} & found],
        )
    )


def _place(checkpoint: Checkpoint, entry: Architecture, config: Config) -> Layout:
    """Where the entry's names start in this file: it depends on the class that saved it."""
    wanted = f"{entry.embedding}.weight"
    ends = [name.removesuffix(wanted) for name in checkpoint.names() if name.endswith(wanted)]
    found = [prefix for prefix in ends if prefix == "" or prefix.endswith(".")]
    inner = f"{entry.block.format(i=0)}{entry.o}.weight"
    headless = [name.removesuffix(inner) for name in checkpoint.names() if name.endswith(inner)]
    known = [prefix for prefix in entry.prefixes if prefix in found]
    others = sorted(
        {prefix for prefix in found if prefix not in known and _blocks(checkpoint, entry, prefix)}
    )
    if known or others:
        prefix = _one(checkpoint, known[:1] or others)
        return Layout(checkpoint, entry, config, prefix, f"{prefix}{wanted}")
    if headless:
        prefix = _one(checkpoint, sorted({p for p in headless if p == "" or p.endswith(".")}))
        return Layout(checkpoint, entry, config, prefix, _tied_head(checkpoint, entry, config, prefix))
    if found:
        return Layout(checkpoint, entry, config, found[0], f"{found[0]}{wanted}")
    if any(checkpoint.lost(f"{prefix}{wanted}") for prefix in entry.prefixes):
        raise next(
            checkpoint.missing(f"{prefix}{wanted}")
            for prefix in entry.prefixes
            if checkpoint.lost(f"{prefix}{wanted}")
        )
    raise checkpoint.missing(f"{entry.prefixes[0]}{wanted}")


def _one(checkpoint: Checkpoint, prefixes: list[str]) -> str:
    if len(prefixes) > 1:
        raise Unsupported(
            f"{checkpoint.path}: {len(prefixes)} language models in one file, under {_list(prefixes)}",
            hint="save the one that is meant on its own",
        )
    return prefixes[0]


def _tied_head(checkpoint: Checkpoint, entry: Architecture, config: Config, prefix: str) -> str:
    """The head in place of the embedding, where the two are tied and only the head is stored."""
    missing = f"{prefix}{entry.embedding}.weight"
    heads = [name for name in checkpoint.names() if f".{name}".endswith(_HEADS)]
    if len(heads) != 1 or checkpoint.lost(missing) or not config.tied():
        raise checkpoint.missing(missing)
    return heads[0]


def other_layout(layout: Layout, unknown: list[str], missing: str) -> Unsupported:
    """A known model type, but its tensors are those of another one."""
    checkpoint, kind = layout.checkpoint, layout.config.model_type()
    seen = (
        unknown
        or [name for name in checkpoint.names() if re.search(r"\.0\.", name)]
        or list(checkpoint.names())
    )
    return Unsupported(
        f"{checkpoint.path}: calls itself {kind!r} but has another layout: found {_list(seen)}; expected {missing}",
        hint="models with code of their own often keep the model_type that they started from",
    )


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _blocks(checkpoint: Checkpoint, entry: Architecture, prefix: str) -> dict[int, frozenset[str]]:
    pattern = re.compile(re.escape(prefix + entry.block).replace(r"\{i\}", r"(\d+)") + "(.+)")
    found: dict[int, set[str]] = {}
    for name in checkpoint.names():
        if match := pattern.match(name):
            index = int(match[1]) if "{i}" in entry.block else 0
            found.setdefault(index, set()).add(match[match.lastindex or 0])
    return {index: frozenset(names) for index, names in found.items()}


def _unknown(
    entry: Architecture, found: frozenset[str], names: tuple[str, ...], *, sparse: bool
) -> list[str]:
    """Names of a block that are none of its own, in order."""
    known = {f"{name}.{kind}" for name in names for kind in ("weight", "gamma")}
    patterns = [
        f"{name.replace('{h}', '*')}.weight"
        for name in (entry.q_norm, entry.k_norm)
        if name and "{h}" in name
    ]
    patterns += expert_patterns(entry.experts) if entry.experts and sparse else []
    patterns += [*entry.ignored, *_HARMLESS]
    regex = re.compile("|".join(f"(?:{_regex(pattern)})" for pattern in patterns))
    return sorted(name for name in found if name not in known and not regex.fullmatch(name))


def _regex(pattern: str) -> str:
    """A file-name pattern as a regular expression."""
    return re.escape(pattern).replace(r"\*", ".*").replace(r"\[", "[").replace(r"\]", "]")


def expert_patterns(experts: Experts) -> list[str]:
    """Patterns of the names of a mixture's tensors."""
    routed = (experts.down, experts.gate, experts.up, experts.gate_up)
    shared = (experts.shared_gate, experts.shared_up, experts.shared_gate_up, experts.shared_down)
    names = [name.replace("{e}", "*") for name in (experts.router, *routed, *shared) if name is not None]
    return [*names, *(f"{name}.weight" for name in names)]
