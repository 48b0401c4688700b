"""Microsoft SEAL as homomorphic schemes share it: contexts of checked security, and its objects as bytes.

Nothing of the harness imports this; it imports with numpy alone, and `tenseal` only where a context is made.
"""
