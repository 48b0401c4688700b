"""What a measured job would take on a link: modelled, and so called wherever it is shown.

Latency is what the participant waited on an unshaped wire, plus what the link adds: a delay for each round, and the
time to send and receive the measured bytes, in packets and frames with all their headers. Energy is that of the bits on
the link, and the radio's base power while they are sent, received or on their way. Setup and training, which happen
once, take what the link adds alone: a participant's own bytes, and a delay for each step of the stage, whoever's it is.

- Everything a participant exchanges goes over its link, with whomever; what others exchange (an MPC's dealer and the
  coordinator) does not, and is in the measured latency already. No participant asks a third party off the critical
  path; what one asked would be bytes here, but no round.
- Rounds that an engine counts are MPC's: both ends send in each, at once if the link is full-duplex. Messages on
  channels are taken to go one way at a time. A round is one delay; where an engine asks the receiver for leave before
  it sends, as gloo does, it is as many as the scheme's `one_way_steps` says.
- What a duty cycle forbids is silence: sending takes 1 / duty cycle times as long, the radio's energy stays.
- TCP's slow start is left out: ten packets are on their way before the first acknowledgement, which is more than what
  links of up to about 1 Mbit/s at 100 ms or 20 Mbit/s at 5 ms hold. Where a link holds more, a first large message on a
  connection takes longer than this; later ones find its window open.

`benchmarks/links.py` holds this against links that are really shaped (`link=NAME wire=namespaces`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

from ppbench import profiles
from ppbench.errors import ConfigError
from ppbench.launch.link import PACKET_HEADER_BYTES, PAYLOAD_BYTES, Link
from ppbench.modelled.inputs import Load, Once, batch_inputs, once_load
from ppbench.records import JobRecord

FEASIBLE_S_PER_SAMPLE = 3600.0
"""A link carries a scheme if what it adds to a sample is within an hour, over which EU868's duty cycle is taken too."""
FEASIBLE_ONCE_S = 24 * 3600.0
"""And what happens once, if what the link adds to it is within a day: one that a device is out of service."""

_OF: Mapping[Once, str] = {"setup": "of setup", "train": "of training"}

_GROUP = "link"


@dataclasses.dataclass(frozen=True)
class LinkCost:
    """What a job would cost a participant on a link, all of it modelled."""

    link: str
    latency_s_per_batch: float
    """Measured on the unshaped wire, plus what the link adds."""
    link_s_per_batch: float
    """What the link adds, with the silence that a duty cycle asks for."""
    link_s_per_sample: float
    energy_j_per_sample: float
    """Of the participant's radio."""
    feasible: bool
    """Of samples alone; setup, which may be done before a device is brought out, and training say so themselves."""
    reason: str
    """Why it is not feasible; empty if it is. One line."""


@dataclasses.dataclass(frozen=True)
class OnceCost:
    """What setup or training would cost a participant on a link, once, all of it modelled."""

    link_s: float
    """What the link adds, with the silence that a duty cycle asks for."""
    energy_j: float
    """Of the participant's radio."""
    feasible: bool
    reason: str
    """Why it is not feasible; empty if it is. One line."""


def link_names() -> list[str]:
    """Of all profiles."""
    return list(profiles.files_of(_GROUP))


def links() -> list[Link]:
    """All profiles, the slowest first. Raises ConfigError for one that is not right."""
    return sorted(
        map(read_link, profiles.files_of(_GROUP).values()), key=lambda link: link.goodput_up_bit_per_s * link.duty_cycle
    )


def load_link(name: str) -> Link:
    """A profile by name. Raises ConfigError if there is none, or for one that is not right."""
    return read_link(profiles.named(_GROUP, name))


def read_link(path: Path) -> Link:
    """The profile in a file. Raises ConfigError, naming file and key, for what is missing, wrong or has no source."""
    content = profiles.content(path, f"link/{path.name}")
    if isinstance(content, dict) and content.get("name") != path.stem:
        raise ConfigError(f"link/{path.name}: name={content.get('name')!r} must be {path.stem!r}, the file's")
    return Link.from_config(content)


