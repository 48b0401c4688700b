"""Differentially private data publishing: a trusted curator answers counting queries with noise."""

from schemes.dp_publishing.scheme import DpPublishing

__all__ = ["DpPublishing"]
