"""Numbers kept where they are not negative: what ReLU, max-pooling and argmax are made of."""

from __future__ import annotations

import abc
from collections.abc import Iterator

import torch

from schemes.mpc import sign
from schemes.mpc.correlations import COORDINATOR, Correlation, SelectMask, Values, as_numbers
from schemes.mpc.session import Session


class Selection(abc.ABC):
    """(values, n) numbers -> the same where the first value is not negative, 0 elsewhere; all of them shared."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def needs(self, n_values: int, n: int) -> list[Correlation]:
        """What it uses up."""
        return []

    @abc.abstractmethod
    def __call__(self, numbers: torch.Tensor, dealt: Iterator[list[Values]]) -> torch.Tensor:
        """Shares -> shares."""


class MaskedSelection(Selection):
    """By one message each way once the sign is known as shared bits.

    The bit b and the values v are opened masked, as z = b ^ r and e = v - a. Then b = z + (1 - 2z) r, and
    b v = z (e + a) + (1 - 2z) (r e + r a), of which the dealer gave shares of r, a and r a.
    """

    def needs(self, n_values: int, n: int) -> list[Correlation]:
        """See `Selection.needs`."""
        return [*sign.needs(n), SelectMask(n_values, n)]

    def __call__(self, numbers: torch.Tensor, dealt: Iterator[list[Values]]) -> torch.Tensor:
        """See `Selection.__call__`."""
        kept = sign.is_negative(numbers[0], dealt, self._session)
        if self._session.rank == COORDINATOR:
            kept = ~kept
        bit_mask, mask, bit_number, product = next(dealt)
        masked_bits, masked = kept ^ bit_mask, (numbers - mask).numpy()
        others_bits, others = self._session.exchange("masked bits and values", masked_bits, masked)
        z = as_numbers(masked_bits ^ others_bits, numbers.shape[1])
        e = torch.from_numpy(masked + others)
        selected: torch.Tensor = z * mask + (1 - 2 * z) * (bit_number * e + product)
        if self._session.rank == COORDINATOR:
            selected += z * e
        return selected


class StockSelection(Selection):
    """CrypTen's comparison with 0 and its product."""

    def __call__(self, numbers: torch.Tensor, dealt: Iterator[list[Values]]) -> torch.Tensor:
        """See `Selection.__call__`."""
        tensor = self._session.crypten.mpc.MPCTensor.from_shares
        selected: torch.Tensor = (tensor(numbers) * tensor(numbers[0]).ge(0)).share
        return selected
