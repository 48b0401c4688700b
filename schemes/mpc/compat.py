"""CrypTen 0.4.1 on a current torch: each fault, how to see it, and what mends it where it is still there."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def load_crypten() -> Any:
    """The module `crypten`, mended."""
    alias_registration()
    crypten = importlib.import_module("crypten")
    mend_decoder()
    return crypten


def alias_registration() -> None:
    """Let the ONNX converter, which `import crypten` drags in, find the registry where torch 2.9 put it.

    The fault: `ModuleNotFoundError: No module named 'torch.onnx._internal.registration'` at `import crypten`.
    """
    old, new = "torch.onnx._internal.registration", "torch.onnx._internal.torchscript_exporter.registration"
    importlib.import_module("torch.onnx")
    try:
        importlib.import_module(old)
    except ImportError:
        sys.modules[old] = importlib.import_module(new)


def mend_decoder() -> None:
    """Decode fixed point by a division in float64.

    The fault: `FixedPointEncoder.decode` divides a negative number by the scale minus 1 before it rounds down, and is
    one too low where that passes an integer: with 16 bits it reads -655354, which is -9.99991, as -10.99991.
    """
    import torch

    encoder = importlib.import_module("crypten.encoder")
    wrong = torch.tensor([-655354])
    if encoder.FixedPointEncoder(precision_bits=16).decode(wrong).item() > -10.5:
        return
    original = encoder.FixedPointEncoder.decode

    def decode(self: Any, tensor: torch.Tensor | None) -> torch.Tensor | None:
        if tensor is None or self.scale == 1:
            as_before: torch.Tensor | None = original(self, tensor)
            return as_before
        plain: torch.Tensor = (tensor.double() / self.scale).float()
        return plain

    encoder.FixedPointEncoder.decode = decode
