"""Models for tests on MNIST, trained in seconds; what the recipes reach by default, `make bench` measures."""

from ppbench.models.local_cnn import LocalCnn
from ppbench.models.square import CryptoNetsModel, SquareTutorial

SQUARE = SquareTutorial(epochs=5)
CRYPTONETS = CryptoNetsModel(epochs=2)
LOCAL_CNN = LocalCnn(epochs=2)
