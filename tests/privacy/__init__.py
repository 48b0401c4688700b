"""Mechanisms and their guarantees."""
