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
import itertools
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
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


def batches(num_images: int, batch_size: int, generator: torch.Generator) -> Iterator[tuple[int, float, Tensor]]:
    """Yield epoch, factor of the learning rate, and indices of a batch; an incomplete last batch is dropped."""
    num_batches = num_images // batch_size
    for epoch in range(1, EPOCHS + 1):
        order = torch.randperm(num_images, generator=generator)
        for step in range(num_batches):
            done = (epoch - 1 + step / num_batches) / EPOCHS
            yield epoch, (1 + math.cos(math.pi * done)) / 2, order[step * batch_size : (step + 1) * batch_size]


def digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    loaded = load_digits()
    order = np.random.default_rng(0).permutation(len(loaded.target))
    return torch.tensor(loaded.data[order] / 16, dtype=torch.float32), torch.tensor(loaded.target[order])


def train_perceptrons(name: str, group: Sequence[Params], seed: int) -> np.ndarray:
    """Train perceptrons of one batch size side by side, each as if alone; return held-out errors by epoch."""
    images, labels = digits()
    num_trained, batch_size = NUM_TRAINED[name], int(group[0]["batch_size"])
    generator = torch.Generator().manual_seed(seed)
    sizes = (images.shape[1], HIDDEN, 10)
    weights: list[Tensor] = []
    for inputs, outputs in itertools.pairwise(sizes):
        first = torch.randn(inputs, outputs, generator=generator) * math.sqrt(2 / inputs)
        weights += [first.repeat(len(group), 1, 1), torch.zeros(len(group), 1, outputs)]
    first_moments = [torch.zeros_like(weight) for weight in weights]
    second_moments = [torch.zeros_like(weight) for weight in weights]
    column = {key: torch.tensor([params[key] for params in group])[:, None, None] for key in group[0]}
    errors = np.full((len(group), EPOCHS), np.nan)

    def outputs_of(batch: Tensor) -> Tensor:
        hidden = torch.relu(batch @ weights[0] + weights[1])
        return hidden @ weights[2] + weights[3]

    finite = torch.ones(len(group), dtype=torch.bool)
    last = 0
    steps = [*batches(num_trained, batch_size, generator), (EPOCHS + 1, 0.0, None)]
    for num_steps, (epoch, factor, indices) in enumerate(steps, 1):
        if epoch != last and last:
            with torch.no_grad():
                held_out = outputs_of(images[num_trained:])
            wrong = (held_out.argmax(-1) != labels[num_trained:]).float().mean(-1) * 100
            finite &= torch.isfinite(held_out).all(-1).all(-1)
            errors[:, last - 1] = torch.where(finite, wrong, torch.nan).numpy()
        last = epoch
        if indices is None:
            break
        for weight in weights:
            weight.requires_grad_()
        found = outputs_of(images[indices])
        targets = labels[indices].repeat(len(group))
        losses = functional.cross_entropy(found.flatten(0, 1), targets, reduction="none")
        finite &= torch.isfinite(losses.detach()).view(len(group), -1).all(-1)
        gradients = torch.autograd.grad(losses.sum() / batch_size, weights)
        with torch.no_grad():
            for weight, gradient, moment, square in zip(
                weights, gradients, first_moments, second_moments, strict=True
            ):
                rate = column["lr"] * factor
                if name == "digits_adamw":
                    weight.mul_(1 - rate * column["weight_decay"])
                    moment.mul_(column["beta1"]).add_(gradient * (1 - column["beta1"]))
                    square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
                    unbiased = moment / (1 - column["beta1"] ** num_steps)
                    weight.sub_(rate * unbiased / ((square / (1 - 0.999**num_steps)).sqrt() + 1e-8))
                else:
                    moment.mul_(column["momentum"]).add_(gradient + column["weight_decay"] * weight)
                    weight.sub_(rate * moment)
    return errors


