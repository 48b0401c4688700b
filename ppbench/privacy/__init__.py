"""Differential privacy: mechanisms, what they guarantee, and an audit of what they really give. Numpy alone, but for
the audit.
"""
