"""Data sets: fetched once, verified against pinned hashes, never replaced by another."""
