"""Make the tables of really trained small networks that `search_problems.py` looks up.

    python benchmarks/search_tables.py digits_mlp|digits_adamw
    python benchmarks/search_tables.py cifar_cnn --data DIR     a folder in the Hugging Face layout

A table holds Sobol points of the problem's space and the held-out error (percent) after each of 27 epochs, of two
seeds each. NaN stands for the epochs from the one on in which the loss was no longer finite. One thread, plain torch.

    digits_mlp    64-32-10 perceptron on 600 of scikit-learn's digits by SGD, 1,197 held out
    digits_adamw  the same by AdamW
    cifar_cnn     two convolutions (8 and 16 channels) on 1,024 colour images of 16x16 pixels by SGD, 2,000 held out

The learning rate falls to 0 as a cosine, step by step.
"""

import argparse
import io
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.search_functions import EPOCHS, Params
from benchmarks.search_problems import TABLE_AXES, TABLES

NUM_POINTS = {"digits_mlp": 1024, "digits_adamw": 1024, "cifar_cnn": 384}
SEEDS = (0, 1)
HIDDEN = 32
NUM_TRAINED = {"digits_mlp": 600, "digits_adamw": 600, "cifar_cnn": 1024}


def points(name: str) -> list[Params]:
    """Return the configurations of a table, scrambled Sobol points with seed 0."""
    axes = TABLE_AXES[name]
    engine = torch.quasirandom.SobolEngine(len(axes), scramble=True, seed=0)  # type: ignore[no-untyped-call]
    units = engine.draw(NUM_POINTS[name]).numpy()
    return [{axis.name: axis.value(float(unit)) for axis, unit in zip(axes, row, strict=True)} for row in units]


def batches(
    epoch: int, num_images: int, batch_size: int, generator: torch.Generator
) -> Iterator[tuple[float, Tensor]]:
    """Yield the factor of the learning rate and the indices of a batch; an incomplete last batch is dropped."""
    num_batches = num_images // batch_size
    order = torch.randperm(num_images, generator=generator)
    for step in range(num_batches):
        done = (epoch + step / num_batches) / EPOCHS
        yield (1 + math.cos(math.pi * done)) / 2, order[step * batch_size : (step + 1) * batch_size]


Data = tuple[Tensor, Tensor]
"""Inputs and labels; the first are trained on."""
Net = Callable[[Tensor, Sequence[Tensor]], Tensor]
"""Makes the outputs of all networks, their number first, from a batch and the weights."""


def digits() -> Data:
    from sklearn.datasets import load_digits

    loaded = load_digits()
    order = np.random.default_rng(0).permutation(len(loaded.target))
    return torch.tensor(loaded.data[order] / 16, dtype=torch.float32), torch.tensor(loaded.target[order])


def patches(folder: Path) -> Data:
    """Return what the first convolution sees: 64 positions of 3x3 pixels in three colours.

    The images are the first training images, averaged to 16x16 pixels and normalised.
    """
    import pyarrow.parquet as pq
    from PIL import Image

    path = next(folder.glob("**/train-*.parquet"))
    rows = pq.read_table(path).slice(0, NUM_TRAINED["cifar_cnn"] + 2000).to_pydict()
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(image["bytes"])).convert("RGB")) for image in rows["img"]])
    small = pixels.reshape(-1, 16, 2, 16, 2, 3).mean((2, 4), dtype=np.float32)
    small = (small - small.mean((0, 1, 2))) / small.std((0, 1, 2))
    images = torch.tensor(small.transpose(0, 3, 1, 2).copy())
    return functional.unfold(images, 3, padding=1, stride=2).transpose(1, 2).contiguous(), torch.tensor(rows["label"])


def perceptron(batch: Tensor, weights: Sequence[Tensor]) -> Tensor:
    hidden = torch.relu(batch @ weights[0] + weights[1])
    return hidden @ weights[2] + weights[3]


