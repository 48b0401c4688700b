"""Makes network namespaces joined by veth pairs: `python -m ppbench.launch.veths DESCRIPTOR`.

A process of its own, because who makes a user namespace is in it. It reads what is planned from a socket, hands the
descriptors of what it made over it, the user namespace's first, and ends: the kernel removes all as soon as nobody
holds a descriptor and nobody lives there, so nothing is left behind, whatever dies.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ppbench.launch import enter
from ppbench.process import die_with_parent

_UP_S = 5.0
_OFFLOADS = ("segmentation", "checksum", "scatter-gather", "gso", "gro")
"""In names of features: what makes a frame longer than the MTU, or leaves a checksum to hardware that is not there."""
_FIRST_INDEX = 1 << 20
"""Of the interfaces that get one here; the kernel counts the others from 2. Were both ends of a pair to have the same
index, the kernel would hold back by a second the event that they are up.
"""
_IPV6 = Path("/proc/sys/net/ipv6/conf")


def main() -> int:
    """Make what is planned; where that cannot be, the reason is the last line on stderr."""
    die_with_parent()
    door = socket.socket(fileno=int(sys.argv[1]))
    try:
        _make(json.load(door.makefile()), door)
    except ImportError as error:
        print(f"it needs pyroute2: pip install pyroute2 ({error})", file=sys.stderr)
        return 1
    except Exception as error:  # pyroute2 raises what it likes
        print(" ".join(str(error).split()) or type(error).__name__, file=sys.stderr)
        return 1
    return 0


def _make(plan: Mapping[str, Any], door: socket.socket) -> None:
    from pyroute2 import IPRoute

    user = _new_user()
    networks = [_new_network() for _ in range(plan["n_networks"])]
    for number, (one, other) in enumerate(plan["veths"], _FIRST_INDEX):
        enter.enter(networks[one["network"]])
        peer = {
            "ifname": other["interface"],
            "address": other["mac"],
            "net_ns_fd": networks[other["network"]],
        }
        with IPRoute() as route:
            route.link("add", kind="veth", ifname=one["interface"], address=one["mac"], index=number, peer=peer)
    for index, network in enumerate(networks):
        enter.enter(network)
        ends = [end for veth in plan["veths"] for end in veth if end["network"] == index]
        with IPRoute() as route:
            for end in ends:
                _set_up(route, end)
    for index, network in enumerate(networks):
        enter.enter(network)
        _await_carriers({end["interface"] for veth in plan["veths"] for end in veth if end["network"] == index})
    for descriptor in (user, *networks):
        socket.send_fds(door, [b"\0"], [descriptor])


def _new_user() -> int:
    """A user namespace in which this process, whoever started it, is root; its descriptor."""
    user, group = os.geteuid(), os.getegid()
    try:
        enter.unshare(enter.NEW_USER)
        own = Path("/proc/self")
        # Without this an unprivileged process may not map its group.
        (own / "setgroups").write_text("deny")
        (own / "uid_map").write_text(f"0 {user} 1")
        (own / "gid_map").write_text(f"0 {group} 1")
    except OSError as error:
        raise OSError(f"this system forbids user namespaces to its users ({error})") from error
    return os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)


def _new_network() -> int:
    """A network namespace in which nothing speaks but TCP/IP over version 4; its descriptor."""
    try:
        enter.unshare(enter.NEW_NETWORK)
    except OSError as error:
        raise OSError(f"this system forbids network namespaces ({error})") from error
    for scope in ("all", "default"):
        switch = _IPV6 / scope / "disable_ipv6"
        if switch.exists():
            switch.write_text("1")
    from pyroute2 import IPRoute

    with IPRoute() as route:
        route.link("set", index=1, state="up")
    return enter.open_network()


def _set_up(route: Any, end: Mapping[str, Any]) -> None:
    """Address, neighbour and offloads of one end of a veth pair; one without an address is a relay's."""
    interface = end["interface"]
    (index,) = route.link_lookup(ifname=interface)
    _switch_off_offloads(interface)
    route.link("set", index=index, state="up")
    if end["address"] is not None:
        route.addr("add", index=index, local=end["address"], address=end["peer_address"], prefixlen=32)
        # Known for good: no ARP among the counted packets.
        route.neigh("add", dst=end["peer_address"], lladdr=end["peer_mac"], ifindex=index, state="permanent")


def _switch_off_offloads(interface: str) -> None:
    from pyroute2.ethtool.ioctl import IoctlEthtool

    device = IoctlEthtool(interface)
    features = device.get_features()
    for name in _switched_on(features):
        features[name] = False
    device.set_features(features)
    if left := _switched_on(device.get_features()):
        raise OSError(f"the veth interface {interface} does not let go of {', '.join(left)}")


def _switched_on(features: Any) -> Sequence[str]:
    return [
        name for name, enabled, available, *_ in features if enabled and available and any(o in name for o in _OFFLOADS)
    ]


def _await_carriers(interfaces: set[str]) -> None:
    """Before an interface is up, what is sent over it is lost, and sent again after a second."""
    from pyroute2 import IPRoute

    until_s = time.monotonic() + _UP_S
    with IPRoute() as route:
        while interfaces - {link.get("ifname") for link in route.get_links() if link.get("operstate") == "UP"}:
            if time.monotonic() > until_s:
                raise OSError(f"the veth interfaces are not up after {_UP_S:g} s")
            time.sleep(0.001)


if __name__ == "__main__":
    sys.exit(main())