def small_images(folder: Path) -> tuple[Tensor, Tensor]:
    """Return the first 3,024 training images, averaged to 16x16 pixels and normalised, and their labels."""
    import pyarrow.parquet as pq
    from PIL import Image

    path = next(folder.glob("**/train-*.parquet"))
    rows = pq.read_table(path).slice(0, 3024).to_pydict()
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(image["bytes"])).convert("RGB")) for image in rows["img"]])
    small = pixels.reshape(-1, 16, 2, 16, 2, 3).mean((2, 4), dtype=np.float32)
    small = (small - small.mean((0, 1, 2))) / small.std((0, 1, 2))
    return torch.tensor(small.transpose(0, 3, 1, 2).copy()), torch.tensor(rows["label"])


def train_convolutions(images: Tensor, labels: Tensor, params: Params, seed: int) -> np.ndarray:
    """Train one small network; return its held-out errors by epoch."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 16, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(16 * 16, 10),
    )
    optimizer = torch.optim.SGD(
        net.parameters(), lr=params["lr"], momentum=params["momentum"], weight_decay=params["weight_decay"]
    )
    num_trained = NUM_TRAINED["cifar_cnn"]
    errors = np.full(EPOCHS, np.nan)
    last = 1
    for epoch, factor, indices in [
        *batches(num_trained, int(params["batch_size"]), generator),
        (EPOCHS + 1, 0, None),
    ]:
        if epoch != last:
            with torch.no_grad():
                held_out = net(images[num_trained:])
            if not torch.isfinite(held_out).all():
                return errors
            errors[last - 1] = 100 * float((held_out.argmax(-1) != labels[num_trained:]).float().mean())
            last = epoch
        if indices is None:
            break
        optimizer.param_groups[0]["lr"] = params["lr"] * factor
        loss = functional.cross_entropy(net(images[indices]), labels[indices])
        if not torch.isfinite(loss):
            return errors
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return errors


def make_digits(name: str) -> np.ndarray:
    """Return errors by seed, point and epoch."""
    chosen = points(name)
    errors = np.full((len(SEEDS), len(chosen), EPOCHS), np.nan)
    for seed in SEEDS:
        for size in sorted({params["batch_size"] for params in chosen}):
            members = [index for index, params in enumerate(chosen) if params["batch_size"] == size]
            errors[seed, members] = train_perceptrons(name, [chosen[index] for index in members], seed)
            print(f"seed {seed}, batch size {size}: {len(members)} networks", flush=True)
    return errors


def make_cifar(folder: Path, part: Path) -> np.ndarray:
    """Return errors by seed, point and epoch; what is done is kept in a file beside the table."""
    images, labels = small_images(folder)
    chosen = points("cifar_cnn")
    errors = np.load(part) if part.exists() else np.full((len(SEEDS), len(chosen), EPOCHS), -1.0)
    for seed in SEEDS:
        for index, params in enumerate(chosen):
            if errors[seed, index, 0] == -1.0:
                errors[seed, index] = train_convolutions(images, labels, params, seed)
                if index % 32 == 31:
                    np.save(part, errors)
                    print(f"seed {seed}: {index + 1} of {len(chosen)}", flush=True)
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", choices=sorted(TABLE_AXES))
    parser.add_argument("--data", type=Path, help="of cifar_cnn: the folder of CIFAR-10 images")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started = time.process_time()
    TABLES.mkdir(parents=True, exist_ok=True)
    if arguments.name == "cifar_cnn":
        part = TABLES / "cifar_cnn.part.npy"
        errors = make_cifar(arguments.data, part)
        part.unlink(missing_ok=True)
    else:
        errors = make_digits(arguments.name)
    axes = TABLE_AXES[arguments.name]
    units = np.array([[axis.unit(params[axis.name]) for axis in axes] for params in points(arguments.name)])
    path = TABLES / f"{arguments.name}.npz"
    np.savez_compressed(path, units=units.astype(np.float32), errors=errors.astype(np.float32))
    lost = np.isnan(errors[..., -1]).mean()
    print(f"{path}: {path.stat().st_size:,} bytes, {time.process_time() - started:.0f} s, {lost:.0%} diverged")


if __name__ == "__main__":
    main()
