"""Secure multi-party computation: the network on shares that say nothing each on its own (paper, section 2.2.3)."""

from schemes.mpc.scheme import Mpc

__all__ = ["Mpc"]
