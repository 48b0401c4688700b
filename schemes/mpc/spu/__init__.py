"""SecretFlow SPU, the strongest current peer: the same networks by another engine, with and without a dealer."""