def convolutions(batch: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Return the outputs: 3x3 with stride 2 to 8 channels, 2x2 with stride 2 to 16, then a linear layer."""
    num, channels = weights[0].shape[0], weights[0].shape[-1]
    side_by_side = weights[0].transpose(0, 1).reshape(weights[0].shape[1], num * channels)
    first = (batch.flatten(0, 1) @ side_by_side).view(len(batch), 64, num, channels).permute(2, 0, 1, 3)
    hidden = torch.relu(first + weights[1][:, :, None])
    blocks = hidden.reshape(num, len(batch), 4, 2, 4, 2, channels).transpose(3, 4).reshape(num, -1, 4 * channels)
    second = torch.relu(blocks @ weights[2] + weights[3])
    return second.view(num, len(batch), -1) @ weights[4] + weights[5]


SHAPES: dict[Net, tuple[tuple[int, int], ...]] = {
    perceptron: ((64, HIDDEN), (HIDDEN, 10)),
    convolutions: ((27, 8), (32, 16), (256, 10)),
}
"""Inputs and outputs of each layer."""


class Optimizer:
    """SGD with momentum or AdamW, with settings of its own for each of several networks."""

    def __init__(self, group: Sequence[Params], weights: Sequence[Tensor]) -> None:
        self._settings = {key: torch.tensor([params[key] for params in group])[:, None, None] for key in group[0]}
        self._weights = weights
        self._moments = [torch.zeros_like(weight) for weight in weights]
        self._squares = [torch.zeros_like(weight) for weight in weights]
        self._num_steps = 0

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], factor: float) -> None:
        """Take a step with learning rates multiplied by the factor."""
        self._num_steps += 1
        rate, decay = self._settings["lr"] * factor, self._settings["weight_decay"]
        beta = self._settings.get("beta1")
        for weight, gradient, moment, square in zip(
            self._weights, gradients, self._moments, self._squares, strict=True
        ):
            if beta is None:
                moment.mul_(self._settings["momentum"]).add_(gradient + decay * weight)
                weight.sub_(rate * moment)
                continue
            weight.mul_(1 - rate * decay)
            moment.mul_(beta).add_(gradient * (1 - beta))
            square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            root = (square / (1 - 0.999**self._num_steps)).sqrt() + 1e-8
            weight.sub_(rate * moment / (1 - beta**self._num_steps) / root)


def train(net: Net, group: Sequence[Params], data: Data, num_trained: int, seed: int) -> NDArray[np.float64]:
    """Train networks of one batch size side by side, each as if alone; return held-out errors by epoch."""
    inputs, labels = data
    generator = torch.Generator().manual_seed(seed)
    weights: list[Tensor] = []
    for fan_in, fan_out in SHAPES[net]:
        first = torch.randn(fan_in, fan_out, generator=generator) * math.sqrt(2 / fan_in)
        weights += [first.repeat(len(group), 1, 1), torch.zeros(len(group), 1, fan_out)]
    for weight in weights:
        weight.requires_grad_()
    optimizer = Optimizer(group, weights)
    finite = torch.ones(len(group), dtype=torch.bool)
    errors = np.full((len(group), EPOCHS), np.nan)
    batch_size = int(group[0]["batch_size"])
    for epoch in range(EPOCHS):
        for factor, indices in batches(epoch, num_trained, batch_size, generator):
            targets = labels[indices].repeat(len(group))
            losses = functional.cross_entropy(net(inputs[indices], weights).flatten(0, 1), targets, reduction="none")
            finite &= torch.isfinite(losses.detach()).view(len(group), -1).all(-1)
            optimizer.step(torch.autograd.grad(losses.sum() / batch_size, weights), factor)
        with torch.no_grad():
            outputs = torch.cat([net(part, weights) for part in torch.split(inputs[num_trained:], 250)], 1)
        finite &= torch.isfinite(outputs).all(-1).all(-1)
        wrong = (outputs.argmax(-1) != labels[num_trained:]).double().mean(-1) * 100
        errors[:, epoch] = torch.where(finite, wrong, torch.nan).numpy()
    return errors


def make(name: str, net: Net, data: Data) -> NDArray[np.float64]:
    """Return errors by seed, point and epoch."""
    chosen = points(name)
    errors = np.full((len(SEEDS), len(chosen), EPOCHS), np.nan)
    for seed in SEEDS:
        for size in sorted({params["batch_size"] for params in chosen}):
            members = [index for index, params in enumerate(chosen) if params["batch_size"] == size]
            for first in range(0, len(members), AT_ONCE[net]):
                part = members[first : first + AT_ONCE[net]]
                errors[seed, part] = train(net, [chosen[index] for index in part], data, NUM_TRAINED[name], seed)
                print(
                    f"{time.process_time():.0f} s: seed {seed}, batch size {size}, {len(part)} networks", flush=True
                )
    return errors


AT_ONCE: dict[Net, int] = {perceptron: 256, convolutions: 16}
"""Networks side by side, so many that their activations stay in the cache."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", choices=sorted(TABLE_AXES))
    parser.add_argument("--data", type=Path, help="of cifar_cnn: the folder of CIFAR-10 images")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started = time.process_time()
    TABLES.mkdir(parents=True, exist_ok=True)
    if arguments.name == "cifar_cnn":
        errors = make(arguments.name, convolutions, patches(arguments.data))
    else:
        errors = make(arguments.name, perceptron, digits())
    axes = TABLE_AXES[arguments.name]
    units = np.array([[axis.unit(params[axis.name]) for axis in axes] for params in points(arguments.name)])
    path = TABLES / f"{arguments.name}.npz"
    np.savez_compressed(path, units=units.astype(np.float32), errors=errors.astype(np.float32))
    lost = np.isnan(errors[..., -1]).mean()
    print(f"{path}: {path.stat().st_size:,} bytes, {time.process_time() - started:.0f} s, {lost:.0%} diverged")


if __name__ == "__main__":
    main()
