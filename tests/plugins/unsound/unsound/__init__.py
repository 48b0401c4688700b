"""Plugins that are broken in ways that only their installation shows."""
