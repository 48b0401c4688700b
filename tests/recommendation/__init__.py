"""`ppbench recommend`."""
