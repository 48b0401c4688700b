"""One image in one ciphertext as TenSEAL's tutorial 4 does it ("Encrypted Convolution on MNIST"): the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ProtocolError
from ppbench.he import seal
from ppbench.he.seal import Seal
from ppbench.models.network import Network
from ppbench.scheme import TaskFacts
from schemes.cryptonets.layout import KERNEL, STRIDE, Layers, Layout
from schemes.cryptonets.parameters import Parameters

if TYPE_CHECKING:
    from schemes.cryptonets.scheme import CryptoNets

RECOMMENDED = Parameters(8192, (31, 26, 26, 26, 26, 26, 26, 31), (26,))
"""The tutorial's; one scale for all. Its 218 bits need `scheme.security=standard_2018`."""
_N_THREADS = 1
"""Of TenSEAL's own pool, which no environment variable limits."""


class Client:
    """The participant's part: the context with the secret key."""

    def __init__(self, scheme: CryptoNets, task: TaskFacts) -> None:
        import tenseal

        self._tenseal = tenseal
        parameters = Parameters.chosen(scheme, RECOMMENDED)
        self._sample_shape = task.sample_shape
        self._n_classes = task.n_classes
        self._context = tenseal.context(
            tenseal.SCHEME_TYPE.CKKS,
            poly_modulus_degree=parameters.poly_modulus_degree,
            coeff_mod_bit_sizes=list(parameters.modulus_bits),
            n_threads=_N_THREADS,
        )
        self._context.global_scale = 2.0 ** parameters.scale_bits[0]
        self._context.generate_galois_keys()

    def public_material(self) -> list[Array]:
        """The context with public, relinearisation and all Galois keys."""
        serialised: bytes = self._context.serialize(save_secret_key=False)
        return [np.frombuffer(serialised, np.uint8)]

    def encrypt(self, samples: Array) -> list[Array]:
        """(n, d) in [0, 1] -> n ciphertexts."""
        return seal.join([self._encrypt(sample) for sample in samples])

    def decrypt(self, arrays: Sequence[Array]) -> Array:
        """The n ciphertexts of `evaluate` -> logits (n, classes)."""
        return np.array([self._decrypt(item) for item in seal.split(arrays)])

    def slots(self, item: Array) -> list[float]:
        """All that the secret key shows of one result, beyond the logits too: what the participant could learn."""
        import tenseal.sealapi as sealapi

        (ciphertext,) = _vector(self._tenseal, self._context, item).ciphertext()
        context, plaintext = self._context.seal_context().data, sealapi.Plaintext()
        sealapi.Decryptor(context, self._context.secret_key().data).decrypt(ciphertext, plaintext)
        values: list[float] = sealapi.CKKSEncoder(context).decode_double(plaintext)
        return values

    def _encrypt(self, sample: Array) -> Array:
        image = sample.reshape(self._sample_shape).tolist()
        encrypted, _ = self._tenseal.im2col_encoding(self._context, image, KERNEL, KERNEL, STRIDE)
        return np.frombuffer(encrypted.serialize(), np.uint8)

    def _decrypt(self, item: Array) -> list[float]:
        values: list[float] = _vector(self._tenseal, self._context, item).decrypt()
        return values[: self._n_classes]


class Server:
    """The coordinator's part: the context without the secret key."""

    def __init__(self, scheme: CryptoNets, network: Network) -> None:
        import tenseal

        self._tenseal = tenseal
        layers = Layers.of(network)
        rows, columns = network.shapes[1][1:]
        self._n_windows = rows * columns
        self._kernels = layers.convolution.weight[:, 0].tolist()
        self._kernel_biases = layers.convolution.bias.tolist()
        self._hidden = layers.hidden.weight.T.tolist(), layers.hidden.bias.tolist()
        self._output = layers.output.weight.T.tolist(), layers.output.bias.tolist()

    def load(self, public_material: Sequence[Array]) -> None:
        """The participant's context. Raises ProtocolError if it is none."""
        if len(public_material) != 1:
            raise ProtocolError(f"one context is awaited, not {len(public_material)} arrays")
        (serialised,) = public_material
        try:
            self._context = self._tenseal.context_from(serialised.tobytes(), n_threads=_N_THREADS)
        except (RuntimeError, ValueError) as error:
            raise ProtocolError(f"the context cannot be read: {error}") from None

    def evaluate(self, arrays: Sequence[Array]) -> list[Array]:
        """The n encrypted images of `encrypt` -> n ciphertexts of logits."""
        images = (_vector(self._tenseal, self._context, item) for item in seal.split(arrays))
        return seal.join([np.frombuffer(self._network(image).serialize(), np.uint8) for image in images])

    def _network(self, image: Seal) -> Seal:
        maps = [
            image.conv2d_im2col(kernel, self._n_windows) + bias
            for kernel, bias in zip(self._kernels, self._kernel_biases, strict=True)
        ]
        values = self._tenseal.CKKSVector.pack_vectors(maps)
        values.square_()
        weights, bias = self._hidden
        values = values.mm(weights) + bias
        values.square_()
        weights, bias = self._output
        return values.mm(weights) + bias


def parameters(scheme: CryptoNets) -> Parameters:
    """The scheme's own, or the recommended ones."""
    return Parameters.chosen(scheme, RECOMMENDED)


def check(scheme: CryptoNets, network: Network, task: TaskFacts) -> None:
    """Raise ConfigError unless this network can be computed with these parameters; no key is made."""
    parameters = Parameters.chosen(scheme, RECOMMENDED)
    parameters.check(n_primes=len(RECOMMENDED.modulus_bits), n_scales=1)
    Layers.of(network)
    Layout(parameters.n_slots, task.sample_shape, task.n_classes)


def largest_logit(scheme: CryptoNets, task: TaskFacts) -> float:
    """The |logit| beyond which the result wraps."""
    parameters = Parameters.chosen(scheme, RECOMMENDED)
    return float(2.0 ** (parameters.modulus_bits[0] - 1 - parameters.scale_bits[0]))


def _vector(tenseal: Seal, context: Seal, item: Array) -> Seal:
    try:
        return tenseal.ckks_vector_from(context, item.tobytes())
    except (RuntimeError, ValueError) as error:
        raise ProtocolError(f"a vector of {item.size} B cannot be read: {error}") from None
