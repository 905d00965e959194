"""The shape of a StyleGAN2 generator, shared by the integer renderer, its weight files and the torch twin."""

from __future__ import annotations

from dataclasses import dataclass

Z_DIM = 512


@dataclass(frozen=True)
class Architecture:
    """`mapping`: output width of each fully connected layer, the last one being the dimension of w.

    `channels`: feature maps at 4, 8, 16, ... pixels; the last entry is the picture's resolution.
    """

    mapping: tuple[int, ...]
    channels: tuple[int, ...]
    z_dim: int = Z_DIM

    @property
    def resolution(self) -> int:
        """Side of the square picture in pixels."""
        return 4 << (len(self.channels) - 1)
