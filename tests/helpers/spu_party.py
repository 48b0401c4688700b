"""One party of a two-party inference by SPU, for the interpreter that has SPU; the test speaks to it on its pipes.

Reads one JSON object, writes one: what the party learned and counted.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import numpy as np

from ppbench.errors import PpbenchError
from ppbench.models.network import AvgPool2d, Conv2d, Flatten, Layer, Linear, MaxPool2d, Network, ReLU, Square
from ppbench.wire import engine as kernel
from schemes.mpc.outline import outline, weightless
from schemes.mpc.spu.engine import PARTICIPANT, DealerAt, SpuEngine

SIDE = 6
"""Of the images."""
N_BATCHES = 2


def network(name: str) -> Network:
    """The same for both parties and the test."""
    random = np.random.default_rng(0)
    convolution = Conv2d.initial(1, 2, 3, random, padding=1)
    layers: dict[str, tuple[Layer, ...]] = {
        "relu": (convolution, ReLU(), MaxPool2d(2), Flatten(), Linear.initial(18, 5, random)),
        "square": (convolution, Square(), AvgPool2d(3), Flatten(), Linear.initial(8, 5, random)),
        "dense": (Linear.initial(SIDE**2, 12, random), ReLU(), Linear.initial(12, 5, random)),
        "linear": (Linear.initial(SIDE**2, 5, random),),
    }
    shape = (1, SIDE, SIDE) if name in ("relu", "square") else (SIDE**2,)
    return Network(shape, layers[name])


def samples(n: int) -> Any:
    """(n, 36) float32 in [0, 1]."""
    return np.random.default_rng(1).random((n, SIDE**2), np.float32)


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """A few batches, counted."""
    mine = spec["rank"] == PARTICIPANT
    whole = network(spec["network"])
    dealer = DealerAt(("127.0.0.1", spec["ports"][2]), spec["public_key"]) if spec["public_key"] else None
    engine = SpuEngine(
        spec["rank"],
        [("127.0.0.1", port) for port in spec["ports"][:2]],
        weightless(outline(whole)) if mine else whole,
        dealer=dealer,
        patience_s=spec["patience_s"],
        **spec["options"],
    )
    n = spec["n"]
    engine.warm_up(n)
    before = engine.statistics()
    pause("warm")
    found: Any = None
    for _ in range(N_BATCHES):
        found = engine.infer(n, samples(n) if mine else None)
    # What is still in flight when a batch ends is SPU's own acknowledgements.
    pause("done")
    all_told = engine.statistics()
    online = all_told - before
    sockets = kernel.payload_by_socket(())
    return {
        "found": found.tolist() if mine else found,
        "rounds": online.n_rounds / N_BATCHES,
        "batch_sent": online.bytes_sent / N_BATCHES,
        "sent": all_told.bytes_sent,
        "received": all_told.bytes_received,
        "sockets": [socket for socket in sockets if str(spec["ports"][2]) not in socket["remote"]],
    }


def pause(state: str) -> None:
    """Say how far this party is, and wait for a line."""
    print(state, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    try:
        print(json.dumps(main(json.loads(sys.stdin.readline()))), flush=True)
    except PpbenchError as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
    sys.stdin.readline()
    os._exit(0)
