"""The block as an ONNX graph, in the operators that an exported LLaMA consists of. Needs onnx."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.ezkl_block.block import EPSILON, Block, inputs, weights


class _Graph:
    """Nodes and constants in order; every method returns the name of what it computes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, operator: str, *operands: str, **attributes: object) -> str:
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(operands), [name], **attributes))
        return name

    def constant(self, name: str, value: object, kind: type = np.float32) -> str:
        if name not in {constant.name for constant in self.constants}:
            self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def reshape(self, x: str, *shape: int) -> str:
        return self.node("Reshape", x, self.constant("shape_" + "_".join(map(str, shape)), shape, np.int64))

    def normed(self, x: str, gain: str) -> str:
        mean = self.node("ReduceMean", self.node("Mul", x, x), axes=[1], keepdims=1)
        root = self.node("Sqrt", self.node("Add", mean, self.constant("epsilon", EPSILON)))
        return self.node("Mul", self.node("Div", x, root), gain)

    def turned(self, x: str, block: Block) -> str:
        axes, half = self.constant("last", [2], np.int64), block.HEAD // 2
        ends = [self.constant(f"place_{place}", [place], np.int64) for place in (0, half, block.HEAD)]
        first, second = (self.node("Slice", x, ends[i], ends[i + 1], axes) for i in range(2))
        swapped = self.node("Concat", self.node("Neg", second), first, axis=2)
        return self.node("Add", self.node("Mul", x, "cos"), self.node("Mul", swapped, "sin"))


def graph(block: Block) -> onnx.ModelProto:
    """Inputs x, cos, sin, mask; output out, tokens × width; the weights are initializers."""
    g = _Graph()
    for name, value in weights(block).items():
        g.constant(name, value)
    read = g.normed("x", "attn_gain")
    q, k, v = (
        g.node(
            "Transpose",
            g.reshape(g.node("MatMul", read, name), block.tokens, block.heads, block.HEAD),
            perm=[1, 0, 2],
        )
        for name in ("q", "k", "v")
    )
    keys = g.node("Transpose", g.turned(k, block), perm=[0, 2, 1])
    raw = g.node("MatMul", g.turned(q, block), keys)
    scores = g.node("Add", g.node("Mul", raw, g.constant("scale", block.HEAD**-0.5)), "mask")
    mixed = g.node("Transpose", g.node("MatMul", g.node("Softmax", scores, axis=2), v), perm=[1, 0, 2])
    stream = g.node("Add", "x", g.node("MatMul", g.reshape(mixed, block.tokens, block.width), "o"))
    read = g.normed(stream, "ffn_gain")
    gate = g.node("MatMul", read, "gate")
    active = g.node("Mul", gate, g.node("Sigmoid", gate))
    written = g.node("MatMul", g.node("Mul", active, g.node("MatMul", read, "up")), "down")
    g.nodes.append(helper.make_node("Add", [stream, written], ["out"]))
    made = helper.make_graph(
        g.nodes,
        "block",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape)
            for name, value in inputs(block).items()
        ],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [block.tokens, block.width])],
        g.constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model
