"""Convert an official StyleGAN2(-ADA) generator state dict to this project's model.

Names and shapes are those of NVIDIA's stylegan2-ada-pytorch `Generator` (skip architecture), saved as
safetensors: `mapping.fc{i}.weight`, `mapping.w_avg`, `synthesis.b{res}.const`, `synthesis.b{res}.conv{0,1}.*`,
`synthesis.b{res}.torgb.*`. Weights are stored unscaled there too, so only the mapping's learning rate
multiplier (0.01) and the axis order of `torgb` need care.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from huref.common.errors import Malformed, Unsupported
from huref.common.image.architecture import Z_DIM, Architecture
from huref.prover.generator.model import Generator, Linear, StyledConvolution, ToRgb

MAPPING_RATE = 0.01
_BLOCK = re.compile(r"synthesis\.b(\d+)\.")
_RESAMPLE = "resample_filter"


def import_generator(state: dict[str, Tensor]) -> Generator:
    """Build the torch model of an official state dict.

    Raises Unsupported for conditional, residual or non-512 generators, Malformed for missing or extra tensors.
    """
    state = {name: tensor.float() for name, tensor in state.items() if not name.endswith(_RESAMPLE)}
    if "mapping.embed.weight" in state:
        raise Unsupported("class-conditional generators cannot be imported")
    if any(".skip." in name for name in state):
        raise Unsupported("residual generators cannot be imported; the skip architecture can")
    reader = _Reader(state)
    model = Generator(_architecture(state), mapping_rate=MAPPING_RATE)
    with torch.no_grad():
        for index, layer in enumerate(model.mapping.stack):
            reader.linear(f"mapping.fc{index}", layer)
        model.mapping.mean_w.copy_(reader.take("mapping.w_avg", model.mapping.mean_w.shape))
        model.synthesis.constant.copy_(reader.take("synthesis.b4.const", model.synthesis.constant.shape))
        for level, block in enumerate(model.synthesis.stack):
            prefix = f"synthesis.b{4 << level}."
            if block.first is not None:
                reader.convolution(prefix + "conv0", block.first)
            reader.convolution(prefix + "conv1", block.second)
            reader.rgb(prefix + "torgb", block.rgb)
    if reader.left:
        raise Malformed(f"not part of a StyleGAN2 generator: {sorted(reader.left)[0]}")
    return model.eval()


def load_state(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; a common prefix `G_ema.` is dropped."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except SafetensorError as error:
        raise Malformed(f"{path}: {error}") from error
    return {name.removeprefix("G_ema."): tensor for name, tensor in state.items()}


def _architecture(state: dict[str, Tensor]) -> Architecture:
    sizes = sorted({int(found.group(1)) for name in state if (found := _BLOCK.match(name))})
    count = sum(1 for name in state if re.fullmatch(r"mapping\.fc\d+\.weight", name))
    if not count or sizes != [4 << level for level in range(len(sizes))]:
        raise Malformed("not a StyleGAN2 generator state dict")
    try:
        mapping = tuple(state[f"mapping.fc{index}.weight"].shape[0] for index in range(count))
        channels = tuple(state[f"synthesis.b{size}.conv1.weight"].shape[0] for size in sizes)
        z_dim = state["mapping.fc0.weight"].shape[1]
    except KeyError as error:
        raise Malformed(f"missing tensor {error}") from error
    if z_dim != Z_DIM:
        raise Unsupported(f"the generator's latent has {z_dim} numbers, a fingerprint has {Z_DIM}")
    return Architecture(mapping, channels)


class _Reader:
    """Takes tensors by name, checking shapes, and remembers which are `left`."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.left = dict(state)

    def take(self, name: str, shape: torch.Size) -> Tensor:
        tensor = self.left.pop(name, None)
        if tensor is None:
            raise Malformed(f"missing tensor {name}")
        if tensor.shape != shape:
            raise Malformed(f"{name}: shape {tuple(tensor.shape)}, expected {tuple(shape)}")
        return tensor

    def linear(self, prefix: str, layer: Linear) -> None:
        layer.weight.copy_(self.take(prefix + ".weight", layer.weight.shape))
        layer.bias.copy_(self.take(prefix + ".bias", layer.bias.shape))

    def convolution(self, prefix: str, layer: StyledConvolution) -> None:
        self.linear(prefix + ".affine", layer.affine)
        layer.weight.copy_(self.take(prefix + ".weight", layer.weight.shape))
        layer.bias.copy_(self.take(prefix + ".bias", layer.bias.shape))
        layer.noise.copy_(self.take(prefix + ".noise_const", layer.noise.shape))
        layer.noise_strength.copy_(self.take(prefix + ".noise_strength", layer.noise_strength.shape))

    def rgb(self, prefix: str, layer: ToRgb) -> None:
        self.linear(prefix + ".affine", layer.affine)
        shape = torch.Size([*layer.weight.shape, 1, 1])
        layer.weight.copy_(self.take(prefix + ".weight", shape)[:, :, 0, 0])
        layer.bias.copy_(self.take(prefix + ".bias", layer.bias.shape))