def link_cost(job: JobRecord, link: Link) -> LinkCost | None:
    """What a job that was measured on an unshaped wire would take on a link; None if it has no batches to answer."""
    if (batches := batch_inputs(job)) is None:
        return None
    link_s = _link_s(batches.load, link)
    link_s_per_sample = link_s * batches.n_batches / batches.n_answers
    feasible = link_s_per_sample <= FEASIBLE_S_PER_SAMPLE
    return LinkCost(
        link=link.name,
        latency_s_per_batch=batches.latency_s + link_s,
        link_s_per_batch=link_s,
        link_s_per_sample=link_s_per_sample,
        energy_j_per_sample=energy_j(batches.load, link) * batches.n_batches / batches.n_answers,
        feasible=feasible,
        reason="" if feasible else _reason(link_s_per_sample, "a sample", link),
    )


def once_cost(job: JobRecord, link: Link, stage: Once) -> OnceCost | None:
    """What setup or training of a job, measured on an unshaped wire, would take on a link.

    None if the job has no such stage, or if an older version measured it and nobody knows its steps.
    """
    if (load := once_load(job, stage)) is None:
        return None
    link_s = _link_s(load, link)
    feasible = link_s <= FEASIBLE_ONCE_S
    return OnceCost(link_s, energy_j(load, link), feasible, "" if feasible else _reason(link_s, _OF[stage], link))


def _link_s(load: Load, link: Link) -> float:
    return transfer_s(load, link) / link.duty_cycle + travel_s(load, link)


def transfer_s(load: Load, link: Link) -> float:
    """How long the ends of the link send."""
    up_s, down_s = _sending_s(load, link)
    # Where ends send at once, acknowledgements ride on what goes the other way.
    return max(up_s, down_s) if load.at_once and link.duplex == "full" else up_s + down_s


def travel_s(load: Load, link: Link) -> float:
    """How long packets are on their way when nobody sends."""
    return load.steps * link.shape.delay_s


def energy_j(load: Load, link: Link) -> float:
    """Of the radio, for what goes over the link."""
    up_bits, down_bits = (8 * link_bytes for link_bytes in _link_bytes(load, link))
    return (
        up_bits * link.energy_sent_j_per_bit
        + down_bits * link.energy_received_j_per_bit
        + link.base_power_w * (transfer_s(load, link) + travel_s(load, link))
    )


def _sending_s(load: Load, link: Link) -> tuple[float, float]:
    up_bytes, down_bytes = _link_bytes(load, link)
    return 8 * up_bytes / link.shape.up_bit_per_s, 8 * down_bytes / link.shape.down_bit_per_s


def _link_bytes(load: Load, link: Link) -> tuple[float, float]:
    """Up and down, headers and, where they cost the other end its turn, acknowledgements included."""
    up_packets, up_bytes = _packets(load.up_bytes, load.up_messages, link)
    down_packets, down_bytes = _packets(load.down_bytes, load.down_messages, link)
    if link.duplex == "full":
        return up_bytes, down_bytes
    # A message's last packet is acknowledged with what is sent next, or after it.
    acknowledgement = link.shape.frame_bytes(PACKET_HEADER_BYTES) / 2
    up_acknowledgements = max(0.0, down_packets - load.down_messages) * acknowledgement
    down_acknowledgements = max(0.0, up_packets - load.up_messages) * acknowledgement
    return up_bytes + up_acknowledgements, down_bytes + down_acknowledgements


def _packets(payload_bytes: float, messages: float, link: Link) -> tuple[float, float]:
    """How many packets messages of equal size go in, and the bytes on the link that these take."""
    if not payload_bytes:
        return 0.0, 0.0
    messages = max(1.0, messages)
    full, rest = divmod(payload_bytes / messages, PAYLOAD_BYTES)
    link_bytes = full * link.shape.frame_bytes(PAYLOAD_BYTES + PACKET_HEADER_BYTES)
    if rest:
        link_bytes += link.shape.frame_bytes(math.ceil(rest) + PACKET_HEADER_BYTES)
    return messages * (full + bool(rest)), messages * link_bytes


def _reason(link_s: float, of_what: str, link: Link) -> str:
    cause = f"{link.title} may send {link.duty_cycle:.1%} of the time" if link.duty_cycle < 1 else link.title
    return f"not feasible: {link_s / 3600:.1f} hours {of_what}; {cause}"
