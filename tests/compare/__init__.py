"""Comparing results folders."""
