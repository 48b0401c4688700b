"""`python -m ppbench.testing.fresh_use`: loads a data set, or trains a model on one, and tells what came of it.

Standard input says which, as JSON; standard output has facts, digests and what has changed in the process. A network
goes to the file that is named.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ppbench import bundle
from ppbench.bundle import Tree
from ppbench.data.dataset import sha256_of, unit
from ppbench.measure.load import load_dataset
from ppbench.models.network import Network
from ppbench.options import typed_fields
from ppbench.plugin import resolve
from ppbench.progress import silent
from ppbench.testing import watch


def main() -> None:
    """Do what standard input says."""
    given = json.load(sys.stdin)
    says = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a plugin may print
    source = _built(given["dataset"])
    dataset = load_dataset(source)
    told: dict[str, Any] = {}
    # Importing a large library may well change the process: that is not the plugin's doing.
    if "model" in given:
        model = _built(given["model"])
        for module in model.requires:
            importlib.import_module(module)
        before = watch.global_state()
        network = model.train(dataset.training, silent)
        bundle.save(Path(given["file"]), network.to_tree())
        told["content"] = digest(network.to_tree())
        samples = unit(dataset.test.samples, dataset.sample_max)
        told["is_kept"] = bool(np.array_equal(Network.from_tree(network.to_tree())(samples), network(samples)))
    else:
        before = watch.global_state()
        source.load()
        splits = (dataset.train, dataset.test)
        told["content"] = sha256_of(*(array for split in splits for array in (split.samples, split.labels)))
        told["sha256"] = dataset.sha256
    told["changes"] = watch.changed(before, watch.global_state())
    print(json.dumps(told), file=says, flush=True)


def digest(tree: Tree) -> str:
    """Of a tree, arrays by type, shape and bytes."""
    skeleton, arrays = bundle.flatten(tree)
    told = hashlib.sha256(skeleton.encode())
    for array in arrays:
        told.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return told.hexdigest()


def _built(described: dict[str, Any]) -> Any:
    cls = resolve(described["target"])
    return cls(**typed_fields(cls, "plugin", described["options"]))


if __name__ == "__main__":
    main()
