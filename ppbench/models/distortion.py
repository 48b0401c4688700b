"""Training images that are turned, scaled, sheared and moved, so that a network cannot know them by heart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ppbench.bundle import Array
from ppbench.models.training import Augmentation

if TYPE_CHECKING:
    import torch


def distortion_of(sample_shape: tuple[int, ...], distortion: float) -> Augmentation:
    """What distorts the samples in a minibatch; they are images of one channel, (height, width)."""

    def augment(batch: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
        return distorted(batch.reshape(-1, *sample_shape), distortion, random).flatten(1)

    return augment


def distorted(images: torch.Tensor, distortion: float, random: np.random.Generator) -> torch.Tensor:
    """(n, height, width) -> the same, each image changed by amounts of its own.

    `distortion` is 0 for not at all, 1 for up to 10 degrees, 10 %, a shear of 0.15 and 2 pixels of 28.
    """
    import torch

    if not distortion:
        return images
    n, height, width = images.shape
    maps = torch.from_numpy(_affine_maps(n, distortion, random))
    grid = affine_grid(maps, height, width)
    return torch.nn.functional.grid_sample(images.unsqueeze(1), grid, align_corners=False).squeeze(1)


def _affine_maps(n: int, distortion: float, random: np.random.Generator) -> Array:
    """(n, 2, 3) float32, in coordinates where an image reaches from -1 to 1."""

    def up_to(bound: float, *shape: int) -> Array:
        return random.uniform(-bound * distortion, bound * distortion, (n, *shape))

    angle, scale, shear = up_to(0.175), 1 + up_to(0.1), up_to(0.15)
    maps = np.empty((n, 2, 3), np.float32)
    maps[:, 0, 0] = maps[:, 1, 1] = scale * np.cos(angle)
    maps[:, 0, 1] = shear - np.sin(angle)
    maps[:, 1, 0] = np.sin(angle)
    maps[:, :, 2] = up_to(0.14, 2)
    return maps


def affine_grid(maps: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(n, 2, 3) -> (n, height, width, 2): where each pixel comes from, from -1 to 1.

    As torch's function of this name without `align_corners`, whose many products of small matrices take four times as
    long as the sampling itself.
    """
    import torch

    def centres(side: int) -> torch.Tensor:
        return (2 * torch.arange(side) + 1) / side - 1

    by_column = maps[:, :, 0].reshape(-1, 2, 1, 1) * centres(width)
    by_row = maps[:, :, 1].reshape(-1, 2, 1, 1) * centres(height).reshape(-1, 1)
    # Both coordinates side by side in memory would be added pixel by pixel; apart, a row at a time.
    grid = (by_row + maps[:, :, 2].reshape(-1, 2, 1, 1)) + by_column
    return grid.permute(0, 2, 3, 1)
