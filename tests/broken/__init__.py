"""Schemes that are sound but for one thing, to show that the check for it can fail."""
