"""A model as the fingerprint sees it: embedding rows, and six matrices per layer, whatever the family.

Every matrix comes as float32 rows of length d (the hidden size): weights that write the residual stream
(o, down) are transposed. Linear biases are ignored, as in the paper's definition (fingerprint §1).

What is X? The rows of the token embedding, with two exceptions in which the model itself transforms each
row before anything else touches it: a projection to the hidden size (OPT-350m's project_in) and a norm
directly on the embedding (BLOOM), after which a row's scale no longer matters. A constant embedding scale
(Gemma) is left out: similarity does not see it. BERT's embedding norm acts on the sum with position and
type embeddings, so its X stays raw.
"""

from __future__ import annotations

from pathlib import Path

from numpy.typing import ArrayLike

from huref.circuits.fingerprint.shape import ModelShape
from huref.prover.checkpoint.architectures.embedding import EmbeddingReader
from huref.prover.checkpoint.architectures.facts import check_layers, find_prefix, model_shape
from huref.prover.checkpoint.architectures.layer import LayerReader, LayerTensors
from huref.prover.checkpoint.architectures.registry import find_architecture
from huref.prover.checkpoint.checkpoint import open_checkpoint
from huref.prover.checkpoint.formats.base import Checkpoint, Float32

__all__ = ["LayerReader", "LayerTensors", "Model", "open_model"]


class Model:
    """An opened model; tensors are read on each call and not kept."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._entry, self._config = find_architecture(checkpoint)
        self._prefix = find_prefix(checkpoint, self._entry)
        self.shape: ModelShape = model_shape(checkpoint, self._entry, self._config, self._prefix)
        check_layers(checkpoint, self._entry, self.shape, self._prefix)

    @property
    def vocab(self) -> int:
        """Rows of the embedding (it may be padded beyond the tokenizer's vocabulary)."""
        return self.shape.vocab

    def source_files(self, layers: int) -> tuple[Path, ...]:
        """The checkpoint's files that hold more than layers before the last `layers` ones, sorted.

        All that a reader of the embedding and of the last layers reads lies in them.
        """
        blocks = range(self.shape.layers - layers - (self.shape.norm_position == "post"))
        unread = tuple(f"{self._prefix}{self._entry.block.format(i=i)}" for i in blocks)
        names = (name for name in self.checkpoint.names() if not name.startswith(unread))
        return tuple(sorted({self.checkpoint.file_of(name) for name in names}))

    def embedding_rows(self, ids: ArrayLike) -> Float32:
        """X: embedding rows of the given token ids, (len(ids), d), see the module docstring.

        Raises `UsageError` for ids out of range, and what `Checkpoint.read_rows` raises.
        """
        return EmbeddingReader(self.checkpoint, self._entry, self.shape, self._prefix, self._config).read(ids)

    def layer(self, index: int) -> LayerTensors:
        """The tensors of layer `index` (0-based). Raises what `Checkpoint.read` raises."""
        return self.layer_reader(index).read()

    def layer_reader(self, index: int) -> LayerReader:
        """Layer `index` (0-based), whose tensors are read one by one as they are asked for."""
        if not 0 <= index < self.shape.layers:
            raise IndexError(f"layer {index} of a model with {self.shape.layers}")
        return LayerReader(self.checkpoint, self._entry, self.shape, self._prefix, index)


def open_model(source: Checkpoint | str | Path) -> Model:
    """Open a model for fingerprinting; shapes of all layers are checked, no tensor is read yet.

    Raises `Unsupported` (unknown architecture, mixture of experts, quantized), `Malformed` (missing or
    misshapen tensors, bad config), and what `open_checkpoint` raises.
    """
    return Model(source if isinstance(source, Checkpoint) else open_checkpoint(source))
