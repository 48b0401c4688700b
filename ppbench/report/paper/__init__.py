"""Beside the figures of the ObfNet paper."""
