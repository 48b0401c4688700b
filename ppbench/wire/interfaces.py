"""Packets as the kernel counts them on the interfaces of the calling thread's network namespace."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Mapping
from pathlib import Path

from ppbench.bundle import Tree
from ppbench.wire.engine import own_sockets

ETHERNET_HEADER_BYTES = 14
"""Of each frame, as an interface counts it; a veth has no checksum behind it."""
SOURCE = "veth"
_LISTENS = 10
_GET_ADDRESS = 0x8915
# /proc/net would be the namespace of the process's first thread.
_COUNTERS = Path("/proc/thread-self/net/dev")


def counted(interfaces: Mapping[str, str]) -> dict[str, Tree]:
    """IP packets, and their bytes with IP and TCP headers, since the interfaces were made, by peer.

    `interfaces` names the one that leads to each peer; segments larger than the MTU would be counted as one packet,
    so it must have no segmentation offload.
    """
    counters = {}
    for line in _COUNTERS.read_text().splitlines()[2:]:
        interface, _, numbers = line.partition(":")
        counters[interface.strip()] = [int(number) for number in numbers.split()]
    packets = {}
    for peer, interface in interfaces.items():
        received_bytes, received, *_ = counters[interface]
        sent_bytes, sent, *_ = counters[interface][8:]
        packets[peer] = {
            "wire_bytes_sent": sent_bytes - sent * ETHERNET_HEADER_BYTES,
            "wire_bytes_received": received_bytes - received * ETHERNET_HEADER_BYTES,
            "wire_packets_sent": sent,
            "wire_packets_received": received,
        }
    return packets


def unacknowledged() -> int:
    """How many segments of this process's TCP connections have not been acknowledged: a receiver may take 40 ms."""
    n_segments = 0
    for sock in own_sockets():
        with sock:
            # tcpi_unacked in Linux's struct tcp_info; of a socket that listens it is the length of its queue.
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)
            if info[0] != _LISTENS:
                n_segments += struct.unpack_from("=I", info, 24)[0]
    return n_segments


def interface_towards(host: str) -> str:
    """The name of an interface with the address that `host` sees of this party.

    In a namespace all interfaces have the party's one address, so that it is one of them. Raises OSError.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))  # it decides on a route; nothing is sent
        own = socket.inet_aton(probe.getsockname()[0])
        for _, name in socket.if_nameindex():
            request = struct.pack("16s24x", name.encode())
            try:
                if fcntl.ioctl(probe, _GET_ADDRESS, request)[20:24] == own:
                    return name
            except OSError:
                continue  # an interface without an address
    raise OSError(f"no network interface has the address by which {host} is reached")
