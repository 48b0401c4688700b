"""One link as its profile in `conf/link/` describes it, with the source of each figure."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from ppbench import profiles
from ppbench.errors import ConfigError, choose, in_range
from ppbench.launch.namespace_network import MTU_BYTES
from ppbench.launch.relay import Shape
from ppbench.options import typed

PACKET_HEADER_BYTES = 52
"""IPv4 20, TCP 20, its timestamps 12."""
PAYLOAD_BYTES = MTU_BYTES - PACKET_HEADER_BYTES
"""TCP payload of a full packet; a link of a smaller MTU carries it in fragments, as 6LoWPAN does."""

_MOST = 1e12


@dataclasses.dataclass(frozen=True)
class Link:
    """How a participant is connected; up is from it. All energy is the participant's."""

    name: str
    title: str
    goodput_up_bit_per_s: float
    """TCP payload of full packets while one end sends: what is left when the headers of packets and frames are paid."""
    goodput_down_bit_per_s: float
    rtt_s: float
    """There and back for a packet without payload."""
    mtu_bytes: int
    """The part of an IP packet that one frame carries."""
    header_bytes_per_frame: int
    """What the link itself puts around that."""
    duplex: str
    """`full`, or `half` where only one end can send at a time."""
    energy_sent_j_per_bit: float
    """For each bit on the link, headers included, beside the base power."""
    energy_received_j_per_bit: float
    base_power_w: float
    """Of the radio while the link is in use: sends, receives or waits for what is on its way."""
    duty_cycle: float
    """The part of the time that the law lets anybody send; 1 where none is set."""
    sources: Mapping[str, str]
    """Figure -> where it is from, or `assumption: ...`."""

    @classmethod
    def from_config(cls, config: Any) -> Link:
        """A profile, checked. Raises ConfigError, naming file and key, for what is missing, wrong or has no source."""
        if not isinstance(config, Mapping) or not isinstance(config.get("name"), str):
            raise ConfigError("link must be a profile with a name, such as link=lte_m")
        where = f"link/{config['name']}.yaml"
        hints = typing.get_type_hints(cls)
        profiles.check_keys(where, config, hints)
        values = {key: typed(f"{where}: {key}", config[key], hints[key]) for key in hints if key != "sources"}
        link = cls(**values, sources=profiles.checked_sources(where, config["sources"], _FIGURES))
        link._check(where)
        return link

    def to_config(self) -> dict[str, Any]:
        """What `from_config` makes this of."""
        return {**vars(self), "sources": dict(self.sources)}

    @property
    def shape(self) -> Shape:
        """What a relay makes of it. The rates are those on the link, at which full packets have the goodput."""
        full = Shape(0.0, 0.0, self.rtt_s / 2, self.mtu_bytes, self.header_bytes_per_frame, self.duplex == "half")
        overhead = full.frame_bytes(MTU_BYTES) / PAYLOAD_BYTES
        empty_bits = 8 * full.frame_bytes(PACKET_HEADER_BYTES)
        up, down = self.goodput_up_bit_per_s * overhead, self.goodput_down_bit_per_s * overhead
        delay_s = max(0.0, self.rtt_s - empty_bits / up - empty_bits / down) / 2
        return dataclasses.replace(full, up_bit_per_s=up, down_bit_per_s=down, delay_s=delay_s)

    def _check(self, where: str) -> None:
        for key in ("goodput_up_bit_per_s", "goodput_down_bit_per_s"):
            in_range(f"{where}: {key}", getattr(self, key), 1.0, _MOST)
        for key in ("rtt_s", "header_bytes_per_frame", *_POWERS):
            in_range(f"{where}: {key}", getattr(self, key), 0.0, _MOST)
        in_range(f"{where}: mtu_bytes", self.mtu_bytes, 1, MTU_BYTES)
        in_range(f"{where}: duty_cycle", self.duty_cycle, 1e-6, 1.0)
        choose(f"{where}: duplex", self.duplex, ("full", "half"))


_POWERS = ("energy_sent_j_per_bit", "energy_received_j_per_bit", "base_power_w")
_FIGURES = tuple(field.name for field in dataclasses.fields(Link) if field.name not in ("name", "title", "sources"))
