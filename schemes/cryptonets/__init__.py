"""CryptoNets: inference on homomorphically encrypted samples (paper, section 2.2.2)."""

from schemes.cryptonets.scheme import CryptoNets

__all__ = ["CryptoNets"]
