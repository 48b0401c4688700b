"""Training on samples that each participant made differentially private by itself."""

from schemes.local_dp_training.scheme import LocalDpTraining

__all__ = ["LocalDpTraining"]
