"""What a sum of clipped per-record gradients costs, by each way to get it: the inner loop of DP-SGD.

    python benchmarks/dp_sgd.py [--records 512] [--repetitions 9] [--out results/benchmarks]

On the small convolutional network and on logistic regression over scattering features: opacus's hooks, its functorch
and its ghost clipping, `torch.func.vmap`, a loop over records; for logistic regression, the closed form too; beside
them the gradient of a batch without privacy. One thread, random records, CPU time. Writes dp_sgd.csv; fails if a sum
differs from that of the loop.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping
from torch import nn

from ppbench.measure import provenance
from ppbench.measure.machine import cpu
from ppbench.process import n_cpus
from schemes.dp_sgd import cnn, linear

CLIP = 0.1
N_CLASSES, N_FEATURES = 10, 81 * 7 * 7 + 1
TOLERANCE = 1e-5

Sum = Callable[[], Any]
"""-> (p,) sum of clipped gradients."""


class Net(nn.Module):
    """The network of schemes/dp_sgd/cnn.py, as opacus wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 16, 8, 2, 3), nn.Tanh(), nn.MaxPool2d(2, 1)),
            *(nn.Conv2d(16, 32, 4, 2), nn.Tanh(), nn.MaxPool2d(2, 1), nn.Flatten()),
            *(nn.Linear(512, 32), nn.Tanh(), nn.Linear(32, N_CLASSES)),
        )

    def forward(self, images: torch.Tensor) -> Any:
        return self.layers(images)


def flat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    joined: torch.Tensor = torch.cat([tensor.reshape(-1) for tensor in tensors])
    return joined


def clipped(each: torch.Tensor) -> torch.Tensor:
    """(n, p) gradients -> (p,) their clipped sum."""
    total: torch.Tensor = (CLIP / each.norm(dim=1).clamp(min=CLIP)) @ each
    return total


def loss_of(module: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, reduction: str = "sum") -> torch.Tensor:
    return nn.functional.cross_entropy(module(inputs), labels, reduction=reduction)


def without_privacy(make: Callable[[], nn.Module], inputs: torch.Tensor, labels: torch.Tensor) -> Sum:
    module = make()
    return lambda: flat(torch.autograd.grad(loss_of(module, inputs, labels), list(module.parameters())))


def loop(make: Callable[[], nn.Module], inputs: torch.Tensor, labels: torch.Tensor) -> Sum:
    module = make()

    def run() -> torch.Tensor:
        parameters = list(module.parameters())
        each = [
            flat(torch.autograd.grad(loss_of(module, inputs[i : i + 1], labels[i : i + 1]), parameters))
            for i in range(len(labels))
        ]
        return clipped(torch.stack(each))

    return run


def opacus(make: Callable[[], nn.Module], inputs: torch.Tensor, labels: torch.Tensor, functorch: bool = False) -> Sum:
    module = GradSampleModule(make(), loss_reduction="sum", force_functorch=functorch)

    def run() -> torch.Tensor:
        module.zero_grad()
        loss_of(module, inputs, labels).backward()  # type: ignore[no-untyped-call]
        total = clipped(torch.cat([p.grad_sample.flatten(1) for p in module.parameters()], dim=1))
        for parameter in module.parameters():
            parameter.grad_sample = None
        return total

    return run


def ghost(make: Callable[[], nn.Module], inputs: torch.Tensor, labels: torch.Tensor) -> Sum:
    module = GradSampleModuleFastGradientClipping(
        make(), loss_reduction="sum", max_grad_norm=CLIP, use_ghost_clipping=True
    )

    def run() -> torch.Tensor:
        module.zero_grad()
        module.enable_hooks()
        losses = loss_of(module, inputs, labels, reduction="none")
        losses.sum().backward(retain_graph=True)  # type: ignore[no-untyped-call]
        factors = module.get_clipping_coef()
        module.disable_hooks()
        module.zero_grad()
        (losses * factors).sum().backward()
        return flat([parameter.grad for parameter in module.parameters()])

    return run


def vmap(make: Callable[[], nn.Module], inputs: torch.Tensor, labels: torch.Tensor) -> Sum:
    module = make()
    parameters = {name: parameter.detach() for name, parameter in module.named_parameters()}

    def loss(parameters: dict[str, torch.Tensor], sample: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        outputs = torch.func.functional_call(module, parameters, (sample[None],))
        return nn.functional.cross_entropy(outputs, label[None])

    gradients = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))
    return lambda: clipped(torch.cat([g.flatten(1) for g in gradients(parameters, inputs, labels).values()], dim=1))


def ours_cnn(make: Callable[[], nn.Module], inputs: torch.Tensor, labels: torch.Tensor) -> Sum:
    arrays = [parameter.detach().numpy() for parameter in make().parameters()]
    run = cnn.clipped_sum(arrays, cnn.TANH, inputs.flatten(1).numpy(), labels.numpy(), CLIP)
    return partial(run, np.concatenate([array.ravel() for array in arrays]), np.arange(len(labels)))


def ours_linear(make: Callable[[], nn.Module], inputs: torch.Tensor, labels: torch.Tensor) -> Sum:
    (weights,) = make().parameters()
    run = linear.clipped_sum(inputs.numpy(), labels.numpy(), N_CLASSES, CLIP)
    return partial(run, weights.detach().numpy().ravel(), np.arange(len(labels)))


METHODS: Mapping[str, Callable[..., Sum]] = {
    "loop over records": loop,
    "no privacy": without_privacy,
    "opacus hooks": opacus,
    "opacus functorch": partial(opacus, functorch=True),
    "opacus ghost clipping": ghost,
    "torch.func.vmap": vmap,
}


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make()


def measure(n_records: int, repetitions: int) -> pd.DataFrame:
    random = np.random.default_rng(0)
    labels = torch.from_numpy(random.integers(0, N_CLASSES, n_records))
    images = torch.from_numpy(random.random((n_records, 1, 28, 28), np.float32))
    features = torch.from_numpy(random.normal(size=(n_records, N_FEATURES)).astype(np.float32))
    models: dict[str, tuple[Callable[[], nn.Module], torch.Tensor, Callable[..., Sum]]] = {
        "tanh_cnn": (Net, images, ours_cnn),
        "scattering": (partial(nn.Linear, N_FEATURES, N_CLASSES, bias=False), features, ours_linear),
    }
    rows = []
    for model, (make, inputs, ours) in models.items():
        expected = None
        for method, build in {**METHODS, "ppbench": ours}.items():
            run = build(partial(seeded, make), inputs, labels)
            total = np.asarray(run())
            expected = total if expected is None else expected
            if method != "no privacy" and np.abs(total - expected).max() > TOLERANCE:
                raise SystemExit(f"{method} on {model} is off by {np.abs(total - expected).max():g}")
            seconds = [cpu_s(run) for _ in range(2 if method.startswith("loop") else repetitions)]
            us = statistics.median(seconds) / n_records * 1e6
            rows.append({"model": model, "method": method, "cpu_us_per_record": us, "n": len(seconds)})
            print(f"{model:12s} {method:24s} {us:8.1f} us a record", flush=True)
    return pd.DataFrame(rows)


def cpu_s(run: Sum) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=512)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # opacus's hooks on modules whose inputs need no gradient
    torch.set_num_threads(1)
    table = measure(options.records, options.repetitions).round(2)
    table = table.assign(cpu=cpu(), n_cpus=n_cpus(), commit=provenance.git_commit())
    options.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.out / "dp_sgd.csv", index=False)


if __name__ == "__main__":
    main()
