"""Random projection: samples multiplied by a Gaussian matrix, at inference and in training."""

from schemes.random_projection.inference import RandomProjection
from schemes.random_projection.training import ProjectionTraining

__all__ = ["ProjectionTraining", "RandomProjection"]
