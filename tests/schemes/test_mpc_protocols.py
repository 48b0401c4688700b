"""The protocols of multi-party computation, each party in a thread: they compute the network, and open noise."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from ppbench.bundle import Array
from ppbench.models.network import (
    AvgPool2d,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Network,
    ReLU,
    Square,
)
from schemes.mpc import Mpc, headroom, plan, sign, steps
from schemes.mpc.correlations import (
    COORDINATOR,
    PARTICIPANT,
    BitProducts,
    Correlation,
    InputMask,
    PrivateAnd,
    SelectMask,
    SquareMask,
    Stream,
    Values,
    WeightMask,
    deal,
    draw,
    from_request,
    to_request,
)
from schemes.mpc.linear_map import LinearMap
from schemes.mpc.ring import Ring
from schemes.mpc.selection import MaskedSelection
from schemes.mpc.source import Source
from tests.helpers.mpc_memory import KEYS, Inference, InMemory, between, number_of, shares_of
from tests.helpers.mpc_models import every_layer
from tests.helpers.rare import RARE

RINGS = [Ring(48), Ring(56), Ring(64)]
RINGS_BY_BITS = pytest.mark.parametrize("ring", RINGS, ids=lambda ring: f"{ring.bits} bits")
SCALE = 2**14
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
seeds = st.integers(0, 2**32 - 1)
rings = st.sampled_from(RINGS)
keys = st.tuples(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
sides = st.integers(1, 5)
shapes = st.lists(sides, min_size=1, max_size=3).map(tuple)
Compute: TypeAlias = Callable[[InMemory, torch.Tensor, Iterator[list[Values]]], torch.Tensor]


def congruent(ring: Ring, one: Any, other: Any) -> bool:
    """Whether numbers are the same modulo 2^k."""
    difference = np.asarray(one) - np.asarray(other)
    return not ring.signed(torch.from_numpy(np.atleast_1d(difference))).any()


# The ring.


@given(st.lists(INT64, min_size=1, max_size=20), rings)
def test_what_is_packed_in_the_ring_comes_back_modulo_its_size(numbers: list[int], ring: Ring) -> None:
    array = np.array(numbers, np.int64)
    packed = ring.pack(array)
    assert packed.dtype == np.uint8
    assert packed.size == len(numbers) * ring.bits // 8
    assert congruent(ring, ring.unpack(packed, (1, len(numbers)))[0], array)


@given(INT64, rings)
def test_signed_numbers_are_the_nearest_to_zero(number: int, ring: Ring) -> None:
    signed = int(ring.signed(torch.tensor([number])))
    assert (signed - number) % 2**ring.bits == 0
    assert -(2 ** (ring.bits - 1)) <= signed < 2 ** (ring.bits - 1)


@given(
    numbers=st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=20),
    divisor=st.sampled_from([2, 4, 9, 2**8, 2**14, 2**16]),
    ring=rings,
    seed=seeds,
)
def test_truncated_shares_are_of_the_quotient_within_one_unless_they_wrap(
    numbers: list[int], divisor: int, ring: Ring, seed: int
) -> None:
    array = np.array(numbers)
    shares = shares_of(array, ring, seed)
    # Shares that do not add up to the number as plain integers are the rare ones that wrap.
    sound = sum(ring.signed(share).numpy().astype(object) for share in shares) == array
    quotients = number_of(ring, [ring.truncated(share, divisor) for share in shares])
    assert np.abs(quotients - array / divisor)[sound].max(initial=0) <= 1


@RINGS_BY_BITS
def test_truncation_goes_wrong_as_rarely_as_it_is_said_to(ring: Ring) -> None:
    n = 100_000
    for share_of_ring in (2**-3, 2**-6):
        numbers = np.full(n, int(2 ** (ring.bits - 1) * share_of_ring))
        shares = shares_of(numbers, ring, seed=1)
        quotients = number_of(ring, [ring.truncated(share, SCALE) for share in shares])
        wrong = (np.abs(quotients - numbers / SCALE) > 1).mean()
        assert 0 < wrong <= share_of_ring
    small = np.full(n, 2**20)
    quotients = number_of(ring, [ring.truncated(share, SCALE) for share in shares_of(small, ring, seed=2)])
    assert np.abs(quotients - small / SCALE).max() <= 1


# What is dealt.


@st.composite
def input_masks(draw: st.DrawFn) -> InputMask:
    layer, n, inputs, outputs = draw(st.integers(0, 3)), draw(sides), draw(sides), draw(sides)
    if draw(st.booleans()):
        return InputMask(layer, LinearMap((outputs, inputs)), (n, inputs))
    padding = draw(st.integers(0, 2))
    height, width = draw(sides), draw(sides)
    kernel = [draw(st.integers(1, min(4, side + 2 * padding))) for side in (height, width)]
    stride = draw(st.integers(1, 3))
    return InputMask(layer, LinearMap((outputs, inputs, *kernel), stride, padding), (n, inputs, height, width))


@st.composite
def bit_products(draw: st.DrawFn) -> BitProducts:
    n_inputs = draw(st.integers(2, 7))
    monomial = st.lists(st.integers(0, n_inputs - 1), min_size=2, max_size=5, unique=True).map(tuple)
    return BitProducts(tuple(draw(st.lists(monomial, min_size=1, max_size=4))), draw(shapes))


correlations: st.SearchStrategy[Correlation] = st.one_of(
    st.builds(WeightMask, st.integers(0, 3), shapes),
    input_masks(),
    st.builds(SquareMask, shapes),
    st.builds(PrivateAnd, shapes),
    bit_products(),
    st.builds(SelectMask, st.integers(1, 3), st.integers(1, 20)),
)


def dealt(
    correlation: Correlation, streams: tuple[Stream, Stream], own: Stream, ring: Ring, weight_masks: dict[int, Values]
) -> tuple[list[Values], list[Values]]:
    """The whole parts, free and determined, put together from what each party ends up with."""
    drawn, fitting = deal(correlation, *streams, weight_masks)
    at_participant = iter(draw(correlation, PARTICIPANT, own))
    at_coordinator = iter(drawn)
    free = []
    for part in correlation.free():
        shares = [
            next(shares)
            for rank, shares in ((COORDINATOR, at_coordinator), (PARTICIPANT, at_participant))
            if part.owner in (None, rank)
        ]
        free.append(functools.reduce(lambda a, b: a + b if part.kind == "ring" else a ^ b, shares))
    determined = []
    for part, value in zip(correlation.determined(), fitting, strict=True):
        sent = part.to_bytes(value, ring)
        assert len(sent) == part.n_bytes(ring)
        arrived = part.from_bytes(np.frombuffer(sent, np.uint8), ring)
        assert tuple(arrived.shape) == part.shape
        share = next(at_participant)
        determined.append(arrived + share if part.kind == "ring" else arrived ^ share)
    assert next(at_coordinator, None) is None
    assert next(at_participant, None) is None
    return free, determined


def due(correlation: Correlation, free: list[Values], weight_masks: dict[int, Array]) -> list[Array]:
    """What the determined parts are to be, by another way than the dealer's."""
    match correlation:
        case InputMask(layer, map):
            weight, bias = weight_masks[layer], np.zeros(map.weight_shape[0], np.int64)
            kinds = (Linear(weight, bias), Conv2d(weight, bias, map.stride, map.padding))
            return [kinds[len(map.weight_shape) == 4](free[0].numpy())]
        case SquareMask():
            return [(free[0] * free[0]).numpy()]
        case PrivateAnd():
            return [free[0] & free[1]]
        case BitProducts(monomials):
            subsets = {
                tuple(sorted(chosen))
                for monomial in monomials
                for chosen in itertools.chain.from_iterable(
                    itertools.combinations(monomial, size) for size in range(2, len(monomial) + 1)
                )
            }
            (masks,) = free
            return [np.stack([functools.reduce(np.bitwise_and, masks[list(s)]) for s in sorted(subsets)])]
        case SelectMask(n=n):
            packed, values = free
            bits = np.array([(packed[i // 8] >> (i % 8)) & 1 for i in range(n)], np.int64)
            return [bits, bits * values.numpy()]
    return []


@given(st.lists(correlations, min_size=1, max_size=4), rings, keys)
def test_shares_of_what_is_dealt_fit_together(found: list[Correlation], ring: Ring, keys: tuple[bytes, bytes]) -> None:
    streams, own = (Stream(keys[0]), Stream(keys[1])), Stream(keys[1])
    weight_masks: dict[int, Values] = {}
    known: dict[int, Array] = {}
    # Of a layer whose input is masked, the weights were masked before.
    layers = [WeightMask(c.layer, c.map.weight_shape) for c in found if isinstance(c, InputMask)]
    last = {mask.layer: mask.shape for mask in layers}
    found = [
        c
        for c in found
        if not isinstance(c, WeightMask) and not (isinstance(c, InputMask) and last[c.layer] != c.map.weight_shape)
    ]
    for correlation in [*(WeightMask(layer, shape) for layer, shape in last.items()), *found]:
        free, determined = dealt(correlation, streams, own, ring, weight_masks)
        if isinstance(correlation, WeightMask):
            known[correlation.layer] = free[0].numpy()
        for part, value, right in zip(correlation.determined(), determined, due(correlation, free, known), strict=True):
            assert tuple(value.shape) == part.shape
            if part.kind == "ring":
                assert congruent(ring, value, right)
            else:
                assert np.array_equal(value, right)


@given(correlations, keys)
def test_a_mask_with_an_owner_is_never_drawn_by_the_other(correlation: Correlation, keys: tuple[bytes, bytes]) -> None:
    for rank in (COORDINATOR, PARTICIPANT):
        mine = [part for part in correlation.free() if part.owner in (None, rank)]
        if rank == PARTICIPANT:
            mine += correlation.determined()
        drawn = draw(correlation, rank, Stream(keys[rank]))
        assert [tuple(value.shape) for value in drawn] == [part.shape for part in mine]


def is_plain(request: Any) -> bool:
    return isinstance(request, int | str) or (isinstance(request, tuple) and all(map(is_plain, request)))


@given(correlations)
def test_a_request_is_plain_and_names_its_correlation(correlation: Correlation) -> None:
    request = to_request(correlation)
    assert is_plain(request)
    assert from_request(request) == correlation


@given(input_masks())
def test_the_shape_of_an_output_is_known_without_computing_it(mask: InputMask) -> None:
    outputs = mask.map(
        torch.zeros(mask.map.weight_shape, dtype=torch.int64), torch.zeros(mask.shape, dtype=torch.int64)
    )
    assert tuple(outputs.shape) == mask.map.output_shape(mask.shape)


# One protocol at a time.


def computed(
    numbers: Array,
    ring: Ring,
    needs: Callable[[InMemory], list[Correlation]],
    compute: Compute,
    keys: tuple[bytes, bytes] = KEYS,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both parties' shares of a result; they use up all that they need and no more."""
    inputs = shares_of(numbers, ring, seed=3)

    def program(session: InMemory, source: Source) -> torch.Tensor:
        supply = source.take(needs(session))
        share = compute(session, inputs[session.rank], supply)
        assert next(supply, None) is None
        return share

    return between(ring, program, keys)


def stepped(numbers: Array, ring: Ring, step: Callable[[InMemory], steps.Step]) -> Array:
    """What a step makes of shares of numbers."""

    def program(session: InMemory, share: torch.Tensor, supply: Iterator[list[Values]]) -> torch.Tensor:
        return step(session)(share, supply)

    return number_of(ring, computed(numbers, ring, lambda session: step(session).needs(numbers.shape), program))


EXTREMES = [0, 1, -1, 2, -2, SCALE, -SCALE, 2**30, -(2**30), 2**31 - 1, -(2**31), 255, 256, -256, 2**16, -(2**16)]


def signs(numbers: Array, ring: Ring, keys: tuple[bytes, bytes] = KEYS) -> Array:
    def program(session: InMemory, share: torch.Tensor, supply: Iterator[list[Values]]) -> torch.Tensor:
        return torch.from_numpy(sign.is_negative(share, supply, session))

    one, other = computed(numbers, ring, lambda _: sign.needs(len(numbers)), program, keys)
    negative: Array = np.unpackbits((one ^ other).numpy(), count=len(numbers), bitorder="little").astype(bool)
    return negative


@settings(max_examples=50)
@given(st.lists(INT32 | st.sampled_from(EXTREMES), min_size=1, max_size=35), rings, keys)
def test_signs_of_all_numbers_of_32_bits_are_found(numbers: list[int], ring: Ring, keys: tuple[bytes, bytes]) -> None:
    array = np.array(numbers)
    assert np.array_equal(signs(array, ring, keys), array < 0)


@pytest.mark.parametrize("n", [len(EXTREMES), len(EXTREMES) - 1, 1])
@RINGS_BY_BITS
def test_signs_of_extremes_are_found(ring: Ring, n: int) -> None:
    numbers = np.array(EXTREMES[:n])
    assert np.array_equal(signs(numbers, ring), numbers < 0)


def selected(numbers: Array, ring: Ring) -> Array:
    def program(session: InMemory, share: torch.Tensor, supply: Iterator[list[Values]]) -> torch.Tensor:
        return MaskedSelection(session)(share, supply)

    needs = functools.partial(MaskedSelection.needs, n_values=len(numbers), n=numbers.shape[1])
    return number_of(ring, computed(numbers, ring, lambda session: needs(MaskedSelection(session)), program))


@settings(max_examples=50)
@given(st.lists(st.tuples(INT32, INT64, INT64), min_size=1, max_size=20), st.integers(1, 3), rings)
def test_values_are_kept_where_the_first_is_not_negative(
    rows: list[tuple[int, int, int]], n_values: int, ring: Ring
) -> None:
    numbers = np.array(rows, np.int64).T[:n_values]
    assert congruent(ring, selected(numbers, ring), np.where(numbers[0] >= 0, numbers, 0))


@RINGS_BY_BITS
def test_relu_is_exact(ring: Ring) -> None:
    numbers = np.random.default_rng(0).integers(-(2**31), 2**31, (3, 2, 5))
    result = stepped(numbers, ring, lambda session: steps.Relu(MaskedSelection(session)))
    assert np.array_equal(result, np.maximum(numbers, 0))


@RINGS_BY_BITS
@pytest.mark.parametrize(
    ("size", "shape"), [(2, (6, 8)), (2, (7, 5)), (3, (9, 6)), (3, (7, 8)), (4, (4, 5)), (1, (3, 3))]
)
def test_tree_pooling_is_exact(ring: Ring, size: int, shape: tuple[int, int]) -> None:
    numbers = np.random.default_rng(0).integers(-(2**30), 2**30, (2, 3, *shape))
    result = stepped(numbers, ring, lambda session: steps.TreeMaxPool(size, MaskedSelection(session)))
    assert np.array_equal(result, MaxPool2d(size)(numbers))


@pytest.mark.parametrize("n_classes", range(2, 14))
def test_the_tournament_finds_the_largest_logit(n_classes: int) -> None:
    ring = Ring(56)
    random = np.random.default_rng(n_classes)
    # Every class wins once, and once all are negative.
    numbers = random.integers(-(2**29), 2**29, (n_classes + 1, n_classes))
    numbers[range(n_classes), range(n_classes)] = 2**29 + 1
    numbers[-1] = -np.abs(numbers[-1])
    labels = stepped(numbers, ring, lambda session: steps.Argmax(MaskedSelection(session), session.rank))
    assert np.array_equal(labels, numbers.argmax(axis=1))


@settings(max_examples=50)
@given(st.lists(st.integers(-3, 3), min_size=2, max_size=13))
def test_of_equal_logits_one_of_the_largest_is_found(logits: list[int]) -> None:
    (label,) = stepped(
        np.array([logits]), Ring(56), lambda session: steps.Argmax(MaskedSelection(session), session.rank)
    )
    assert 0 <= label < len(logits)
    assert logits[label] == max(logits)


def real_numbers(shape: tuple[int, ...], largest: float = 4.0) -> Array:
    return np.rint(np.random.default_rng(5).uniform(-largest, largest, shape) * SCALE).astype(np.int64)


@RINGS_BY_BITS
def test_a_square_is_within_one_of_the_last_bit(ring: Ring) -> None:
    numbers = real_numbers((4, 3, 5))
    # In 48 bits, numbers up to 1/2 can be squared at this scale without a mistake in so few of them.
    numbers = numbers if ring.bits > 48 else numbers // 8
    result = stepped(numbers, ring, lambda session: steps.Square(session, SCALE))
    assert np.abs(result - numbers**2 / SCALE).max() <= 1


@pytest.mark.parametrize(("size", "shape"), [(2, (6, 8)), (2, (7, 5)), (3, (7, 8))])
def test_a_mean_is_within_one_of_the_last_bit(size: int, shape: tuple[int, int]) -> None:
    numbers = real_numbers((2, 3, *shape))
    result = stepped(numbers, Ring(56), lambda session: steps.AvgPool(AvgPool2d(size), session))
    assert np.abs(result - AvgPool2d(size)(numbers.astype(np.float64))).max() <= 1.01


RANDOM = np.random.default_rng(6)
SQUARE_KERNEL, FLAT_KERNEL = Conv2d.initial(2, 4, 3, RANDOM), RANDOM.uniform(-1, 1, (3, 2, 1, 4)).astype(np.float32)
LINEAR_LAYERS: list[tuple[Linear | Conv2d, tuple[int, ...]]] = [
    (Linear.initial(30, 7, RANDOM), (5, 30)),
    (Linear.initial(1, 1, RANDOM), (1, 1)),
    *(
        (dataclasses.replace(SQUARE_KERNEL, stride=stride, padding=padding), (3, 2, *sides))
        for stride, padding in [(1, 0), (2, 0), (1, 2), (3, 1)]
        for sides in [(7, 7), (8, 5)]
    ),
    (Conv2d(FLAT_KERNEL, np.ones(3, np.float32), stride=2, padding=1), (2, 2, 5, 6)),
]


def silenced(layer: Linear | Conv2d) -> Linear | Conv2d:
    """As the participant knows it."""
    return dataclasses.replace(layer, weight=np.zeros_like(layer.weight), bias=np.zeros_like(layer.bias))


def in_fixed_point(layer: Linear | Conv2d) -> Linear | Conv2d:
    """Exact, at the square of the scale, where float64 holds the integers."""
    weight, bias = layer.weight.astype(np.float64), layer.bias.astype(np.float64)
    return dataclasses.replace(layer, weight=np.rint(weight * SCALE), bias=np.rint(bias * SCALE**2))


@pytest.mark.parametrize(("layer", "shape"), LINEAR_LAYERS)
def test_a_layer_whose_weights_were_opened_masked_is_within_one_of_the_last_bit(
    layer: Linear | Conv2d, shape: tuple[int, ...]
) -> None:
    ring, numbers = Ring(56), real_numbers(shape)
    inputs = shares_of(numbers, ring, seed=4)

    def program(session: InMemory, source: Source) -> list[torch.Tensor]:
        known = layer if session.rank == COORDINATOR else silenced(layer)
        step = steps.MaskedLinear(0, known, session, SCALE)
        (mask,) = source.fetch([step.weight_mask()])
        step.open_weights(mask)
        # The weights are opened once, whatever number of batches comes.
        return [step(share, source.take(step.needs(tuple(share.shape)))) for share in [inputs[session.rank]] * 2]

    due = in_fixed_point(layer)(numbers.astype(np.float64)) / SCALE
    for result in zip(*between(ring, program), strict=True):
        assert np.abs(number_of(ring, result) - due).max() <= 1


# Networks.


def images(n: int, seed: int = 7) -> Array:
    return np.random.default_rng(seed).random((n, 64), np.float32)


def dense(*widths: int) -> Network:
    random = np.random.default_rng(8)
    layers: list[Layer] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [Linear.initial(inputs, outputs, random), ReLU()]
    return Network(widths[:1], tuple(layers[:-1]))


def lenet_like() -> Network:
    random = np.random.default_rng(9)
    return Network(
        (1, 8, 8),
        (
            Conv2d.initial(1, 3, 3, random, padding=1),
            ReLU(),
            MaxPool2d(2),
            Conv2d.initial(3, 4, 2, random),
            ReLU(),
            MaxPool2d(3),
            Flatten(),
            Linear.initial(4, 10, random),
        ),
    )


NETWORKS = {
    "dense": dense(64, 20, 10),
    "pooling": lenet_like(),
    "every layer": every_layer(np.random.default_rng(10)),
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize(
    "options",
    [{}, {"ring_bits": 64}, {"ring_bits": 48, "precision_bits": 10}, {"precision_bits": 18}, {"dealer": "prefetch"}],
    ids=str,
)
def test_logits_on_shares_are_those_of_the_network(network: Network, options: dict[str, Any]) -> None:
    scheme = Mpc(**options)
    batches = images(8), images(8, seed=11), images(1)
    inference = Inference(scheme, network, *batches)
    for batch, logits in zip(batches, inference.answers, strict=True):
        # Rounded weights meet up to 64 inputs of about 1/2; what is left of that passes through the later layers.
        np.testing.assert_allclose(logits, network(batch), atol=20 / 2**scheme.precision)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("dealer", ["on_demand", "prefetch"])
def test_labels_alone_can_be_revealed(network: Network, dealer: str) -> None:
    clear = network(images(16))
    runner_up, best = np.sort(clear, axis=1)[:, -2:].T
    sure = best - runner_up > 0.01
    assert sure.sum() > 8
    (labels,) = Inference(Mpc(reveal="argmax", dealer=dealer), network, images(16)).answers
    assert labels.shape == (16,)
    assert np.array_equal(labels[sure], clear.argmax(axis=1)[sure])


def test_relu_comes_behind_the_pooling_of_a_tree_where_it_costs_less() -> None:
    network = lenet_like()
    moved, left = (plan.ordered(Mpc(pooling=pooling), network) for pooling in ("tree", "stock"))
    assert [type(layer) for layer in left.layers] == [type(layer) for layer in network.layers]
    assert [type(layer) for layer in moved.layers] == [
        Conv2d,
        MaxPool2d,
        ReLU,
        Conv2d,
        MaxPool2d,
        ReLU,
        Flatten,
        Linear,
    ]
    np.testing.assert_array_equal(moved(images(4)), network(images(4)))


@pytest.mark.parametrize("dealer", ["on_demand", "prefetch"])
def test_the_dealer_is_asked_once_a_batch(dealer: str) -> None:
    """For all steps at once, and not at all where something was fetched ahead."""
    network = Network((1, 8, 8), (Conv2d.initial(1, 2, 3, RANDOM), Square(), AvgPool2d(2), Flatten()))
    inference = Inference(Mpc(dealer=dealer), network, images(2), images(2))
    setup, offline, *online = inference.n_fetches
    assert setup == 1
    assert (offline, online) == ((2, [0, 0]) if dealer == "prefetch" else (0, [1, 1]))


def test_rounds_are_those_counted_by_hand() -> None:
    # Linear: the participant sends its masked share: 1 round.
    linear = 1
    # ReLU: one exchange for the ANDs of both shares' bits; 32 bits merged by 4, 4 and 2: one exchange each; and one
    # for the masked sign and value: 5 rounds.
    relu = 1 + 3 + 1
    # At the end the coordinator sends its share of the logits.
    reveal = 1
    # Setting up, each layer's masked weights are sent once.
    inference = Inference(Mpc(), dense(64, 20, 10), images(3), images(5))
    assert inference.n_rounds == [2, linear + relu + linear + reveal, linear + relu + linear + reveal]
    # A square is opened by one exchange; a mean and flattening need nobody else; the maximum of 2x2 takes two
    # comparisons, one after the other, of 3x3 four (9, 5, 3, 2, 1 candidates), and ReLU comes behind it.
    squared = Network((1, 8, 8), (Conv2d.initial(1, 2, 3, RANDOM), Square(), AvgPool2d(2), Flatten()))
    assert Inference(Mpc(), squared, images(2)).n_rounds == [1, linear + 1 + reveal]
    pooled = linear + 2 * relu + relu + linear + 4 * relu + relu + linear + reveal
    assert Inference(Mpc(), lenet_like(), images(2)).n_rounds == [3, pooled]
    # The largest of ten: 10, 5, 3, 2, 1 candidates.
    labels = linear + relu + linear + 4 * relu + reveal
    assert Inference(Mpc(reveal="argmax"), dense(64, 20, 10), images(2)).n_rounds == [2, labels]


# What is opened.


def opened(inference: Inference, rank: int) -> list[Array]:
    """All that a party sent but its share of the answers, which is no secret from the participant."""
    arrays = inference.sessions[rank].opened
    return arrays[:-1] if rank == COORDINATOR else arrays


def numbers_in(arrays: list[Array], ring: Ring) -> Array:
    """All ring numbers among them, as the other party sees them."""
    flat = [ring.signed(torch.from_numpy(array)).numpy().ravel() for array in arrays if array.dtype == np.int64]
    whole: Array = np.concatenate(flat)
    return whole


def test_the_same_input_is_never_opened_in_the_same_way_again() -> None:
    batch = images(8)
    inference = Inference(Mpc(), NETWORKS["every layer"], batch, batch)
    n_weighted = 4
    for rank, n_setup in ((COORDINATOR, n_weighted), (PARTICIPANT, 0)):
        arrays = inference.sessions[rank].opened[n_setup:]
        first, second = arrays[: len(arrays) // 2], arrays[len(arrays) // 2 :]
        assert [array.shape for array in first] == [array.shape for array in second]
        for one, other in zip(first, second, strict=True):
            if one.dtype == np.int64:
                assert (one != other).mean() > 0.99
            else:
                # Of random bytes, 1 in 256 are the same: by luck 4 of 16, but not 5.
                assert stats.binom.sf((one == other).sum() - 1, one.size, 1 / 256) > RARE
    once, again = inference.answers
    np.testing.assert_allclose(once, again, atol=1e-2)


@pytest.mark.parametrize("masked", [True, False], ids=["masked", "without masks"])
def test_no_sample_and_no_weight_is_opened(masked: bool) -> None:
    """Without masks both would be, which shows that the test would find them."""
    scheme, network, batch = Mpc(), dense(64, 20, 10), images(8)
    inference = Inference(scheme, network, batch, masked=masked)
    samples = np.rint(batch.astype(np.float64) * 2**scheme.precision).astype(np.int64)
    weights = [np.rint(layer.weight * 2.0**scheme.precision) for layer in network.layers if isinstance(layer, Linear)]
    from_participant = numbers_in(opened(inference, PARTICIPANT), scheme.ring)
    from_coordinator = numbers_in(opened(inference, COORDINATOR), scheme.ring)
    assert np.isin(samples[samples != 0], from_participant).any() == (not masked)
    assert np.isin(weights[0][weights[0] != 0], from_coordinator).any() == (not masked)


@pytest.mark.parametrize("rank", [COORDINATOR, PARTICIPANT], ids=["coordinator", "participant"])
def test_what_is_opened_for_an_empty_image_and_an_empty_network_is_noise(rank: int) -> None:
    scheme = Mpc()
    zeros = Linear(np.zeros((64, 64), np.float32), np.zeros(64, np.float32))
    empty = Network((64,), (zeros, Square(), ReLU(), zeros))
    inference = Inference(scheme, empty, np.zeros((64, 64), np.float32))
    arrays = opened(inference, rank)
    words = numbers_in(arrays, scheme.ring)
    planes: list[Array] = [(words >> bit) & 1 for bit in range(scheme.ring.bits)]
    planes += [np.unpackbits(array) for array in arrays if array.dtype == np.uint8]
    assert len(planes) > scheme.ring.bits
    for plane in planes:
        # Six standard deviations of as many coins.
        assert abs(plane.mean() - 0.5) < 6 * 0.5 / math.sqrt(plane.size)


def test_what_is_compared_is_what_headroom_leaves_room_for() -> None:
    """The signs of numbers just beyond are wrong, so the check of headroom is needed."""
    beyond = np.array([2 ** (headroom.COMPARED_BITS - 1), -(2 ** (headroom.COMPARED_BITS - 1)) - 1])
    assert np.array_equal(signs(beyond, Ring(56)), beyond >= 0)
