"""Where parties live, and what starts and ends them."""
