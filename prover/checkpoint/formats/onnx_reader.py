"""Weights of an ONNX graph of a BERT, with the exporter's anonymous matrices given back their names.

Exporters keep the names of embeddings, biases and norms but rename the (in, out) matrices; the bias added
right after a matrix product tells which one it is. Quantized weights are dequantized by evaluating the
few constant operators between initializer and product. There is no config, so one is read off the
shapes. Needs the `onnx` package (`huref[onnx]`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import InputOutputError, Malformed, Unsupported
from huref.common.installation import MissingPackage
from huref.prover.checkpoint.formats.base import Checkpoint
from huref.prover.checkpoint.formats.json_file import read_object
from huref.prover.kernels.integers.reading import Stored

_EMBEDDING = "embeddings.word_embeddings.weight"
_PARTS = ("_quantized", "_scale", "_zero_point")  # what a quantizer puts in place of a weight
_PRODUCTS = ("MatMul", "Gemm")


class OnnxCheckpoint(Checkpoint):
    """An ONNX file holding a BERT. Raises `Malformed` (broken), `Unsupported` (not a BERT export)."""

    def __init__(self, path: Path) -> None:
        try:
            import onnx
        except ImportError:
            raise MissingPackage(f"{path}: reading ONNX needs the package onnx", "onnx") from None
        try:
            self._graph = onnx.load(str(path), load_external_data=False).graph
        except OSError as error:
            raise InputOutputError(f"{path}: {error.strerror or error}") from None
        except Exception as error:  # protobuf's own exception type, not importable by a stable name
            raise Malformed(f"{path}: not a readable ONNX file, or truncated ({error})") from None
        self._initializers = {tensor.name: tensor for tensor in self._graph.initializer}
        self._producer = {out: node for node in self._graph.node for out in node.output}
        self._sources, self._transposed = self._name_tensors()
        embedding = next((name for name in self._sources if name.endswith(_EMBEDDING)), None)
        if embedding is None:
            raise Unsupported(f"{path}: no BERT embedding in this ONNX graph")
        prefix = embedding.removesuffix(_EMBEDDING)
        self._sources = {name.removeprefix(prefix): value for name, value in self._sources.items()}
        self._transposed = {name.removeprefix(prefix) for name in self._transposed}
        beside = path.parent / "config.json"
        super().__init__(path, read_object(beside) if beside.is_file() else self._config(path), [path])

    def _name_tensors(self) -> tuple[dict[str, str], set[str]]:
        """Checkpoint name -> graph value, and which of them are stored (in, out)."""
        sources, transposed = {name: name for name in self._initializers}, set()
        for node in self._graph.node:
            if node.op_type == "Gather" and self._is_constant(node.input[0]):
                sources[node.input[0]] = node.input[0]
        bias_of = {}
        for node in self._graph.node:
            if node.op_type == "Add":
                for value, other in (node.input, reversed(node.input)):
                    if other in self._initializers and other.endswith(".bias"):
                        bias_of[value] = other
        for node in self._graph.node:
            bias = bias_of.get(node.output[0])
            if node.op_type in _PRODUCTS and bias and self._is_constant(node.input[1]):
                name = bias.removesuffix(".bias") + ".weight"
                sources[name] = node.input[1]
                transposed.add(name)
        return sources, transposed

    def _is_constant(self, value: str) -> bool:
        if value in self._initializers:
            return True
        node = self._producer.get(value)
        if node is None or node.op_type not in _FOLD:
            return False
        return all(self._is_constant(name) for name in node.input)

    def _evaluate(self, value: str) -> NDArray[Any]:
        from onnx import numpy_helper

        if value in self._initializers:
            return numpy_helper.to_array(self._initializers[value])
        node = self._producer[value]
        return _FOLD[node.op_type](*[self._evaluate(name) for name in node.input])

    def _config(self, path: Path) -> dict[str, Any]:
        hidden = self.shape(_EMBEDDING)[1]
        found = (re.match(r"encoder\.layer\.(\d+)\.", name) for name in self._sources)
        layers = 1 + max((int(match[1]) for match in found if match), default=-1)
        return {
            "model_type": "bert",
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": self._heads(path, hidden),
        }

    def _heads(self, path: Path, hidden: int) -> int:
        """Number of heads, from the first Reshape to (batch, tokens, heads, head size)."""
        for node in self._graph.node:
            if node.op_type == "Reshape":
                target = self._constant_entries(node.input[1])
                if len(target) == 4 and 1 < target[3] < hidden and hidden % target[3] == 0:
                    return hidden // target[3]
        raise Unsupported(
            f"{path}: cannot tell the number of heads", hint="put the model's config.json beside it"
        )

    def _constant_entries(self, value: str) -> list[int]:
        """The known integers of a shape value, in order; unknown ones as -1."""
        from onnx import numpy_helper

        if value in self._initializers:
            return [int(n) for n in np.ravel(numpy_helper.to_array(self._initializers[value]))]
        node = self._producer.get(value)
        if node is not None and node.op_type == "Concat":
            return [n for name in node.input for n in self._constant_entries(name)]
        if node is not None and node.op_type == "Constant":
            return [int(n) for n in np.ravel(numpy_helper.to_array(node.attribute[0].t))]
        if node is not None and node.op_type in ("Unsqueeze", "Reshape", "Cast", "Identity"):
            return self._constant_entries(node.input[0])
        return [-1]

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(name for name in self._sources if not name.endswith(_PARTS)))

    def shape(self, name: str) -> tuple[int, ...]:
        if name not in self._sources:
            raise self.missing(name)
        value = self._sources[name]
        while value not in self._initializers:  # folded operators keep the shape of their first input
            value = self._producer[value].input[0]
        dims = tuple(int(n) for n in self._initializers[value].dims)
        return dims[::-1] if name in self._transposed else dims

    def _load(self, name: str, rows: NDArray[np.int64] | None) -> Stored:
        if name not in self._sources:
            raise self.missing(name)
        tensor = self._evaluate(self._sources[name]).astype(np.float32)
        tensor = tensor.T if name in self._transposed else tensor
        return np.ascontiguousarray(tensor if rows is None else tensor[rows])


def _dequantize(x: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any] | None = None) -> NDArray[Any]:
    return (x.astype(np.float32) - (0 if zero is None else zero.astype(np.float32))) * scale


# operators between a stored weight and its use; all keep the shape of their first input
_FOLD: dict[str, Callable[..., NDArray[Any]]] = {
    "Cast": lambda x: x.astype(np.float32),
    "Mul": lambda x, y: x * y,
    "Identity": lambda x: x,
    "DequantizeLinear": _dequantize,
}
