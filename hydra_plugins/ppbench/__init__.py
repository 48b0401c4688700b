"""ppbench's plugins for Hydra."""
