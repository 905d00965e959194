"""A model as the fingerprint sees it: embedding rows, and the matrices or terms of each layer, whatever the family.

Every matrix comes as float32 rows of length d (the hidden size): weights that write the residual stream
(o, down) are transposed. No term has biases, as in the paper's definition (fingerprint §1).

What is X? The rows of the token embedding, with two exceptions in which the model itself transforms each
row before anything else touches it: a projection to the hidden size (OPT-350m's project_in) and a norm
directly on the embedding (BLOOM), after which a row's scale no longer matters. A constant embedding scale
(Gemma) is left out: similarity does not see it. BERT's embedding norm acts on the sum with position and
type embeddings, so its X stays raw.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from numpy.typing import ArrayLike

from huref.circuits.fingerprint.shape import ModelShape
from huref.prover.checkpoint.architectures.embedding import EmbeddingReader
from huref.prover.checkpoint.architectures.facts import (
    check_layers,
    layer_shape,
    model_shape,
    whole_shape,
)
from huref.prover.checkpoint.architectures.head import HeadReader
from huref.prover.checkpoint.architectures.layer import LayerReader, LayerTensors
from huref.prover.checkpoint.architectures.registry import find_architecture
from huref.prover.checkpoint.architectures.terms import Term, layer_terms
from huref.prover.checkpoint.checkpoint import open_checkpoint
from huref.prover.checkpoint.formats.base import Checkpoint, Float32

__all__ = ["LayerReader", "LayerTensors", "Model", "Term", "open_model"]


class Model:
    """An opened model; tensors are read on each call and not kept."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._layout = find_architecture(checkpoint)
        self._shape = model_shape(self._layout)
        check_layers(self._layout, self._shape)

    @cached_property
    def shape(self) -> ModelShape:
        """Shape of the whole model. Raises `Unsupported` where no layer has an FFN."""
        return whole_shape(self._layout, self._shape)

    @property
    def layers(self) -> int:
        """Number of layers, of any model."""
        return self._shape.layers

    @property
    def vocab(self) -> int:
        """Rows of the embedding (it may be padded beyond the tokenizer's vocabulary)."""
        return self._shape.vocab

    def layer_shape(self, index: int) -> ModelShape:
        """Shape of layer `index` alone: some have no rotary embedding. Of a mixture, `ffn` means nothing."""
        return layer_shape(self._layout, self._shape, index)

    def layer_terms(self, index: int) -> tuple[Term, ...]:
        """The terms of layer `index` (0-based) of any model, as pairs of factors that are read one by one."""
        self._check(index)
        return layer_terms(self._layout, self.layer_shape(index), index)

    def source_files(self, layers: int) -> tuple[Path, ...]:
        """The checkpoint's files that hold more than layers before the last `layers` ones, sorted.

        All that a reader of the embedding and of the last layers reads lies in them.
        """
        shape, layout = self._shape, self._layout
        first = shape.layers - layers - (shape.norm_position == "post")
        read = {layout.block(i) for i in range(max(first, 0), shape.layers)}
        unread = tuple({layout.block(i) for i in range(first)} - read)
        names = (name for name in self.checkpoint.names() if not name.startswith(unread))
        return tuple(sorted({file for name in names for file in self.checkpoint.files_of(name)}))

    def embedding_rows(self, ids: ArrayLike) -> Float32:
        """X: embedding rows of the given token ids, (len(ids), d), see the module docstring.

        Raises `UsageError` for ids out of range, and what `Checkpoint.read_rows` raises.
        """
        return EmbeddingReader(self._layout, self._shape).read(ids)

    def positions(self) -> Float32:
        """Rows of the learned position embedding, (shape.positions, d). Raises what `Checkpoint.read` raises."""
        return EmbeddingReader(self._layout, self._shape).positions()

    def head(self) -> HeadReader:
        """The language-model head. Raises `Unsupported` where `shape.head` is false."""
        return HeadReader(self._layout, self._shape)

    def layer(self, index: int) -> LayerTensors:
        """The tensors of layer `index` (0-based). Raises what `Checkpoint.read` raises."""
        return self.layer_reader(index).read()

    def layer_reader(self, index: int) -> LayerReader:
        """Layer `index` (0-based), whose tensors are read one by one as they are asked for."""
        self._check(index)
        return LayerReader(self._layout, self.layer_shape(index), index)

    def _check(self, index: int) -> None:
        if not 0 <= index < self.layers:
            raise IndexError(f"layer {index} of a model with {self.layers}")


def open_model(source: Checkpoint | str | Path) -> Model:
    """Open a model for fingerprinting; shapes of all layers are checked, no tensor is read yet.

    Raises `Unsupported` (unknown architecture or layout, quantized in a way that is not read), `Malformed` (missing or
    misshapen tensors, bad config), and what `open_checkpoint` raises.
    """
    return Model(source if isinstance(source, Checkpoint) else open_checkpoint(source))
