"""SPU: its dealer as SPU would ask it, and both its protocols between two processes, where an interpreter has SPU."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ppbench.bundle import Array
from ppbench.cache import cache_dir
from ppbench.data.digits import Digits
from ppbench.errors import ConfigError, ProtocolError
from ppbench.launch.wire import LOOPBACK
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.models.mlp import Mlp
from ppbench.models.network import MaxPool2d, ReLU
from ppbench.records import JobRecord
from ppbench.report.summary import summary
from ppbench.wire.engine import reserve_port
from schemes.mpc import Mpc
from schemes.mpc.spu import jax_network as spu_network
from schemes.mpc.spu import sm2
from tests.helpers import spu_party

pytest.importorskip("cryptography")
from schemes.mpc.spu.dealer import Dealer, draw, parse
from tests.helpers.paths import ROOT

SEEDS = (b"a" * 16, b"b" * 16)
SPU_PYTHON = cache_dir() / "spu/bin/python"
needs_spu = pytest.mark.skipif(
    not SPU_PYTHON.exists(),
    reason=f"python3 -m venv {SPU_PYTHON.parents[1]} && {SPU_PYTHON} -m pip install spu==0.9.5 cryptography",
)


@pytest.fixture
def dealer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dealer]:
    """One that takes seeds unencrypted."""
    monkeypatch.setattr(sm2.PrivateKey, "decrypt", lambda self, seed: seed)
    made = Dealer((LOOPBACK, reserve_port(LOOPBACK)))
    made.start()
    yield made
    made.close()


def request(*drawn: tuple[int, int], size: int | None = 8, encrypted: tuple[bytes, ...] = SEEDS, **more: Any) -> bytes:
    """Arrays of (counter, bytes), as SPU asks for them."""
    seeds = [base64.b64encode(seed).decode() for seed in encrypted]
    inputs = [{"prg_count": counter, "buffer_len": n, "encrypted_seeds": seeds} for counter, n in drawn]
    return json.dumps({"prg_inputs": inputs, **({"field_size": size} if size else {}), **more}).encode()


def shares(counter: int, n: int, dtype: str = "<u8") -> tuple[Array, Array]:
    first, second = (draw(seed, counter, n).view(dtype) for seed in SEEDS)
    return first, second


def test_the_generator_is_aes_in_counter_mode() -> None:
    # AES-128 of the block 0 under the key 0, from FIPS-197's successors' test vectors.
    assert draw(bytes(16), 0, 16).tobytes().hex() == "66e94bd4ef8a2c3b884cfa59ca342b2e"
    assert draw(b"k" * 16, 3, 20).tobytes() == draw(b"k" * 16, 2, 48).tobytes()[16:36]


def test_decrypts_what_openssl_encrypted() -> None:
    key = sm2.PrivateKey(0x84ABA93C393ABF87E36B5E2C39DA536E7C1BDA093362FA5046F5F89CCFAC26E1)
    ciphertext = bytes.fromhex(
        "3079022100f7968f0697571772e35a4deca490f04e568e7ecad1c468a41995e5c1203faf3602206746b02fa357ead16e6623b5195489"
        "1d97a5b22c9e0889dd6501a3fac55ad0190420eabaf706ae63cb040beb3c41ab12ea5de4a255f2d2d7e98cdfcbf8f7828cd2010410bb"
        "1664ddb1f57f6d49a88160b8eb68e5"
    )
    assert key.decrypt(ciphertext) == b"sixteen byte key"
    assert "JfsjqSHkZ08WRa0cJJT63Y2WCROC" in key.public_pem()
    with pytest.raises(ProtocolError, match="does not decrypt"):
        sm2.PrivateKey(5).decrypt(ciphertext)
    with pytest.raises(ProtocolError, match="is none"):
        key.decrypt(ciphertext[:-1])
    with pytest.raises(ProtocolError, match="not on the curve"):
        key.decrypt(ciphertext.replace(bytes.fromhex("f7968f06"), bytes.fromhex("17968f06")))


def test_a_corrected_triple_multiplies(dealer: Dealer) -> None:
    correction = np.frombuffer(dealer.correction("AdjustMul", request((0, 80), (5, 80), (10, 80))), "<u8")
    a, b, c = (np.add(*shares(counter, 80)) for counter in (0, 5, 10))
    assert np.array_equal(c + correction, a * b)


def test_a_corrected_pair_of_private_factors_multiplies(dealer: Dealer) -> None:
    correction = np.frombuffer(dealer.correction("AdjustMulPriv", request((0, 36), (3, 36), size=4)), "<u4")
    a, b = shares(0, 36, "<u4")
    assert np.array_equal(np.add(*shares(3, 36, "<u4")) + correction, a * b)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_corrected_matrix_triple_multiplies(dealer: Dealer, transposed: bool) -> None:
    body = request((0, 48), (3, 96), (9, 64), M=2, K=3, N=4, transpose_inputs=[transposed, transposed, False])
    correction = np.frombuffer(dealer.correction("AdjustDot", body), "<u8")
    a, b, c = (np.add(*shares(counter, n)) for counter, n in ((0, 48), (3, 96), (9, 64)))
    left, right = (a.reshape(3, 2).T, b.reshape(4, 3).T) if transposed else (a.reshape(2, 3), b.reshape(3, 4))
    assert np.array_equal((c + correction).reshape(2, 4), left @ right)


def test_a_corrected_bit_triple_multiplies(dealer: Dealer) -> None:
    correction = np.frombuffer(dealer.correction("AdjustAnd", request((0, 32), (2, 32), (4, 32), size=None)), "<u8")
    a, b, c = (np.bitwise_xor(*shares(counter, 32)) for counter in (0, 2, 4))
    assert np.array_equal(c ^ correction, a & b)


def test_corrected_random_bits_are_bits(dealer: Dealer) -> None:
    correction = np.frombuffer(dealer.correction("AdjustRandBit", request((0, 4000))), "<u8")
    bits = np.add(*shares(0, 4000)) + correction
    assert set(bits.tolist()) == {0, 1}
    assert 150 < bits.sum() < 350


def test_no_random_number_serves_twice(dealer: Dealer) -> None:
    dealer.correction("AdjustMul", request((0, 80), (5, 80), (10, 80)))
    with pytest.raises(ProtocolError, match="from 14 on a second time"):
        dealer.correction("AdjustMul", request((14, 80), (20, 80), (25, 80)))


def test_a_kept_mask_serves_again_where_nothing_else_meets_it(dealer: Dealer) -> None:
    def dot(*drawn: tuple[int, int]) -> bytes:
        return request(*drawn, M=2, K=1, N=2, transpose_inputs=[False] * 3)

    # SPU does not count the mask of (1, 2) as drawn: here the product of (2, 2) covers it.
    dealer.correction("AdjustDot", dot((0, 16), (1, 16), (1, 32)))
    dealer.correction("AdjustDot", dot((3, 16), (1, 16), (4, 32)))
    with pytest.raises(ProtocolError, match="a second time"):
        dealer.correction("AdjustDot", request((6, 48), (9, 48), (9, 8), M=1, K=6, N=1, transpose_inputs=[False] * 3))


OTHER = b"c" * 16
TRIPLE = ((9, 80), (14, 80), (19, 80))


@pytest.mark.parametrize("encrypted", [(SEEDS[0], OTHER), (OTHER, SEEDS[1]), SEEDS[::-1]], ids=["one", "two", "turned"])
def test_a_second_pair_of_seeds_is_refused(dealer: Dealer, encrypted: tuple[bytes, ...]) -> None:
    dealer.correction("AdjustMul", request((0, 16), (1, 16), (2, 16)))
    with pytest.raises(ProtocolError, match="has settled the two seeds of this job"):
        dealer.correction("AdjustMul", request(*TRIPLE, encrypted=encrypted))
    dealer.correction("AdjustMul", request(*TRIPLE))


@pytest.mark.parametrize(
    "encrypted",
    [(SEEDS[0], SEEDS[0]), SEEDS[:1], (*SEEDS, OTHER), (*SEEDS, SEEDS[0]), (), (SEEDS[0], b"short")],
    ids=["the same twice", "one", "three", "one of them twice", "none", "a short one"],
)
def test_what_is_no_pair_of_seeds_is_refused(dealer: Dealer, encrypted: tuple[bytes, ...]) -> None:
    with pytest.raises(ProtocolError, match="two parties with different seeds of 16 bytes"):
        dealer.correction("AdjustMul", request(*TRIPLE, encrypted=encrypted))
    dealer.correction("AdjustMul", request(*TRIPLE))


def test_two_pairs_in_one_request_are_refused(dealer: Dealer) -> None:
    one, other = (json.loads(request(*TRIPLE, encrypted=pair)) for pair in (SEEDS, (SEEDS[0], OTHER)))
    mixed = {**one, "prg_inputs": [*one["prg_inputs"][:2], *other["prg_inputs"][2:]]}
    with pytest.raises(ProtocolError, match="a request names others"):
        dealer.correction("AdjustMul", json.dumps(mixed).encode())


DOT: dict[str, Any] = {"M": 2, "K": 3, "N": 4, "transpose_inputs": [False] * 3}


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("AdjustMul", request((0, 80), (5, 80), (10, 88))),
        ("AdjustMul", request((0, 80), (5, 80))),
        ("AdjustMul", request()),
        ("AdjustMul", request((0, 0), (0, 0), (0, 0))),
        ("AdjustMulPriv", request((0, 80), (5, 80), (10, 80))),
        ("AdjustAnd", request((0, 32), (2, 40), (5, 32), size=None)),
        ("AdjustRandBit", request((0, 16), (1, 16))),
        ("AdjustDot", request((0, 48), (3, 96), (9, 56), **DOT)),
        ("AdjustDot", request((0, 96), (6, 48), (9, 64), **DOT)),
        ("AdjustDot", request((0, 48), (3, 96), (9, 64), **{**DOT, "transpose_inputs": [True]})),
    ],
)
def test_arrays_that_an_operation_does_not_take_are_refused(dealer: Dealer, operation: str, body: bytes) -> None:
    with pytest.raises(ProtocolError, match=f"{operation} (takes arrays of|says of 3 matrices)"):
        dealer.correction(operation, body)
    # Nothing was drawn for it.
    dealer.correction("AdjustMul", request((0, 16), (1, 16), (2, 16)))


def posted(dealer: Dealer, body: bytes, **headers: str) -> bytes:
    """The answer of the running dealer."""
    connection = http.client.HTTPConnection(*dealer.address, timeout=10)
    connection.request("POST", "/BeaverService/AdjustMul", body, headers)
    answer = connection.getresponse().read()
    connection.close()
    return answer


@pytest.mark.parametrize("length", [str(1 << 30), "-1", "many"])
def test_a_body_of_another_length_is_refused_unread(dealer: Dealer, length: str) -> None:
    answer = posted(dealer, b"{}", **{"Content-Length": length})
    assert answer[0] == 1
    assert b"at most 65536 bytes" in answer
    assert posted(dealer, request(*TRIPLE))[0] == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\x00", "no request"),
        (b"[]", "no request"),
        (b'{"prg_inputs": [{"buffer_len": 8}]}', "no request"),
        (request((0, 16), size=16), "128 bits"),
        (request((0, 12)), "64 bits"),
        (request((0, 16), element_type="GFMP"), "GFMP"),
        (request((-1, 16)), "-1 is negative"),
        (request((0, -16)), "-16 is negative"),
        (request((0, 16), M=-1), "-1 is negative"),
        (request((0, 1 << 29), (0, 1 << 29), (0, 16)), "at most 1073741824 bytes"),
        (request((1 << 64, 16)), "the first 281474976710656 numbers"),
        (b'{"prg_inputs": [{"buffer_len": 1e999}]}', "no request"),
        (b"[" * 60_000, "no request"),
    ],
    ids=str,
)
def test_refuses_what_it_cannot_correct(body: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        parse(body)


def test_refuses_an_unknown_operation(dealer: Dealer) -> None:
    with pytest.raises(ProtocolError, match="no 'AdjustPerm'"):
        dealer.correction("AdjustPerm", b"{}")


def test_parameters_are_in_spu_s_layout() -> None:
    network = spu_party.network("relu")
    assert [array.shape for array in spu_network.parameters(network)] == [(3, 3, 1, 2), (2,), (18, 5), (5,)]
    layers = spu_network._relu_after_pooling(network.layers)
    assert isinstance(layers[1], MaxPool2d)
    assert isinstance(layers[2], ReLU)


class Pair:
    """Both parties, and the dealer where there is one."""

    def __init__(self, network: str, n: int, patience_s: float = 60, with_dealer: bool = True, **options: Any) -> None:
        self.ports = [reserve_port(LOOPBACK) for _ in range(3)]
        self.dealer = Dealer(("127.0.0.1", self.ports[2])) if with_dealer else None
        key = None
        if self.dealer:
            self.dealer.start()
            key = self.dealer.public_key
        spec = {"ports": self.ports, "network": network, "n": n, "patience_s": patience_s, "options": options}
        self.folder = tempfile.TemporaryDirectory()
        self.parties = [
            subprocess.Popen(
                [SPU_PYTHON, "-m", "tests.helpers.spu_party"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                # SPU leaves a folder where it runs.
                cwd=self.folder.name,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                start_new_session=True,
            )
            for _ in range(2)
        ]
        for rank, party in enumerate(self.parties):
            say(party, json.dumps({**spec, "rank": rank, "public_key": key}))

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        for party in self.parties:
            party.kill()
            party.communicate()
        self.folder.cleanup()
        if self.dealer:
            self.dealer.close()

    def finish(self) -> list[dict[str, Any]]:
        """What coordinator and participant report."""
        for state in ("warm", "done"):
            assert [hear(party) for party in self.parties] == [state, state]
            time.sleep(0.5)
            for party in self.parties:
                say(party, "")
        return [json.loads(hear(party)) for party in self.parties]


def say(party: subprocess.Popen[str], line: str) -> None:
    assert party.stdin is not None
    party.stdin.write(line + "\n")
    party.stdin.flush()


def hear(party: subprocess.Popen[str]) -> str:
    assert party.stdout is not None
    return party.stdout.readline().strip()


@needs_spu
@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("relu", {}),
        ("relu", {"open_once": False}),
        ("relu", {"labels_only": True}),
        ("square", {}),
        ("dense", {}),
        ("dense", {"open_once": False}),
        ("relu", {"protocol": "cheetah"}),
        ("square", {"protocol": "cheetah", "labels_only": True}),
    ],
    ids=str,
)
def test_two_processes_answer_as_the_network(network: str, options: dict[str, Any]) -> None:
    n = 3
    with Pair(network, n, with_dealer="protocol" not in options, **options) as pair:
        coordinator, participant = pair.finish()
    expected = spu_party.network(network)(spu_party.samples(n))
    if options.get("labels_only"):
        assert participant["found"] == expected.argmax(axis=1).tolist()
    else:
        assert np.allclose(participant["found"], expected, atol=2e-3)
    assert coordinator["found"] is None
    assert coordinator["sent"] == participant["received"]
    assert coordinator["received"] == participant["sent"]


@needs_spu
@pytest.mark.slow
def test_the_kernel_counts_what_spu_counts_and_its_frames() -> None:
    with Pair("linear", 2, open_once=False) as pair:
        coordinator, participant = pair.finish()
    # A product's opening, the shift of its result, and the answer.
    assert participant["rounds"] == 3
    for own, other in ((coordinator, participant), (participant, coordinator)):
        theirs = {(socket["remote"], socket["local"]): socket for socket in other["sockets"]}
        # On a busy machine SPU was seen to give up one of a party's ends early, and the kernel its count with it.
        both = [socket for socket in own["sockets"] if (socket["local"], socket["remote"]) in theirs]
        assert both
        for socket in both:
            # One of SPU's own acknowledgements may be under way.
            assert abs(socket["sent"] - theirs[socket["local"], socket["remote"]]["received"]) < 250
        if len(both) == 2:
            assert own["sent"] < sum(socket["sent"] for socket in both) < own["sent"] + 5000


@needs_spu
@pytest.mark.slow
def test_weights_that_stay_open_are_not_opened_again() -> None:
    moved = {}
    for open_once in (True, False):
        with Pair("dense", 1, open_once=open_once) as pair:
            moved[open_once] = pair.finish()[1]
    n_weights = spu_party.SIDE**2 * 12 + 12 * 5
    assert moved[False]["batch_sent"] - moved[True]["batch_sent"] == 8 * n_weights
    assert moved[False]["rounds"] == moved[True]["rounds"]


@needs_spu
@pytest.mark.slow
def test_a_stopped_peer_is_given_up() -> None:
    with Pair("relu", 2, patience_s=4, with_dealer=False) as pair:
        assert [hear(party) for party in pair.parties] == ["warm", "warm"]
        coordinator, participant = pair.parties
        coordinator.send_signal(signal.SIGSTOP)
        say(participant, "")
        assert json.loads(hear(participant))["error"].startswith("PeerGone: SPU stopped: Get data timeout")


@needs_spu
@pytest.mark.slow
def test_a_peer_that_never_comes_is_given_up() -> None:
    with Pair("relu", 2, patience_s=2, with_dealer=False) as pair:
        coordinator, participant = pair.parties
        coordinator.kill()
        assert json.loads(hear(participant))["error"].startswith("PeerGone: SPU stopped: connect to mesh failed")


def job(scheme: Mpc, folder: Path, n_samples: int = 20) -> JobRecord:
    task = TaskOptions(n_samples=n_samples, batch_size=10)
    return experiment.run(Job(scheme, Digits(), Mlp(), task, MeasureOptions(repetitions=1)), folder)


@needs_spu
@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["semi2k", "cheetah"])
def test_a_job_by_spu_answers_as_the_model(tmp_path: Path, protocol: str) -> None:
    record = job(Mpc(engine="spu", protocol=protocol), tmp_path)
    assert record.status == "ok", record.reason
    measured = summary([record]).iloc[0]
    assert measured.agreement == 1
    assert measured.largest_logit_error < 0.05
    assert measured.rounds > 2
    # The kernel counts what SPU itself does not: framing, and its acknowledgements.
    assert 0 < measured.engine_bytes_per_sample < measured.up_bytes_per_sample + measured.down_bytes_per_sample
    assert (measured.third_party_bytes_per_sample > 0) == (protocol == "semi2k")


def test_without_its_environment_a_job_by_spu_is_a_row_with_the_line_that_makes_it(tmp_path: Path) -> None:
    record = job(Mpc(engine="spu", environment=str(tmp_path / "nowhere")), tmp_path)
    assert record.status == "unavailable"
    assert f"python3 -m venv {tmp_path / 'nowhere'}" in record.reason


def test_options_that_spu_does_not_have_are_refused() -> None:
    with pytest.raises(ConfigError, match="pooling=stock is for"):
        Mpc(engine="spu", pooling="stock")
    with pytest.raises(ConfigError, match="protocol=cheetah is for"):
        Mpc(protocol="cheetah")
