"""A small interpreter of OpenVINO IR v10 graphs in numpy float32, for the opt-in face networks.

Only the operations those two graphs use are known; anything else is Unsupported. Graphs are trusted input:
they are read only from a file whose sha256 is pinned (`huref.common.image.faces`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import Malformed, Unsupported

Array = NDArray[Any]
_TYPES = {"f32": "<f4", "i64": "<i8", "i32": "<i4"}


@dataclass(frozen=True)
class Node:
    """One layer: its operation, attributes, and sources as (node id, output position)."""

    kind: str
    attributes: dict[str, str]
    sources: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Graph:
    """A network with one input and one output; `nodes` in topological order."""

    nodes: dict[int, Node]
    constants: dict[int, Array]

    def run(self, value: Array) -> Array:
        """The output for one input of the shape the graph was exported with."""
        results: dict[int, tuple[Array, ...]] = {key: (array,) for key, array in self.constants.items()}
        last_use = {source: key for key, node in self.nodes.items() for source, _ in node.sources}
        for key, node in self.nodes.items():
            if node.kind == "Parameter":
                results[key] = (value.astype(np.float32),)
                continue
            inputs = [results[source][position] for source, position in node.sources]
            if node.kind == "Result":
                return inputs[0]
            if node.kind not in _OPERATIONS:
                raise Unsupported(f"face network: operation {node.kind}")
            outcome = _OPERATIONS[node.kind](node.attributes, *inputs)
            results[key] = outcome if isinstance(outcome, tuple) else (outcome,)
            for source, _ in node.sources:
                if last_use[source] == key:
                    results.pop(source, None)
        raise Malformed("face network: no result")


def load_graph(xml: bytes, weights: bytes) -> Graph:
    """Parse the .xml and .bin of a network; raises Malformed when they do not fit together."""
    root = ElementTree.fromstring(xml)
    layers = {int(layer.get("id", "-1")): layer for layer in root.iter("layer")}
    ports = {
        key: [int(port.get("id", "-1")) for port in layer.findall("output/port")]
        for key, layer in layers.items()
    }
    sources: dict[int, dict[int, tuple[int, int]]] = {key: {} for key in layers}
    for edge in root.iter("edge"):
        start, port = int(edge.attrib["from-layer"]), int(edge.attrib["from-port"])
        sources[int(edge.attrib["to-layer"])][int(edge.attrib["to-port"])] = (start, ports[start].index(port))
    constants, nodes = {}, {}
    for key, layer in layers.items():
        data = layer.find("data")
        attributes = dict(data.attrib) if data is not None else {}
        if layer.get("type") == "Const":
            constants[key] = _constant(attributes, weights)
        else:
            ordered = tuple(source for _, source in sorted(sources[key].items()))
            nodes[key] = Node(layer.get("type", ""), attributes, ordered)
    return Graph(_sorted(nodes, constants), constants)


def _sorted(nodes: dict[int, Node], constants: dict[int, Array]) -> dict[int, Node]:
    done, order = set(constants), {}
    waiting = dict(nodes)
    while waiting:
        ready = [key for key, node in waiting.items() if all(source in done for source, _ in node.sources)]
        if not ready:
            raise Malformed("face network: cycle")
        for key in ready:
            order[key] = waiting.pop(key)
        done.update(ready)
    return order


def _constant(attributes: dict[str, str], weights: bytes) -> Array:
    offset, size = int(attributes["offset"]), int(attributes["size"])
    if attributes["element_type"] not in _TYPES or offset + size > len(weights):
        raise Malformed("face network: constant")
    flat = np.frombuffer(weights[offset : offset + size], dtype=_TYPES[attributes["element_type"]])
    return flat.reshape(_numbers(attributes.get("shape", "")))


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part.strip()]


def _convolution(attributes: dict[str, str], x: Array, weight: Array) -> Array:
    """(1, in, h, w) with (out, in, kh, kw), stride 1."""
    _require(attributes, "strides", [1, 1])
    padded, (height, width) = _padded(attributes, x, weight.shape[2:])
    total = np.zeros((len(weight), height * width), dtype=np.float32)
    for row, column in np.ndindex(*weight.shape[2:]):
        window = padded[0, :, row : row + height, column : column + width].reshape(x.shape[1], -1)
        total += np.ascontiguousarray(weight[:, :, row, column]) @ window
    return total.reshape(1, -1, height, width)


def _depthwise(attributes: dict[str, str], x: Array, weight: Array) -> Array:
    """(1, c, h, w) with (c, 1, 1, kh, kw), stride 1."""
    _require(attributes, "strides", [1, 1])
    padded, (height, width) = _padded(attributes, x, weight.shape[3:])
    total = np.zeros((1, x.shape[1], height, width), dtype=np.float32)
    for row, column in np.ndindex(*weight.shape[3:]):
        factor = weight[:, 0, 0, row, column][None, :, None, None]
        total += factor * padded[:, :, row : row + height, column : column + width]
    return total


def _depthwise_transposed(attributes: dict[str, str], x: Array, weight: Array) -> Array:
    """(1, c, h, w) with (c, 1, 1, kh, kw) whose kernel equals its stride: no overlap."""
    rows, columns = weight.shape[3:]
    _require(attributes, "strides", [rows, columns])
    _, channels, height, width = x.shape
    spread = x[0][:, :, None, :, None] * weight[:, 0, 0][:, None, :, None, :]
    return np.ascontiguousarray(spread).reshape(1, channels, height * rows, width * columns)


def _padded(attributes: dict[str, str], x: Array, kernel: tuple[int, ...]) -> tuple[Array, tuple[int, int]]:
    (top, left), (bottom, right) = _numbers(attributes["pads_begin"]), _numbers(attributes["pads_end"])
    _require(attributes, "dilations", [1, 1])
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    return padded, (padded.shape[2] - kernel[0] + 1, padded.shape[3] - kernel[1] + 1)


def _require(attributes: dict[str, str], name: str, value: list[int]) -> None:
    if _numbers(attributes[name]) != value:
        raise Unsupported(f"face network: {name} {attributes[name]}")


def _matmul(attributes: dict[str, str], a: Array, b: Array) -> Array:
    left = np.swapaxes(a, -1, -2) if attributes.get("transpose_a") == "true" else a
    return left @ (np.swapaxes(b, -1, -2) if attributes.get("transpose_b") == "true" else b)


def _reshape(_: dict[str, str], x: Array, shape: Array) -> Array:
    return x.reshape([x.shape[i] if side == 0 else int(side) for i, side in enumerate(shape)])


def _split(_: dict[str, str], x: Array, axis: Array, lengths: Array) -> tuple[Array, ...]:
    sizes = [int(length) for length in lengths]
    if -1 in sizes:
        sizes[sizes.index(-1)] = x.shape[int(axis)] - sum(size for size in sizes if size >= 0)
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis=int(axis)))


def _prelu(_: dict[str, str], x: Array, slope: Array) -> Array:
    if slope.size != 1:
        raise Unsupported("face network: slope per channel")
    return np.where(x >= 0, x, x * slope.reshape(()))


def _broadcast(attributes: dict[str, str], x: Array, shape: Array) -> Array:
    wanted = _axes(shape)
    if attributes["mode"] == "bidirectional":
        wanted = np.broadcast_shapes(x.shape, wanted)
    return np.broadcast_to(x, wanted)


def _axes(axes: Array) -> tuple[int, ...]:
    return tuple(int(axis) for axis in axes.reshape(-1))


_OPERATIONS: dict[str, Callable[..., Array | tuple[Array, ...]]] = {
    "Add": lambda _, a, b: a + b,
    "Multiply": lambda _, a, b: a * b,
    "Power": lambda _, a, b: a**b,
    "MatMul": _matmul,
    "ReduceMean": lambda a, x, axes: x.mean(_axes(axes), keepdims=a.get("keep_dims") == "true"),
    "ShapeOf": lambda _, x: np.array(x.shape, dtype=np.int64),
    "Gather": lambda _, x, index, axis: np.take(x, index, axis=int(axis)),
    "Unsqueeze": lambda _, x, axes: np.expand_dims(x, _axes(axes)),
    "Squeeze": lambda _, x, axes: np.squeeze(x, _axes(axes)),
    "Concat": lambda a, *parts: np.concatenate(parts, axis=int(a["axis"])),
    "Reshape": _reshape,
    "Broadcast": _broadcast,
    "Tile": lambda _, x, repeats: np.tile(x, _axes(repeats)),
    "PReLU": _prelu,
    "VariadicSplit": _split,
    "Convolution": _convolution,
    "GroupConvolution": _depthwise,
    "GroupConvolutionBackpropData": _depthwise_transposed,
}
