"""Channels: framed, typed messages between parties, and the counting of their bytes."""
