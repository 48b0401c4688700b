"""How rarely a test may fail by bad luck, where chance is the operating system's and cannot be seeded."""

RARE = 1e-8
"""Of a p-value, and of an interval that does not hold."""
