"""Which scheme a device should use: always for one question, never for everybody."""
