"""Toy schemes that prove the contract on paper's designs: real parties, channels and arithmetic, no real security."""
