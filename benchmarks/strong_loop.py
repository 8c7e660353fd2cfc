"""A training loop as a performance engineer writes it in plain PyTorch: the strong reference of the benchmarks.

The same network and recipe, but none of the project's code except the network's. The whole data set lies in memory,
padded and normalised, as it is and mirrored, in bf16 and channels_last, so that crops and flips are one index
operation for thousands of images; autocast, a fused optimiser, and nothing is read back before an epoch ends. On a
GPU the step is a CUDA graph, the model may be compiled, and cuDNN takes its fastest algorithms, reproducible or not.

Tried on a CPU (AMD EPYC, one thread, batch 8 and 128) and no faster: foreach SGD in place of the fused one, bf16
weights with fp32 master weights in place of autocast, evaluation in batches of 50 to 500. torch.compile made it 1.035
times as fast at batch 128; it is left out on a CPU, since it compiles for minutes at every batch size.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.registry import build_model
from trainable.data.contract import ImageData
from trainable.splits import as_tensor

PADDING = 4
CHUNK = 4096
"""Number of images that are augmented at a time, or one batch."""
EVAL_BATCH_SIZES = {"cpu": 1000, "cuda": 2000}


@contextlib.contextmanager
def cudnn(*, deterministic: bool, benchmark: bool) -> Iterator[None]:
    """Set how cuDNN chooses its algorithms."""
    settings = torch.backends.cudnn
    before = settings.deterministic, settings.benchmark
    settings.deterministic, settings.benchmark = deterministic, benchmark
    try:
        yield
    finally:
        settings.deterministic, settings.benchmark = before


_fast_cudnn = partial(cudnn, deterministic=False, benchmark=True)
"""Ours is reproducible and cannot be as free."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is trained, and how it is executed."""

    model_name: str
    batch_size: int
    lr: float = 0.01
    total_steps: int = 10**6
    """Length of the cosine."""
    num_train: int | None = None
    """Number of training images to take; None takes all."""
    num_test: int | None = None
    compile_mode: str | None = None
    """Mode of torch.compile; None compiles nothing."""


class StrongLoop:
    """A model with its data set and what it takes to train it. Set threads and `mallopt` first, as for a trial."""

    def __init__(self, recipe: Recipe, data: ImageData, device: torch.device) -> None:
        """Build the model and upload the data."""
        self.recipe, self.device = recipe, device
        model = build_model(recipe.model_name, data.num_classes, torch.Generator().manual_seed(0))
        self.model = model.to(memory_format=torch.channels_last).to(device)  # type: ignore[call-overload]
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.num_batches_tracked = None  # a count that nothing reads, for an operation in each layer
        self.forward: Callable[[Tensor], Tensor] = self.model
        if recipe.compile_mode is not None:
            self.forward = torch.compile(self.model, mode=recipe.compile_mode, dynamic=False)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=torch.tensor(recipe.lr, device=device),
            momentum=0.9,
            nesterov=True,
            weight_decay=1e-4,
            fused=True,
        )
        images = as_tensor(data.train_images[: recipe.num_train]).to(device)
        self.std, self.mean = torch.std_mean(images.float(), (0, 1, 2))
        padded = self._normalized(functional.pad(images, (0, 0, PADDING, PADDING, PADDING, PADDING)))
        self.images = torch.cat([padded, padded.flip(2)])
        self.labels = as_tensor(data.train_labels[: recipe.num_train]).to(device)
        self.test_images = self._normalized(as_tensor(data.test_images[: recipe.num_test]).to(device))
        self.test_labels = as_tensor(data.test_labels[: recipe.num_test]).to(device)
        self.steps_done = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self._records = device.type == "cuda"
        self._inputs = self.images[: recipe.batch_size, PADDING:-PADDING, PADDING:-PADDING].clone()
        self._targets = self.labels[: recipe.batch_size].clone()

    def train_epoch(self, num_steps: int) -> None:
        """Do some steps, at most as many as an epoch has, on images in random order, and wait for the last."""
        self.model.train()
        with _fast_cudnn():
            if self._records and self.graph is None:
                self.graph = self._recorded()
            for images, labels in self._batches(num_steps):
                progress = self.steps_done / self.recipe.total_steps
                self.optimizer.param_groups[0]["lr"].fill_(self.recipe.lr * 0.5 * (1 + math.cos(math.pi * progress)))
                if self.graph is None:
                    self._step(images, labels)
                else:
                    self._inputs.copy_(images)
                    self._targets.copy_(labels)
                    self.graph.replay()
                self.steps_done += 1
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @torch.inference_mode()
    def evaluate(self) -> float:
        """Return the accuracy on the test images, in [0, 1]."""
        self.model.eval()
        size = EVAL_BATCH_SIZES[self.device.type]
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        with _fast_cudnn(), torch.autocast(self.device.type, torch.bfloat16):
            for images, labels in zip(
                *(torch.split(part, size) for part in (self.test_images, self.test_labels)), strict=True
            ):
                correct += (self.model(images.permute(0, 3, 1, 2)).argmax(1) == labels).sum()
        return correct.item() / len(self.test_labels)

    def _normalized(self, images: Tensor) -> Tensor:
        """Return the images in bf16 [N, H, W, C]."""
        return torch.cat([((part - self.mean) / self.std).bfloat16() for part in torch.split(images, CHUNK)])

    def _batches(self, num_steps: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield random batches, cropped and flipped: images bf16 [B, H, W, C] and labels [B]."""
        order = torch.randperm(len(self.labels), device=self.device)[: num_steps * self.recipe.batch_size]
        for chosen in torch.split(order, max(1, CHUNK // self.recipe.batch_size) * self.recipe.batch_size):
            rows, columns = torch.randint(0, 2 * PADDING + 1, (2, len(chosen)), device=self.device)
            size = self.images.shape[1] - 2 * PADDING
            windows = self.images.unfold(1, size, 1).unfold(2, size, 1)  # [2N, 9, 9, C, H, W], a view
            flipped = torch.randint(0, 2, (len(chosen),), device=self.device) * len(self.labels)
            images = windows.permute(0, 1, 2, 4, 5, 3)[chosen + flipped, rows, columns]
            yield from zip(
                *(torch.split(part, self.recipe.batch_size) for part in (images, self.labels[chosen])), strict=True
            )

    def _step(self, images: Tensor, labels: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = functional.cross_entropy(self.forward(images.permute(0, 3, 1, 2)), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def _recorded(self) -> torch.cuda.CUDAGraph:
        """Record a step on the static inputs, after some steps on the same stream to warm up."""
        stream, graph = torch.cuda.Stream(self.device), torch.cuda.CUDAGraph()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._step(self._inputs, self._targets)
        torch.cuda.current_stream(self.device).wait_stream(stream)
        with torch.cuda.graph(graph, stream=stream):
            self._step(self._inputs, self._targets)
        return graph
