"""What a command imports sooner or later, imported once for all of them."""
