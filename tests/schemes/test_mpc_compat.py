"""What is mended of CrypTen: each fault is there without the mending, and gone with it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from schemes.mpc import Mpc, compat

pytestmark = pytest.mark.skipif(bool(Mpc.why_not()), reason=str(Mpc.why_not()))

OLD = "torch.onnx._internal.registration"
WRONG = -655354
"""-9.99991 with 16 bits behind the point."""
HAS_OLD_REGISTRY = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 9)


def in_a_fresh_process(program: str) -> dict[str, Any]:
    """What the program says: it puts values into `said`."""
    program = f"import json\nsaid = {{}}\n{program}\nprint(json.dumps(said))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


@pytest.fixture
def encoder() -> Any:
    compat.load_crypten()
    return importlib.import_module("crypten.encoder").FixedPointEncoder


@pytest.mark.skipif(HAS_OLD_REGISTRY, reason="this torch has the registry where CrypTen looks for it")
def test_without_the_alias_crypten_cannot_be_imported() -> None:
    said = in_a_fresh_process(
        """
try:
    import crypten
except ModuleNotFoundError as error:
    said["missing"] = error.name
"""
    )
    assert said == {"missing": OLD}


def test_without_its_mending_the_decoder_is_one_too_low() -> None:
    said = in_a_fresh_process(
        f"""
import torch
from schemes.mpc import compat
compat.alias_registration()
from crypten.encoder import FixedPointEncoder
wrong = torch.tensor([{WRONG}])
said["before"] = FixedPointEncoder(16).decode(wrong).item()
compat.load_crypten()
said["after"] = FixedPointEncoder(16).decode(wrong).item()
"""
    )
    right = WRONG / 2**16
    assert right == pytest.approx(-9.99991, abs=1e-5)
    assert said["before"] == pytest.approx(right - 1, abs=1e-5)
    assert said["after"] == pytest.approx(right, abs=1e-5)


def test_a_torch_that_has_the_registry_where_crypten_looks_keeps_it() -> None:
    said = in_a_fresh_process(
        f"""
import sys, types
import torch.onnx
from schemes.mpc import compat
own = sys.modules["{OLD}"] = types.ModuleType("{OLD}")
compat.alias_registration()
said["kept"] = sys.modules["{OLD}"] is own
"""
    )
    assert said == {"kept": True}


@given(number=st.integers(-(2**63), 2**63 - 1), bits=st.integers(1, 40))
def test_what_is_decoded_is_the_quotient(number: int, bits: int) -> None:
    compat.load_crypten()
    encoder = importlib.import_module("crypten.encoder").FixedPointEncoder
    decoded = encoder(bits).decode(torch.tensor([number]))
    assert decoded.dtype == torch.float32
    assert decoded.item() == pytest.approx(number / 2**bits, rel=2**-23, abs=0)


def test_what_is_no_fixed_point_is_decoded_as_before(encoder: Any) -> None:
    assert encoder(16).decode(None) is None
    assert encoder(0).decode(torch.tensor([-3, 0, 7])).tolist() == [-3, 0, 7]


def test_a_decoder_is_mended_once(encoder: Any) -> None:
    mended = encoder.decode
    compat.load_crypten()
    assert encoder.decode is mended


def test_a_healthy_decoder_is_left_alone(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def healthy(self: Any, tensor: torch.Tensor) -> torch.Tensor:
        quotient: torch.Tensor = tensor.double() / self.scale
        return quotient

    monkeypatch.setattr(encoder, "decode", healthy)
    compat.mend_decoder()
    assert encoder.decode is healthy
