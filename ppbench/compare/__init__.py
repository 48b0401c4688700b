"""Two results folders, figure by figure: what became better or worse, what did not, and what cannot be told."""
