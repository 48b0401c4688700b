"""Where parties live, and how they end."""
