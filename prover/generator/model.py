"""StyleGAN2 in torch: the floating point twin of `huref.common.image.generator`, for importing trained weights.

After Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (arXiv 1912.04958): mapping
network, modulated and demodulated 3x3 convolutions, constant noise, RGB skips; equalized learning rates
throughout. Modulation scales the input and demodulation the output of one shared convolution, which is the
same function as scaling the weights per sample and far quicker on a CPU.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from huref.common.image.architecture import Architecture

CLAMP = 256.0
_SLOPE = 0.2


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2 with gain sqrt(2), clamped to +-256."""
    return (functional.leaky_relu(x, _SLOPE) * math.sqrt(2)).clamp(-CLAMP, CLAMP)


def filter_fir(x: Tensor, gain: float) -> Tensor:
    """Convolve the last two axes with [1,3,3,1] x [1,3,3,1] / 64 * gain, without padding."""
    x = x[..., :-3] + 3 * (x[..., 1:-2] + x[..., 2:-1]) + x[..., 3:]
    x = x[..., :-3, :] + 3 * (x[..., 1:-2, :] + x[..., 2:-1, :]) + x[..., 3:, :]
    return x * (gain / 64)


def upsample(x: Tensor) -> Tensor:
    """Double height and width with the FIR filter."""
    batch, channels, height, width = x.shape
    wide = x.new_zeros(batch, channels, height, 2, width, 2)
    wide[:, :, :, 0, :, 0] = x
    return filter_fir(functional.pad(wide.reshape(batch, channels, 2 * height, 2 * width), (2, 1, 2, 1)), 4)


class Linear(nn.Module):
    """Fully connected layer with equalized learning rate."""

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.gain, self.rate = rate / math.sqrt(inputs), rate

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs)."""
        return functional.linear(x, self.weight * self.gain, self.bias * self.rate)


class Mapping(nn.Module):
    """z (batch, z_dim), normalized to unit rms, to w (batch, w_dim); tracks the mean w for truncation."""

    mean_w: Tensor

    def __init__(self, architecture: Architecture, rate: float = 1.0) -> None:
        super().__init__()
        widths = [architecture.z_dim, *architecture.mapping]
        self.layers = nn.ModuleList(Linear(a, b, rate=rate) for a, b in pairwise(widths))
        self.register_buffer("mean_w", torch.zeros(widths[-1]))

    @property
    def stack(self) -> list[Linear]:
        """The layers in order, with their type."""
        return [cast(Linear, layer) for layer in self.layers]

    def forward(self, z: Tensor) -> Tensor:
        """w of each z, before truncation."""
        x = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.stack:
            x = activate(layer(x))
        return x

    @torch.no_grad()
    def measure_mean(self, seed: int = 0, count: int = 8192) -> None:
        """Set the truncation centre to the mean w of `count` latents."""
        z = torch.randn(count, self.stack[0].weight.shape[1], generator=torch.Generator().manual_seed(seed))
        self.mean_w.copy_(self(z).mean(0))


class StyledConvolution(nn.Module):
    """3x3 modulated convolution, optional doubling, noise constant, bias, activation."""

    noise: Tensor

    def __init__(self, w_dim: int, inputs: int, outputs: int, size: int, up: bool) -> None:
        super().__init__()
        self.affine = Linear(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(size, size))
        self.up = up

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(batch, inputs, n, n) to (batch, outputs, n or 2n, ...)."""
        style = self.affine(w)
        weight = self.weight / math.sqrt(self.weight[0].numel())
        demodulation = torch.rsqrt(style.square() @ weight.square().sum((2, 3)).T + 1e-8)
        x = x * style[:, :, None, None]
        if self.up:
            x = functional.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            x = filter_fir(functional.pad(x, (1, 1, 1, 1)), 4)
        else:
            x = functional.conv2d(x, weight, padding=1)
        offset = self.noise * self.noise_strength + self.bias[:, None, None]
        return activate(torch.addcmul(offset, x, demodulation[:, :, None, None]))


class ToRgb(nn.Module):
    """1x1 modulated convolution to three channels, without demodulation."""

    def __init__(self, w_dim: int, inputs: int) -> None:
        super().__init__()
        self.affine = Linear(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(3, inputs))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(batch, inputs, n, n) to (batch, 3, n, n)."""
        style = self.affine(w) / math.sqrt(self.weight.shape[1])
        flat = torch.bmm(style[:, None, :] * self.weight, x.flatten(2))
        return flat.reshape(len(x), 3, *x.shape[2:]) + self.bias[:, None, None]


class Block(nn.Module):
    """One resolution: an upsampling convolution (except at 4), a convolution, and RGB."""

    def __init__(self, architecture: Architecture, level: int) -> None:
        super().__init__()
        channels, size = architecture.channels[level], 4 << level
        w_dim = architecture.mapping[-1]
        self.first = None
        if level:
            self.first = StyledConvolution(w_dim, architecture.channels[level - 1], channels, size, up=True)
        self.second = StyledConvolution(w_dim, channels, channels, size, up=False)
        self.rgb = ToRgb(w_dim, channels)


class Synthesis(nn.Module):
    """w to picture."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.randn(architecture.channels[0], 4, 4))
        self.blocks = nn.ModuleList(Block(architecture, level) for level in range(len(architecture.channels)))

    @property
    def stack(self) -> list[Block]:
        """The blocks in order, with their type."""
        return [cast(Block, block) for block in self.blocks]

    def forward(self, w: Tensor) -> Tensor:
        """(batch, w_dim) to (batch, 3, size, size), about [-1, 1]."""
        x = self.constant.expand(len(w), -1, -1, -1)
        picture: Tensor | None = None
        for block in self.stack:
            if block.first is not None:
                x = block.first(x, w)
            x = block.second(x, w)
            rgb = block.rgb(x, w)
            picture = rgb if picture is None else upsample(picture) + rgb
        assert picture is not None
        return picture


class Generator(nn.Module):
    """Mapping and synthesis; `truncation` pulls w towards its mean."""

    def __init__(self, architecture: Architecture, mapping_rate: float = 1.0) -> None:
        super().__init__()
        self.architecture = architecture
        self.mapping = Mapping(architecture, mapping_rate)
        self.synthesis = Synthesis(architecture)

    def forward(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        """(batch, z_dim) to (batch, 3, size, size), about [-1, 1]."""
        w = self.mapping(z)
        if truncation != 1.0:
            w = torch.lerp(self.mapping.mean_w.expand_as(w), w, truncation)
        return self.synthesis(w)
