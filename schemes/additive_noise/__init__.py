"""Additive perturbation at inference: the participant adds Laplace or Gaussian noise to each sample."""

from schemes.additive_noise.scheme import AdditiveNoise

__all__ = ["AdditiveNoise"]
