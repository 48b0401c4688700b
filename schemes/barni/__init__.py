"""Barni: interactive inference, the linear layers on ciphertexts, the others on the device (paper, section 2.2.2)."""

from schemes.barni.scheme import Barni

__all__ = ["Barni"]
