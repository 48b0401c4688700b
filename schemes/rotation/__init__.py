"""Rotation perturbation: all samples turned by one secret orthogonal matrix, so that no distance changes."""

from schemes.rotation.scheme import Rotation

__all__ = ["Rotation"]
