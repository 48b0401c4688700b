"""DP-SGD: a trusted curator trains on clear records, and what it releases tells little of any one of them."""

from schemes.dp_sgd.scheme import DpSgd

__all__ = ["DpSgd"]
