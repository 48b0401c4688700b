"""ObfNet: lightweight, voluntary obfuscation of inference samples (paper, section 3)."""

from schemes.obfnet.scheme import ObfNet

__all__ = ["ObfNet"]
