"""Schemes, one by one."""
