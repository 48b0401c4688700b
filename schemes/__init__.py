"""The built-in schemes; each comes through the entry-point group `ppbench.schemes`, as a stranger's would."""
